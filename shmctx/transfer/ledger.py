"""How far each source was read, and what was found in it: kept in the database, in the transactions of the rows."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from shmctx.cold.connection import Connection, connect, translated
from shmctx.transfer.forms import SourceEvent
from shmctx.transfer.novelty import Taken
from shmctx.transfer.sources import BadLine, Ready, crc_of

EXAMPLES = 20
"""Places that a report names of each kind."""
_SELECT = "SELECT path, first_line, end, last_size, last_crc, rest_crc, bad_lines, counts FROM source"
_UPSERT = """
INSERT INTO source (path, first_line, end, last_size, last_crc, rest_crc, bad_lines, counts)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path, first_line) DO UPDATE SET
end = excluded.end, last_size = excluded.last_size, last_crc = excluded.last_crc, rest_crc = excluded.rest_crc,
bad_lines = excluded.bad_lines, counts = excluded.counts"""


class Counts(msgspec.Struct):
    """What was found in a source, and what became of it."""

    lines: int = 0
    """Lines, or rows, that were looked at."""
    bytes: int = 0
    forms: dict[str, int] = {}
    """Events by their form, see transfer.forms."""
    stored: int = 0
    sessions: int = 0
    large_fields: int = 0
    duplicates: int = 0
    reused: int = 0
    """Events whose id another event has."""
    bad: int = 0
    unresolved: int = 0
    """References that lead nowhere."""
    without_time: int = 0
    examples: dict[str, list[tuple[str, str]]] = {}
    """(place, what) of some that were reused or bad."""

    def see(self, event: SourceEvent) -> None:
        """An event was read."""
        self.lines += 1
        self.bytes += event.size
        self.forms[event.form] = self.forms.get(event.form, 0) + 1
        self.unresolved += event.form == "lean" and event.context is None
        self.without_time += event.time_ns is None

    def see_quick(self, events: Ready[Any]) -> None:
        """Events were read in the form that most have."""
        count = len(events.made)
        self.lines += count
        self.bytes += events.size
        self.forms["embedded"] = self.forms.get("embedded", 0) + count

    def take(self, taken: Taken, file: str) -> None:
        """What became of events of a file."""
        self.stored += taken.stored
        self.sessions += taken.sessions
        self.large_fields += taken.large_fields
        self.duplicates += taken.duplicates
        self.reused += len(taken.reused)
        self.bad += len(taken.refused)
        self._tell("reused", [(f"{file}:{line}", event) for line, event in taken.reused])
        self._tell("bad", [(f"{file}:{line}", reason) for line, reason in taken.refused])

    def put_aside(self, bad: BadLine) -> None:
        """A line is no event."""
        self.lines += 1
        self.bytes += bad.size
        self.refuse(bad)

    def refuse(self, bad: BadLine) -> None:
        """What was read cannot be stored."""
        self.bad += 1
        self._tell("bad", [(bad.place, bad.reason)])

    def _tell(self, kind: str, some: list[tuple[str, str]]) -> None:
        if some:
            told = self.examples.setdefault(kind, [])
            told += some[: EXAMPLES - len(told)]

    def add(self, other: "Counts") -> None:
        """What another source had."""
        for name in ("lines", "bytes", "stored", "sessions", "large_fields", "duplicates", "reused", "bad",
                     "unresolved", "without_time"):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.forms = dict(Counter(self.forms) + Counter(other.forms))
        for kind, some in other.examples.items():
            self._tell(kind, some)


class Progress(msgspec.Struct):
    """How far one source was read."""

    path: str
    first_line: bytes
    """Its hash; of a database empty."""
    end: int = 0
    last_size: int = 0
    last_crc: int = 0
    rest_crc: int | None = None
    """Of what followed and was no whole line: it was told of, and is looked at again."""
    counts: Counts = msgspec.field(default_factory=Counts)

    def pass_over(self, found: Sequence[SourceEvent | BadLine | Ready[Any]]) -> None:
        """Reading goes on behind the last of these."""
        for last in found[-1:]:
            if isinstance(last, Ready):
                assert last.last is not None
                self.end, self.last_size, self.last_crc = last.last.end, last.last.size, crc_of(last.last.text)
            else:
                self.end, self.last_size, self.last_crc = last.end, last.size, last.crc

    def is_new_rest(self, found: BadLine) -> bool:
        """Whether the rest of a text, which is no whole line, is another than was told of before."""
        rest = crc32(found.raw, found.size)
        known, self.rest_crc = self.rest_crc, rest
        return rest != known

    @property
    def key(self) -> tuple[str, bytes]:
        """Which source it is."""
        return self.path, self.first_line


def known(connection: sqlite3.Connection) -> tuple[dict[tuple[str, bytes], Progress], int]:
    """What the database has of sources, and how many bytes of bad lines were told of."""
    found: dict[tuple[str, bytes], Progress] = {}
    told = 0
    for path, first_line, end, last_size, last_crc, rest_crc, bad_lines, text in connection.execute(_SELECT):
        counts = msgspec.json.decode(text, type=Counts)
        found[path, first_line] = Progress(path, first_line, end, last_size, last_crc, rest_crc, counts)
        told = max(told, bad_lines)
    return found, told


def known_in(database: Path) -> tuple[dict[tuple[str, bytes], Progress], int]:
    """The same, asked by a path. Raises ColdError."""
    with translated(str(database)), closing(connect(database, Connection, readonly=True)) as connection:
        return known(connection)


def note(connection: sqlite3.Connection, progress: Progress, bad_lines: int) -> None:
    """Remember it, inside a transaction."""
    counts = msgspec.json.encode(progress.counts).decode()
    connection.execute(_UPSERT, (*msgspec.structs.astuple(progress)[:6], bad_lines, counts))
