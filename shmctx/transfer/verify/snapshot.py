"""The database under verification: read only, one short transaction after the other, so that it can be in use."""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from shmctx.cold import schema
from shmctx.cold.connection import Connection, connect
from shmctx.cold.questions import CHUNK
from shmctx.cold.reader import READER_PRAGMAS, check_exists
from shmctx.cold.rows import RECORD_COLUMNS, SPAN, Row
from shmctx.cold.sqlite import translated
from shmctx.errors import ColdMismatch
from shmctx.forks import fork_gate

PAGE = 2048
"""Rows of one statement, where nothing else limits them."""


class Store(NamedTuple):
    """What the table `store` says."""

    store_id: int
    generation: int
    capacity: int
    position: int
    log_directory: str | None
    log_number: int | None
    log_size: int | None
    annotations: int

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
                for pragma in READER_PRAGMAS:
                    self._db.execute(pragma)
                version = schema.check_version(self._db, str(path))
                known = version and self._db.execute("SELECT count(*) FROM store").fetchone()[0]
            except BaseException:
                self._db.close()
                raise
        if version != schema.VERSION or not known:
            self._db.close()
            raise ColdMismatch(
                f"{path} has schema version {version}, and {schema.VERSION} is what can be verified.",
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
        with fork_gate:
            return self._db.execute(sql, values).fetchall()

    def pages(self, sql: str, size: int = PAGE) -> Iterator[list[Row]]:
        """Rows of a SELECT by pages, in the order of their first column, which `sql` compares with `?` and limits to
        `?`."""
        after = -1
        while rows := self.ask(sql, (after, size)):
            yield rows
            after = rows[-1][0]

    def store(self) -> Store:
        """The table `store`."""
        columns = "store_id, generation, capacity, position, log_directory, log_number, log_size, annotations"
        return Store(*self.ask(f"SELECT {columns} FROM store")[0])

    def next_stretch(self, start: int) -> int | None:
        """The first position of the next stretch, from `start` on, of which there is anything."""
        found = self.ask(
            "SELECT (SELECT min(position) FROM record WHERE position >= ?1), "
            "(SELECT min(first) FROM span WHERE first >= ?1), "
            "(SELECT min(position) FROM payload_use WHERE position >= ?1)",
            (start,),
        )[0]
        ahead = [position for position in found if position is not None]
        return min(ahead) - min(ahead) % SPAN if ahead else None

    def stretch(self, first: int) -> Stretch:
        """Everything about the stretch that begins at `first`."""
        ends = first, first + SPAN - 1
        with self.snapshot():
            store = self.store()
            rows = self.ask(
                f"SELECT {RECORD_COLUMNS}, checksum FROM record WHERE position BETWEEN ? AND ? ORDER BY position", ends
            )
            span = self.ask("SELECT min_ns, max_ns, contexts FROM span WHERE first = ?", (first,))
            texts = {row[index] for row in rows for index in (2, 8, 9)} - {None}
            return Stretch(
                first,
                store,
                rows,
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
            uses.setdefault(position, []).append(digest)
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


def _column(rows: list[Row], index: int) -> set[Any]:
    return {row[index] for row in rows} - {None}
