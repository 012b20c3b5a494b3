"""Reading the database: every process does it by itself, through a small pool of read-only connections."""

import sqlite3
import threading
from pathlib import Path
from typing import TypeVar, cast

from shmctx.cold.connection import Connection, connect, translate, translated
from shmctx.cold.questions import FileRead, Question
from shmctx.errors import ColdMismatch, ColdUnavailable
from shmctx.forks import fork_gate
from shmctx.names import SQL_FUNCTION

POOL_SIZE = 4
"""Connections kept open; more readers at once open and close their own."""

T = TypeVar("T")


READER_PRAGMAS = ("PRAGMA query_only = ON", "PRAGMA trusted_schema = OFF")
STORE_ID = "SELECT store_id FROM store"


def check_exists(path: Path) -> None:
    """Raise ColdUnavailable where there is no database: opening it would not say so."""
    if not path.exists():
        raise ColdUnavailable(f"There is no database {path}.", hint="Start a process that drains: `shmctx daemon`.")


def check_store(path: Path, row: tuple[int] | None, store_id: int) -> None:
    """Raise ColdMismatch for the database of another store, given the row that STORE_ID finds."""
    if row is None or row[0] != store_id:
        raise ColdMismatch(f"{path} is the database of another store.", hint="Name the database of this store.")


class SqliteReader:
    """Answers questions from any thread. Opens nothing until the first question, so the database may be made later."""

    def __init__(self, path: Path, store_id: int) -> None:
        self.path = path
        self._store_id = store_id
        self._pool: list[Connection] = []
        self._lock = threading.Lock()
        self._closed = False

    def _take(self) -> Connection:
        with self._lock:
            while self._pool:
                connection = self._pool.pop()
                if not connection.closed:  # by a fork
                    return connection
        return self._open()

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if self._closed or len(self._pool) >= POOL_SIZE:
                connection.close()
            else:
                self._pool.append(connection)

    def _open(self) -> Connection:
        check_exists(self.path)
        with translated(str(self.path)):
            connection = connect(self.path, Connection, readonly=True)
            try:
                for pragma in READER_PRAGMAS:
                    connection.execute(pragma)
                connection.create_function(*SQL_FUNCTION, deterministic=True)
                self._check_store(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def _check_store(self, connection: Connection) -> None:
        check_store(self.path, connection.execute(STORE_ID).fetchone(), self._store_id)

    def ask(self, question: Question[T] | FileRead[T]) -> T:
        """Answer a question. Raises ColdError."""
        if isinstance(question, FileRead):
            return cast(T, question.run())
        with fork_gate:
            connection = self._take()
            try:
                found = connection.execute(question.sql, question.values).fetchall()
            except BaseException as error:
                connection.close()
                if isinstance(error, sqlite3.Error):
                    raise translate(error, str(self.path)) from error
                raise
            self._give_back(connection)
        return question.convert(found)

    def close(self) -> None:
        """Close the pooled connections; those in use close themselves when they come back."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, []
        for connection in pool:
            connection.close()

    def forked(self) -> None:
        """In a forked child: the fork has closed the connections, and another thread may have held the lock."""
        self._pool = []
        self._lock = threading.Lock()
