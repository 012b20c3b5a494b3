"""Text files as lines: plain, gzip, zstd or standard input, told apart by how they begin; memory does not grow."""

import contextlib
import gzip
import io
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from shmctx.errors import SourceUnreadable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STDIN = Path("-")
MAX_LINE = 16 << 20
"""Bytes of a line that is read into memory: no record of a ring is larger."""
KEPT = 256
"""First bytes that are told of a line that is not used."""
SUFFIXES = (".jsonl", ".ndjson", ".json", ".log")
_COMPRESSED = ("", ".gz", ".zst")
_BUFFER = 1 << 20
_GZIP, _ZSTD, _SKIPPABLE = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x2a\x4d\x18"
SQLITE = b"SQLite format 3\x00"


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line of a text."""

    number: int
    """From 1."""
    end: int
    """Bytes of the uncompressed text up to behind it."""
    text: bytes
    """With its newline; of one that is no use the first bytes."""
    flaw: str = ""
    """Why it is no use."""
    size: int = 0
    """Bytes that it has, all of them."""
    whole: bool = True
    """False: the text ends before the line does; somebody may still be writing it."""


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files of paths: of a folder all that look like logs, by name, so that days come in order; links in it are not
    followed. Raises SourceUnreadable."""
    for path in paths:
        if path == STDIN or path.is_file():
            yield path
        elif path.is_dir():
            found = sorted(entry for entry in path.rglob("*") if _is_log(entry))
            if not found:
                raise SourceUnreadable(f"{path} holds no log.", hint=f"Logs end with {', '.join(SUFFIXES)}, .gz, .zst.")
            yield from found
        else:
            raise SourceUnreadable(f"{path} is neither a file nor a folder.", hint="Name what is to be read.")


def _is_log(path: Path) -> bool:
    named = path.name.endswith(tuple(suffix + packed for suffix in SUFFIXES for packed in _COMPRESSED))
    return named and not path.name.startswith(".") and path.is_file() and not path.is_symlink()


def begins(path: Path) -> bytes:
    """The first bytes of a file, empty for standard input. Raises SourceUnreadable."""
    if path == STDIN:
        return b""
    with _translated(path), path.open("rb") as file:
        return file.read(len(SQLITE))


class Meter:
    """How much of a file was read, in bytes as they lie there."""

    def __init__(self) -> None:
        self._tell: Callable[[], int] | None = None

    def watch(self, file: BinaryIO) -> None:
        """Reading of this file begins."""
        self._tell = file.tell

    def read(self) -> int:
        """Bytes so far; 0 after the end of reading."""
        try:
            return self._tell() if self._tell is not None else 0
        except (OSError, ValueError):  # standard input may be a pipe; a file may be closed
            return 0


def read(path: Path, start: int = 0, meter: Meter | None = None) -> Iterator[Line]:
    """The lines of a file that end behind `start`, in bytes of uncompressed text. Raises SourceUnreadable.

    A compressed file is read from its beginning. Where its damage begins, reading ends with a line that says so.
    """
    with contextlib.ExitStack() as stack:
        with _translated(path):
            text, seekable = _open(path, stack, meter or Meter())
            if seekable and start:
                text.seek(start)
        yield from _lines(text, start if seekable else 0, start, path)


def _open(path: Path, stack: contextlib.ExitStack, meter: Meter) -> tuple[BinaryIO, bool]:
    """The text, and whether it can be entered anywhere."""
    if path == STDIN:
        file = cast(io.BufferedReader, sys.stdin.buffer)
    else:
        file = stack.enter_context(io.BufferedReader(io.FileIO(path), _BUFFER))
        meter.watch(cast(BinaryIO, file))
    magic = file.peek(4)[:4]
    if magic[:2] == _GZIP:
        return _buffered(stack.enter_context(gzip.GzipFile(fileobj=file))), False
    if magic == _ZSTD or magic[1:] == _SKIPPABLE:
        return _buffered(stack.enter_context(zstd.ZstdFile(file))), False
    return cast(BinaryIO, file), path != STDIN


class _Unpacked(io.RawIOBase):
    """Gives what was unpacked as it comes: what lies before a damaged place is read, and only then the damage met."""

    def __init__(self, packed: io.BufferedIOBase) -> None:
        self._packed = packed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        piece = self._packed.read1(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def _buffered(packed: io.BufferedIOBase) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Unpacked(packed), _BUFFER))


def _lines(text: BinaryIO, end: int, start: int, path: Path) -> Iterator[Line]:
    number = _count_before(path, end) if end else 0
    while True:
        number += 1
        try:
            line = text.readline(MAX_LINE + 1)
            size = len(line)
            flaw = "" if size <= MAX_LINE else f"is longer than {MAX_LINE} bytes"
            if flaw and line[-1:] != b"\n":
                size += _skip_line(text)
        except (EOFError, zlib.error, zstd.ZstdError, gzip.BadGzipFile) as error:
            yield Line(number, end, b"", f"the compressed text cannot be read further: {error}", whole=False)
            return
        except OSError as error:
            raise _unreadable(path, error) from None
        if not size:
            return
        end += size
        if end > start:
            whole = line[-1:] == b"\n" or bool(flaw)
            yield Line(number, end, line if not flaw else line[:KEPT], flaw, size, whole)


def _skip_line(text: BinaryIO) -> int:
    """Read to the end of the line without keeping it; how many bytes that were."""
    size = 0
    while piece := text.readline(_BUFFER):
        size += len(piece)
        if piece[-1:] == b"\n":
            break
    return size


def _count_before(path: Path, end: int) -> int:
    """Lines of a plain file that lie before a byte."""
    count = 0
    with path.open("rb", buffering=0) as file:
        while end > 0 and (piece := file.read(min(end, _BUFFER))):
            count += piece.count(b"\n")
            end -= len(piece)
    return count


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> SourceUnreadable:
    return SourceUnreadable(
        f"{path} cannot be read: {error.strerror or error}.",
        hint="Check that the file is there, readable for this user, and its disk is well.",
    )


def size(path: Path) -> int:
    """Bytes of a file as it lies there; 0 for standard input."""
    return 0 if path == STDIN else os.stat(path).st_size
