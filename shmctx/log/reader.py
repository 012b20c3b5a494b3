"""Reading the event log, from any thread of any process."""

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from shmctx.errors import LogDamaged
from shmctx.log import files
from shmctx.log.files import Segment
from shmctx.log.seekable import Frames
from shmctx.log.sources import Cache, FrameSource, PlainSource, Source, split

CACHED_FRAMES = 16
"""Uncompressed frames kept, of about 64 KiB each."""
CACHED_TABLES = 8


class LogReader:
    """Finds lines by their places. Keeps no file open, so what is removed gives its space back.

    Methods raise LogUnavailable where the directory cannot be read; a directory that is not there is an empty log.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._paths: dict[int, Path] = {}
        self._tables = Cache[object, Frames](CACHED_TABLES)
        self._frames = Cache[tuple[object, int], bytes](CACHED_FRAMES)

    def line(self, number: int, offset: int) -> bytes | None:
        """The line of a segment at this offset of its uncompressed text, without the newline.

        None if it is gone, if no line begins there, or if what is there is damaged.
        """
        return self.lines([(number, offset)])[0]

    def lines(self, places: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """The lines at many (segment number, offset), as `line` finds them. Every segment and frame is read once."""
        found: list[bytes | None] = [None] * len(places)
        ordered = sorted(zip(places, itertools.count()))
        for number, group in itertools.groupby(ordered, key=lambda item: item[0][0]):
            with contextlib.suppress(LogDamaged), self._opened(number) as source:
                if source is not None:
                    for (_, offset), index in group:
                        found[index] = source.line(offset)
        return found

    def scan(self, number: int, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """(offset, line) of a segment's lines from `start` on; a torn last line is left out.

        Lines at the end of the newest segment may not be committed yet. Raises LogDamaged where a frame cannot be
        read, after the lines before it; scanning from its `next_offset` goes on behind it.
        """
        with self._opened(number) as source:
            if source is not None:
                yield from split(source.pieces(start), start)

    def segments(self) -> list[Segment]:
        """What there is, oldest first."""
        with files.translated(self.directory), contextlib.suppress(FileNotFoundError):
            return list(files.by_number(self.directory).values())
        return []

    @contextlib.contextmanager
    def _opened(self, number: int) -> Iterator[Source | None]:
        with files.translated(self.directory), contextlib.ExitStack() as stack:
            yield self._source(stack, number)

    def _source(self, stack: contextlib.ExitStack, number: int) -> Source | None:
        """Its name changes once, when it is compressed, so what was found before is tried first, and one listing that
        does not have it is no proof: made at that very moment it can miss the old name and the new one."""
        listings = 0
        while listings < 3:
            path = self._paths.get(number)
            if path is not None:
                with contextlib.suppress(FileNotFoundError):
                    return self._open(path, stack.enter_context(files.opened(path, os.O_RDONLY | os.O_NOFOLLOW)))
            self._paths = {segment.number: segment.path for segment in self.segments()}
            listings += 1
            if number not in self._paths and listings > 1:
                break
        return None

    def _open(self, path: Path, descriptor: int) -> Source:
        if path.suffix != files.COMPRESSED:
            return PlainSource(descriptor)
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        frames = self._tables.get(key)
        if frames is None:
            frames = Frames.read(descriptor, path.name)
            self._tables.put(key, frames)
        return FrameSource(descriptor, frames, self._frames, key)
