"""What KSI calls cold storage: the database, read under the names of KSI's tables.

The views live in the connection, so the database does not know of them, and nothing is stored twice. By agent, session
and event name they are searched through the indexes; the other columns are worked out row by row.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakSet

import msgspec

from shmctx.cold.connection import SelfGated, connect, translated
from shmctx.cold.logged import directory_of
from shmctx.cold.reader import STORE_ID, check_exists, check_store
from shmctx.cold.schema import identity_sql
from shmctx.cold.survey import stored_retention
from shmctx.errors import NotDurable, StoreClosed
from shmctx.forks import fork_gate
from shmctx.integrations.ksi.forms import BESIDE, wire
from shmctx.log import files
from shmctx.refs import make_ref
from shmctx.store import Store

PATIENCE = 1.0
"""Seconds that a reader waits for what was put before to be in the database."""
_DAY = 86_400
_json = msgspec.json.Encoder().encode


class _Cursor(sqlite3.Cursor):
    """Every step of it is in the fork gate."""

    def fetchone(self) -> Any:
        with fork_gate:
            return super().fetchone()

    def fetchmany(self, size: int | None = 1) -> list[Any]:
        with fork_gate:
            return super().fetchmany(size)

    def fetchall(self) -> list[Any]:
        with fork_gate:
            return super().fetchall()

    def __next__(self) -> Any:
        with fork_gate:
            return super().__next__()


class _Connection(SelfGated):
    def cursor(self, factory: type[sqlite3.Cursor] | None = None) -> Any:  # type: ignore[override]
        """See sqlite3."""
        return super().cursor(factory or _Cursor)


class ColdStorage:
    """The database. `conn` reads `contexts` and `events` as KSI's SQLiteContextDatabase has them.

    Every thread has a connection of its own. In one that two threads step through, the one may hold the interpreter
    lock while it waits for the connection, which the other holds while it calls back into Python: both for ever.
    """

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store
        self._own = threading.local()
        self._connections: WeakSet[_Connection] = WeakSet()

    @property
    def db_path(self) -> Path:
        """The SQLite file. Raises StoreClosed."""
        return self._store().database

    @property
    def conn(self) -> sqlite3.Connection | None:
        """This thread's connection for reading, its rows by column name; None without a store. Raises ColdError.

        What was put before this is looked at is in the database, if anybody drains.
        """
        try:
            store = self._store()
        except StoreClosed:
            return None
        with contextlib.suppress(NotDurable):
            store.flush(PATIENCE)
        connection: _Connection | None = getattr(self._own, "connection", None)
        if connection is None or connection.closed:  # by close(), or by a fork
            connection = self._own.connection = _open(store)
            self._connections.add(connection)
        return connection

    def close(self) -> None:
        """Close the connections of all threads. Idempotent."""
        for connection in list(self._connections):
            connection.close()


def _open(store: Store) -> _Connection:
    path = store.database
    check_exists(path)
    with fork_gate, translated(str(path)):
        connection = connect(path, _Connection, readonly=True)
        try:
            check_store(path, connection.execute(STORE_ID).fetchone(), store.store_id)
            (named,) = connection.execute("SELECT log_directory FROM store").fetchone()
            connection.create_function("ksi_context", 1, lambda position: _context_json(store, position))
            connection.create_function("ksi_log_file", 1, _LogFiles(directory_of(path, named)).path)
            for sql in _views(store.store_id, stored_retention(connection).default_days):
                connection.execute(sql)
            connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
    connection.row_factory = sqlite3.Row
    return connection


def _context_json(store: Store, position: int) -> str | None:
    context = store.get(make_ref(store.store_id, position))
    return None if context is None else _json(wire(context)).decode()


class _LogFiles:
    """The event log's files by their numbers; their names change when they are compressed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._paths: dict[int, Path] = {}

    def path(self, number: int | None) -> str | None:
        if number is None:
            return None
        found = self._paths.get(number)
        if found is None or not found.exists():
            with contextlib.suppress(OSError):
                self._paths = {of: segment.path for of, segment in files.by_number(self._directory).items()}
            found = self._paths.get(number)
        return None if found is None else str(found)


def _views(store_id: int, days: float | None) -> tuple[str, str]:
    """KSI's tables. A context that was stored again under its id stands for both, as with INSERT OR REPLACE."""
    event_id = identity_sql(store_id, "coalesce(r.event_id, r.position)", "evt_")
    brought = f"'ctx_' || {identity_sql(store_id, 'r.event_id', 'evt_')}"
    ref = f"CASE WHEN r.event_id IS NULL THEN {identity_sql(store_id, 'r.position', 'ctx_')} ELSE {brought} END"
    newer = "newer.event_id = r.event_id AND newer.position > r.position"
    newest = f"NOT EXISTS (SELECT 1 FROM main.record AS newer WHERE {newer})"
    created = "r.time_ns / 1000000000"
    seconds = "r.time_ns / 1000000000 + (r.time_ns % 1000000000) / 1e9"
    contexts = f"""
        CREATE TEMP VIEW contexts AS SELECT
            {ref} AS ref,
            {event_id} AS event_id,
            {identity_sql(store_id, "r.correlation", "corr_")} AS correlation_id,
            session.session_id,
            agent.value AS agent_id,
            ksi_context(r.position) AS context_json,
            {created} AS created_at,
            {created} + {"NULL" if days is None else round(days * _DAY)} AS expires_at
        FROM main.record AS r
            LEFT JOIN main.session AS session ON session.position = r.session
            LEFT JOIN main.text AS agent ON agent.id = r.agent
        WHERE {newest}"""
    events = f"""
        CREATE TEMP VIEW events AS SELECT
            {event_id} AS event_id,
            name.value AS event_name,
            coalesce(json_extract(r.extra, '$.{BESIDE}.timestamp'), {seconds}) AS timestamp,
            {ref} AS context_ref,
            r.log_place & 4294967295 AS jsonl_offset,
            ksi_log_file(r.log_place >> 32) AS jsonl_file
        FROM main.record AS r LEFT JOIN main.text AS name ON name.id = r.event_name
        WHERE {newest}"""
    return contexts, events
