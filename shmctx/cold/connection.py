"""Connections to SQLite that no fork copies.

A child of fork inherits the library's tables of open files and locks, but not the locks themselves (POSIX record locks
stay with the parent). A connection that the child opens then joins those tables: it takes itself for a holder of locks
that nobody holds, and another process may cut the shared index of the write-ahead log under it (SIGBUS) or reset the
log while it commits. SQLite forbids to carry an open connection across a fork, closed in the child or not
(https://www.sqlite.org/howtocorrupt.html, 2.6). So every connection is closed before a fork, in the parent, while no
thread is inside the library (`forks`), and its owner opens another one when it wants one.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote
from weakref import WeakSet

from shmctx.errors import ColdUnavailable
from shmctx.forks import fork_gate

BUSY_TIMEOUT = 2.0
"""Seconds to wait for a lock that a foreign tool holds on the database."""

_HINTS = (
    ("locked", "Another program holds a lock on the database; the drain tries again by itself."),
    ("readonly", "Make the file and its directory writable; records stay in the ring until then."),
    ("full", "Free space on the database's disk; records stay in the ring until then."),
    ("malformed", "The database is damaged: restore it from a backup, or move it away to start a new one."),
    ("not a database", "Name another file, or move this one away."),
    ("disk I/O", "Look at the kernel's log for the disk; records stay in the ring until it works again."),
    ("unable to open", "Check that the directory exists and belongs to this user."),
)

_open: WeakSet["Connection"] = WeakSet()


class Connection(sqlite3.Connection):
    """A connection that a fork closes: `closed` is then true, and every use raises sqlite3.ProgrammingError.

    Its owner holds the fork gate for as long as he needs it open: a statement, a transaction, a cursor's steps.
    """

    closed = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        with fork_gate:
            super().__init__(*arguments, **options)
            _open.add(self)

    def close(self) -> None:
        """Close it, whichever thread asks. Idempotent."""
        with fork_gate:
            self.closed = True
            _open.discard(self)
            super().close()


class SelfGated(Connection):
    """The same for an owner that cannot hold the gate, because he has each call made by a thread of its own: every
    call holds it by itself, and a fork may come between two of them."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """See sqlite3."""
        with fork_gate:
            return super().execute(sql, parameters)

    def cursor(self, factory: type[sqlite3.Cursor] | None = None) -> Any:  # type: ignore[override]
        """See sqlite3."""
        return super().cursor(factory or _SelfGatedCursor)


class _SelfGatedCursor(sqlite3.Cursor):
    def fetchall(self) -> list[Any]:
        with fork_gate:
            return super().fetchall()


C = TypeVar("C", bound=Connection)


def connect(path: Path, kind: type[C], *, readonly: bool) -> C:
    """A connection that any thread may use, without transactions of Python's own. Raises sqlite3.Error."""
    connection: C = sqlite3.connect(
        f"file:{quote(str(path))}?mode={'ro' if readonly else 'rwc'}",
        uri=True,
        timeout=BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
        factory=kind,
    )
    return connection


@contextlib.contextmanager
def translated(path: str) -> Iterator[None]:
    """Around every use of SQLite: its errors as ColdUnavailable with what to do next, and no fork meanwhile."""
    try:
        with fork_gate:
            yield
    except sqlite3.Error as error:
        raise translate(error, path) from error


def translate(error: sqlite3.Error, path: str) -> ColdUnavailable:
    """The ColdUnavailable for one of SQLite's errors."""
    text = str(error)
    hint = next((hint for word, hint in _HINTS if word in text), "")
    return ColdUnavailable(f"The database {path} cannot be used: {text}.", hint=hint)


def _close_all() -> None:
    for connection in list(_open):
        with contextlib.suppress(sqlite3.Error):  # a checkpoint that fails: the next connection makes it
            connection.close()


fork_gate.before(_close_all)
