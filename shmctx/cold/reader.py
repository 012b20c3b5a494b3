"""Reading the database: every process does it by itself, through a small pool of read-only connections."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shmctx.cold import Query, rows
from shmctx.cold.sqlite import BUSY_TIMEOUT, read_uri, translated
from shmctx.context import Context
from shmctx.errors import ColdMismatch, ColdUnavailable

POOL_SIZE = 4
"""Connections kept open; more readers at once open and close their own."""
_CHUNK = 500
"""Positions in one IN (...) list."""

_SELECT = f"SELECT {rows.resolved_columns()} FROM record AS r"


class SqliteReader:
    """A ColdReader. Opens nothing until the first question, so the database may be made later."""

    def __init__(self, path: Path, store_id: int) -> None:
        self.path = path
        self._store_id = store_id
        self._pool: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            connection = self._pool.pop() if self._pool else None
        if connection is None:
            connection = self._open()
        try:
            with translated(str(self.path)):
                yield connection
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if self._closed or len(self._pool) >= POOL_SIZE:
                connection.close()
            else:
                self._pool.append(connection)

    def _open(self) -> sqlite3.Connection:
        if not self.path.exists():
            raise ColdUnavailable(
                f"There is no database {self.path}.", hint="Start a process that drains: `shmctx daemon`."
            )
        with translated(str(self.path)):
            connection = sqlite3.connect(
                read_uri(self.path), uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA query_only = ON")
                connection.execute("PRAGMA trusted_schema = OFF")
                self._check_store(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def _check_store(self, connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT store_id FROM store").fetchone()
        if row is None or row[0] != self._store_id:
            raise ColdMismatch(f"{self.path} is the database of another store.")

    def get(self, position: int) -> Context | None:
        """The context at a position."""
        with self._connection() as db:
            row = db.execute(f"{_SELECT} WHERE position = ?", (position,)).fetchone()
        return rows.context_from_row(row, self._store_id) if row else None

    def find_alias(self, alias: str) -> int | None:
        """The position of the newest context that brought this event id."""
        with self._connection() as db:
            row = db.execute("SELECT max(position) FROM record WHERE event_id = ?", (alias,)).fetchone()
        return None if row[0] is None else int(row[0])

    def session(self, position: int) -> dict[str, Any] | None:
        """The data of the session whose record is at a position."""
        columns = "session_id, agent_id, sandbox_uuid, created_at, extra"
        with self._connection() as db:
            row = db.execute(f"SELECT {columns} FROM session WHERE position = ?", (position,)).fetchone()
        return rows.session_from_row(row) if row else None

    def annotations(self, target: int) -> dict[int, dict[str, Any]]:
        """See ColdReader."""
        return self.annotations_of([target]).get(target, {})

    def annotations_of(self, targets: list[int]) -> dict[int, dict[int, dict[str, Any]]]:
        """See ColdReader."""
        found: dict[int, dict[int, dict[str, Any]]] = {}
        with self._connection() as db:
            for start in range(0, len(targets), _CHUNK):
                chunk = targets[start : start + _CHUNK]
                marks = ",".join("?" * len(chunk))
                for target, position, text in db.execute(
                    f"SELECT target, position, fields FROM annotation WHERE target IN ({marks}) ORDER BY position",
                    chunk,
                ):
                    found.setdefault(target, {})[position] = rows.fields_from_json(text)
        return found

    def query(self, query: Query) -> list[Context]:
        """Contexts that fit, ordered by position, without their annotations."""
        where, values = _conditions(query)
        order = "DESC" if query.newest_first else "ASC"
        limit = -1 if query.limit is None else query.limit
        sql = f"{_SELECT} {'WHERE ' + ' AND '.join(where) if where else ''} ORDER BY position {order} LIMIT ?"
        with self._connection() as db:
            found = db.execute(sql, (*values, limit)).fetchall()
        return [rows.context_from_row(row, self._store_id) for row in found]

    def count(self) -> int:
        """How many contexts there are."""
        with self._connection() as db:
            return int(db.execute("SELECT count(*) FROM record").fetchone()[0])

    def positions(self) -> Iterator[int]:
        """Positions of all contexts, oldest first, in short reads that hold up no checkpoint."""
        last = -1
        while True:
            with self._connection() as db:
                chunk = db.execute(
                    "SELECT position FROM record WHERE position > ? ORDER BY position LIMIT 10000", (last,)
                ).fetchall()
            if not chunk:
                return
            yield from (row[0] for row in chunk)
            last = chunk[-1][0]

    def close(self) -> None:
        """Close the pooled connections; those in use close themselves when they come back."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, []
        for connection in pool:
            connection.close()

    def abandon(self) -> None:
        """In a forked child: forget the parent's connections without touching them."""
        _abandoned.extend(self._pool)
        self._pool = []
        self._lock = threading.Lock()


_abandoned: list[sqlite3.Connection] = []
"""Connections of a parent process: SQLite forbids even closing them in a child, so they are kept from collection."""


def _conditions(query: Query) -> tuple[list[str], list[Any]]:
    named = "(SELECT id FROM text WHERE value = ?)"
    tests = (
        ("r.correlation = ?", query.correlation),
        ("r.parent = ?", query.parent),
        (f"r.agent = {named}", query.agent_id),
        ("r.session IN (SELECT position FROM session WHERE session_id = ?)", query.session_id),
        (f"r.event_name = {named}", query.event_name),
        ("r.time_ns >= ?", query.since_ns),
        ("r.time_ns < ?", query.until_ns),
        ("r.position < ?", query.before),
        ("r.position > ?", query.after),
    )
    used = [(test, value) for test, value in tests if value is not None]
    return [test for test, _ in used], [value for _, value in used]
