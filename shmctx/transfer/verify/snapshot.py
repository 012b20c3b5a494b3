"""The database under verification: read only, one short transaction after the other, so that it can be in use."""

import contextlib
import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from shmctx.cold import schema
from shmctx.cold.connection import Connection, connect, translated
from shmctx.cold.questions import CHUNK
from shmctx.cold.reader import READER_PRAGMAS, check_exists
from shmctx.cold.rows import RECORD_COLUMNS, SPAN, Row
from shmctx.errors import ColdMismatch
from shmctx.forks import fork_gate

_NUMBERS = {int}
_OPTIONAL = {int, type(None)}
_IDENTITIES = {int, str, type(None)}
PAGE = 2048
"""Rows of one statement, where nothing else limits them."""


class Store(NamedTuple):
    """What the table `store` says."""

    store_id: int
    generation: int
    position: int
    annotations: int
    log_directory: str | None
    log_number: int | None
    log_size: int | None

    @property
    def log_end(self) -> int:
        """Where the committed part of the log ends, as a place."""
        return (self.log_number or 0) << 32 | (self.log_size or 0)


class Stretch(NamedTuple):
    """All that the database knows of SPAN positions, as it was at one moment."""

    first: int
    store: Store
    rows: list[Row]
    """Every column of `record`, the checksum last."""
    odd: list[Row]
    """Rows that cannot be, such as one with text for a number: the database is damaged."""
    span: Row | None
    """(min_ns, max_ns, contexts)."""
    texts: dict[int, str]
    sessions: set[int]
    parents: set[int | str]
    """Those of the parents' identities that have a context."""
    uses: dict[int, list[bytes | None]]
    """Hashes of large fields by the event that names them; None where the field is not there."""


class Database:
    """Reads. Used by one thread. Raises ColdError; sqlite3.DatabaseError where the file is damaged."""

    def __init__(self, path: Path) -> None:
        check_exists(path)
        self.path = path
        with translated(str(path)):
            self._db = connect(path, Connection, readonly=True)
            try:
                self._prepare()
            except BaseException as error:
                self._db.close()
                if isinstance(error, UnicodeDecodeError):
                    raise sqlite3.DatabaseError("database disk image is malformed") from None
                raise

    def _prepare(self) -> None:
        for pragma in READER_PRAGMAS:
            self._db.execute(pragma)
        self._db.text_factory = _text
        version = schema.check_version(self._db, str(self.path))
        if version != schema.VERSION or not self.ask("SELECT 1 FROM store"):
            raise ColdMismatch(
                f"{self.path} has schema version {version}, and {schema.VERSION} is what can be verified.",
                hint="Whatever leads brings it up to date: start its daemon once, or run `shmctx prune` on it.",
            )

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """One picture for all statements of the block."""
        with fork_gate:
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of a SELECT."""
        try:
            with fork_gate:
                return self._db.execute(sql, values).fetchall()
        except UnicodeDecodeError as error:  # SQLite's message repeats damaged bytes
            raise sqlite3.DatabaseError(f"the database is damaged: {error}") from None

    def numbers(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of a SELECT of numbers that are never null. Raises sqlite3.DatabaseError where one is none."""
        rows = self.ask(sql, values)
        if any(type(value) is not int for row in rows for value in row):
            raise sqlite3.DatabaseError(f"no number where one should be: {sql}")
        return rows

    def pages(self, sql: str, size: int = PAGE) -> Iterator[list[Row]]:
        """Rows of a SELECT by pages, in the order of their first column, which `sql` compares with `?` and limits to
        `?`."""
        after = -1
        while rows := self.ask(sql, (after, size)):
            yield rows
            if rows[-1][0] <= after:
                raise sqlite3.DatabaseError(f"rows are out of order: {sql}")
            after = rows[-1][0]

    def store(self) -> Store:
        """The table `store`. Raises sqlite3.DatabaseError where it holds something else."""
        columns = "store_id, generation, position, annotations, log_directory, log_number, log_size"
        try:
            return msgspec.convert(self.ask(f"SELECT {columns} FROM store")[0], Store)
        except (IndexError, msgspec.ValidationError) as error:
            raise sqlite3.DatabaseError(f"the table store is damaged: {error}") from None

    def changes(self) -> int:
        """Another number than before if anybody has changed the database meanwhile."""
        return int(self.ask("PRAGMA data_version")[0][0])

    def next_stretch(self, start: int) -> int | None:
        """The first position of the next stretch, from `start` on, of which there is anything."""
        found = self.ask(
            "SELECT (SELECT min(position) FROM record WHERE position >= ?1), "
            "(SELECT min(first) FROM span WHERE first >= ?1), "
            "(SELECT min(position) FROM payload_use WHERE position >= ?1)",
            (start,),
        )[0]
        ahead = [position for position in found if position is not None]
        if ahead and min(ahead) < start:
            raise sqlite3.DatabaseError("rows are out of order in record, span, or payload_use")
        return min(ahead) - min(ahead) % SPAN if ahead else None

    def stretch(self, first: int) -> Stretch:
        """Everything about the stretch that begins at `first`."""
        ends = first, first + SPAN - 1
        with self.snapshot():
            store = self.store()
            found = self.ask(
                f"SELECT {RECORD_COLUMNS}, checksum FROM record WHERE position BETWEEN ? AND ? ORDER BY position", ends
            )
            rows = [*filter(_can_be, found)]
            span = self.numbers("SELECT min_ns, max_ns, contexts FROM span WHERE first = ?", (first,))
            texts = {row[index] for row in rows for index in (2, 8, 9)} - {None}
            return Stretch(
                first,
                store,
                rows,
                [*itertools.filterfalse(_can_be, found)] if len(rows) < len(found) else [],
                span[0] if span else None,
                dict(self._among("SELECT id, value FROM text WHERE id", texts)),
                {row[0] for row in self._among("SELECT position FROM session WHERE position", _column(rows, 10))},
                self._parents(rows),
                self._uses(ends),
            )

    def _parents(self, rows: list[Row]) -> set[int | str]:
        known: set[int | str] = {row[0] for row in rows} | _column(rows, 7)
        asked = _column(rows, 4) - known
        positions = {parent for parent in asked if isinstance(parent, int) and parent >= 0}
        known.update(row[0] for row in self._among("SELECT position FROM record WHERE position", positions))
        sql = "SELECT event_id FROM record WHERE event_id"
        known.update(row[0] for row in self._among(sql, asked - positions))
        return known

    def _uses(self, ends: tuple[int, int]) -> dict[int, list[bytes | None]]:
        uses: dict[int, list[bytes | None]] = {}
        sql = (
            "SELECT u.position, p.hash FROM payload_use AS u LEFT JOIN payload AS p ON p.id = u.payload "
            "WHERE u.position BETWEEN ? AND ?"
        )
        for position, digest in self.ask(sql, ends):
            uses.setdefault(position, []).append(digest if type(digest) is bytes else None)
        return uses

    def has_payload(self, digest: bytes) -> bool:
        """Whether there is a large field of this hash."""
        return bool(self.ask("SELECT 1 FROM payload WHERE hash = ?", (digest,)))

    def _among(self, sql: str, values: set[Any]) -> Iterator[Row]:
        """Rows of a SELECT that ends with the name of a column, which is to have one of the values."""
        ordered = list(values)
        for start in range(0, len(ordered), CHUNK):
            chunk = ordered[start : start + CHUNK]
            yield from self.ask(f"{sql} IN ({','.join('?' * len(chunk))})", chunk)


def _text(stored: bytes) -> str:
    return stored.decode(errors="surrogateescape")  # what is no UTF-8 is found, and not an error that ends all


def _can_be(row: Row) -> bool:
    """Whether a row of `record` has numbers where there are to be numbers."""
    optional = {*map(type, row[8:12]), type(row[-1])}
    return {*map(type, row[:4])} == _NUMBERS and optional <= _OPTIONAL and {*map(type, row[4:8])} <= _IDENTITIES


def _column(rows: list[Row], index: int) -> set[Any]:
    return {row[index] for row in rows} - {None}
