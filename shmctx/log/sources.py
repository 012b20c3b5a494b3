"""The text of one open segment, whichever form it has."""

import os
import threading
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from shmctx.errors import LogDamaged
from shmctx.log.seekable import MAX_FRAME, Frames

MAX_LINE = MAX_FRAME
"""Bytes of a line at most; what is longer is damage, and not read into memory to its end."""
LINE_GUESS = 4096
"""Bytes that are read first to find a line's end."""
CHUNK = 256 << 10

K = TypeVar("K")
V = TypeVar("V")


class Cache(Generic[K, V]):
    """The `limit` values that were used last. For all threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: dict[K, V] = {}
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """The value, if it is still there."""
        with self._lock:
            value = self._values.pop(key, None)
            if value is not None:
                self._values[key] = value
            return value

    def put(self, key: K, value: V) -> None:
        """Keep the value; whichever was not used for longest goes."""
        with self._lock:
            self._values.pop(key, None)
            self._values[key] = value
            if len(self._values) > self._limit:
                del self._values[next(iter(self._values))]


class Source(Protocol):
    """An open segment."""

    def line(self, offset: int) -> bytes | None:
        """The whole line that begins at this offset of the text, None if none does."""

    def pieces(self, start: int) -> Iterator[tuple[int, bytes]]:
        """(offset, text) of consecutive pieces, from the start of a line at or before `start`, or the newline that
        ends it, to the end. Raises LogDamaged where a piece cannot be read."""


class PlainSource:
    """A file of lines."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def line(self, offset: int) -> bytes | None:
        """See Source."""
        return line_at(self._descriptor, offset)

    def pieces(self, start: int) -> Iterator[tuple[int, bytes]]:
        """See Source."""
        offset = max(start - 1, 0)
        while piece := os.pread(self._descriptor, CHUNK, offset):
            yield offset, piece
            offset += len(piece)


class FrameSource:
    """A file in the seekable format. `key` names the file as it is now in a cache of frames that many sources share."""

    def __init__(self, descriptor: int, frames: Frames, cache: Cache[tuple[object, int], bytes], key: object) -> None:
        self._descriptor = descriptor
        self._frames = frames
        self._cache = cache
        self._key = key

    def line(self, offset: int) -> bytes | None:
        """See Source. None as well where the frame cannot be read."""
        if not 0 <= offset < self._frames.size:
            return None
        index = self._frames.index(offset)
        try:
            return line_in(self._text(index), offset - self._frames.starts[index])
        except LogDamaged:
            return None

    def _text(self, index: int) -> bytes:
        text = self._cache.get((self._key, index))
        if text is None:
            text = self._frames.text(self._descriptor, index)
            if len(text) <= CHUNK:
                self._cache.put((self._key, index), text)
        return text

    def pieces(self, start: int) -> Iterator[tuple[int, bytes]]:
        """See Source."""
        for index in range(max(self._frames.index(start), 0), len(self._frames)):
            offset = self._frames.starts[index]
            if offset < self._frames.starts[index + 1]:
                yield offset, self._frames.text(self._descriptor, index)


def line_at(descriptor: int, offset: int) -> bytes | None:
    """The line of a plain file that begins at this offset: after a newline or at the start, and with an end."""
    if not 0 <= offset < os.fstat(descriptor).st_size:
        return None
    size = LINE_GUESS
    start = max(offset - 1, 0)
    while True:
        text = os.pread(descriptor, size, start)
        line = line_in(text, offset - start)
        if line is not None or len(text) < size or size > MAX_LINE or (offset and text[:1] != b"\n"):
            return line
        size *= 8


def line_in(text: bytes | bytearray, begin: int) -> bytes | None:
    """The line of a text that begins at this index, without its newline."""
    end = text.find(b"\n", begin)
    if end < 0 or (begin and text[begin - 1] != 0x0A):
        return None
    return bytes(text[begin:end])


def split(pieces: Iterator[tuple[int, bytes]], start: int) -> Iterator[tuple[int, bytes]]:
    """(offset, line) of the whole lines that begin at or after `start`, from consecutive pieces of a text."""
    rest = b""
    at = 0
    for offset, piece in pieces:
        if not rest:
            at = offset
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if at >= start:
                yield at, line
            at += len(line) + 1
        if len(rest) > MAX_LINE:
            raise LogDamaged(f"The event log has a line of more than {MAX_LINE} bytes.")
