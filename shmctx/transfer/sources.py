"""What is to be moved in, read as one stream of events, whatever form it has and wherever it lies.

    for found in sources.read([Path("var/logs"), Path("var/contexts.db")]):
        if isinstance(found, sources.BadLine): ...

Paths are files, folders, `-` for standard input; gzip and zstd are told by how they begin, and so is a KSI database,
in which references of lean events are looked up. Memory does not grow with what is read. Nothing is changed.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, cast
from zlib import crc32

import msgspec

from shmctx.transfer import lines
from shmctx.transfer.forms import SourceEvent, Unfit, event_of
from shmctx.transfer.ksi_database import KsiDatabase

__all__ = ["BadLine", "SourceEvent", "Sources", "read"]

T = TypeVar("T")
Item = TypeVar("Item")
CHUNK, CHUNK_BYTES = 256, 1 << 20
"""Lean events whose references are looked up together, and lines that are ready together, at most."""


class BadLine(msgspec.Struct):
    """A line that is no event."""

    file: str
    line: int
    """Its number; a row's, in a database."""
    reason: str
    raw: bytes
    """Its first bytes."""
    end: int = 0
    """Bytes of the text up to behind it."""
    size: int = 0
    """Bytes that the line has; 0: no line is meant, but the rest of a text that cannot be read."""
    crc: int = 0
    """Of its first bytes, without a newline."""
    whole: bool = True
    """False: the text ends within it."""

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"


class Ready(msgspec.Struct, Generic[T], gc=False):
    """Lines in a row, of each of which the caller has made something himself."""

    made: list[tuple[int, T]] = []
    """(line, what was made of it)"""
    size: int = 0
    """Bytes of all of them."""
    last: lines.Line | None = None

    def add(self, line: lines.Line, made: T) -> None:
        """Another line."""
        self.made.append((line.number, made))
        self.size += line.size
        self.last = line


def read(paths: Iterable[Path]) -> Iterator[SourceEvent | BadLine]:
    """Every event of these paths, in order; then what their databases have besides. Raises SourceUnreadable."""
    with Sources(paths) as sources:
        for path in sources.logs:
            yield from sources.events(path)
        for database in sources.databases:
            yield from sources.contexts(database)


class Sources:
    """The logs and databases of some paths."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """Raises SourceUnreadable."""
        self.logs: list[Path] = []
        self.databases: list[KsiDatabase] = []
        self.meter = lines.Meter()
        """How much was read of the log that is read now."""
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            for path in lines.files(paths):
                if lines.begins(path) == lines.SQLITE:
                    self.databases.append(stack.enter_context(KsiDatabase(path)))
                else:
                    self.logs.append(path)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def events(self, path: Path, start: int = 0) -> Iterator[SourceEvent | BadLine]:
        """The events of one log from a byte of its text on, references resolved. Raises SourceUnreadable."""
        return cast("Iterator[SourceEvent | BadLine]", self.events_or(path, start, None))

    def events_or(
        self, path: Path, start: int, make: Callable[[bytes], T | None] | None
    ) -> Iterator[SourceEvent | BadLine | Ready[T]]:
        """The same, with what `make` makes of a line, where it makes something of it."""
        waiting: list[SourceEvent | BadLine | Ready[T]] = []
        for found in _parsed(path, start, self.meter, make):
            lean = type(found) is SourceEvent and found.form == "lean"
            if not waiting and not lean:
                yield found
                continue
            waiting.append(found)
            if len(waiting) >= CHUNK:
                yield from self._resolved(waiting)
                waiting = []
        yield from self._resolved(waiting)

    def _resolved(self, found: Sequence[Item]) -> Sequence[Item]:
        """With the contexts that the references of lean events lead to."""
        events = [event for event in found if isinstance(event, SourceEvent) and event.ref and event.context is None]
        contexts = self.lookup([event.ref for event in events if event.ref])
        for event in events:
            context = contexts.get(event.ref or "")
            if context is not None:
                event.resolve(context)
        return found

    def lookup(self, refs: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The contexts of references, from the first database that has each."""
        found: dict[str, dict[str, Any]] = {}
        for database in self.databases:
            missing = [ref for ref in refs if ref not in found]
            if missing:
                found |= database.contexts(missing)
        return found

    def contexts(self, database: KsiDatabase, after: int = 0) -> Iterator[SourceEvent | BadLine]:
        """The contexts of a database from behind a row on, as events without data."""
        for found in database.events(after):
            if isinstance(found, SourceEvent):
                yield found
            else:
                row, raw, reason = found
                text = raw.encode()
                yield BadLine(str(database.path), row, reason, text[: lines.KEPT], row, len(text))


def _parsed(
    path: Path, start: int, meter: lines.Meter, make: Callable[[bytes], T | None] | None
) -> Iterator[SourceEvent | BadLine | Ready[T]]:
    file = str(path)
    ready = Ready[T]()
    for line in lines.read(path, start, meter):
        made = None if make is None or line.flaw else make(line.text)
        if made is not None:
            ready.add(line, made)
            if len(ready.made) < CHUNK and ready.size < CHUNK_BYTES:
                continue
        if ready.made:
            yield ready
            ready = Ready[T]()
        if made is None:
            yield from _other(file, line)
    if ready.made:
        yield ready


def _other(file: str, line: lines.Line) -> Iterator[SourceEvent | BadLine]:
    """The event of a line, or what is wrong with it; nothing for an empty one."""
    text, reason = line.text, line.flaw
    if not reason:
        if text.isspace():
            return
        try:
            event = event_of(text)
        except Unfit as error:
            reason = str(error) if line.whole else f"the text ends within it: {error}"
        else:
            event.file, event.line, event.end, event.size = file, line.number, line.end, line.size
            event.crc = crc_of(text)
            yield event
            return
    yield BadLine(file, line.number, reason, text[: lines.KEPT], line.end, line.size, crc_of(text), line.whole)


def crc_of(text: bytes) -> int:
    """What SourceEvent and BadLine have of their line."""
    return crc32(text.removesuffix(b"\n"))
