"""A database and its event log that get their names when they are whole.

A new database is filled as `FILE.migrating`, its log as `DIR.migrating`; both are renamed at the end. One that is there
already is filled in place: every transaction leaves it whole. Who fills holds the election of the final database, so
nobody leads meanwhile, and nobody else fills it.
"""

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from shmctx import process
from shmctx.cold import Batch, schema
from shmctx.cold.connection import Connection, connect, translated
from shmctx.cold.logged import default_directory, directory_of
from shmctx.cold.sqlite import SqliteWriter
from shmctx.drain.election import Election
from shmctx.errors import LeaderAlive, SegmentError, TargetUnavailable
from shmctx.forks import fork_gate
from shmctx.hot import segment as segments
from shmctx.log.files import sync_directory

SUFFIX = ".migrating"
CACHE = 2 << 20
"""Bytes of pages that SQLite keeps in memory."""
_BULK_INDEX = "record_by_event_id"
"""The only index of contexts that filling needs."""
_INDEXES = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'record' AND sql IS NOT NULL"


class Building:
    """Where a database and its log are filled, and where they will be."""

    def __init__(self, database: Path, log: Path | None) -> None:
        """Raises TargetUnavailable where something else is in their place, SegmentError where a store uses them."""
        self.database = database.absolute()
        self.log = (log or default_directory(self.database)).absolute()
        self.in_place = self.database.exists()
        _check_unused(self.database)
        if self.in_place:
            self._check_log()
            self.path, self.directory = self.database, self.log
            return
        self.path = _building(self.database)
        self.directory = _building(self.log)
        if not self.path.exists() and _is_occupied(self.log):
            raise TargetUnavailable(
                f"{self.log} is not empty, and was not touched.",
                hint="Name a folder that is empty or not there yet, or the database whose log this is.",
            )

    def _check_log(self) -> None:
        with translated(str(self.database)), contextlib.closing(_reader(self.database)) as connection:
            schema.check_version(connection, str(self.database))
            row = connection.execute("SELECT log_directory FROM store").fetchone()
        there = directory_of(self.database, row[0] if row else None)
        if there != self.log:
            raise TargetUnavailable(
                f"The event log of {self.database} lies in {there}, not in {self.log}.", hint="Name that folder."
            )

    @property
    def started(self) -> bool:
        """Whether a run before this one was ended half way."""
        return not self.in_place and self.path.exists()

    @contextlib.contextmanager
    def writer(self) -> Iterator[SqliteWriter]:
        """The writer, while the block runs. Raises ColdError."""
        with fork_gate:
            writer = SqliteWriter(self.path, log=self.directory)
            try:
                cursor = writer.cursor()
                if cursor is None:
                    writer.create_store(store_id=secrets.randbits(24))
                    cursor = writer.cursor()
                    assert cursor is not None
                writer.take_over(store_id=cursor.store_id)
                _write(writer, _limit_cache)
                if not self.in_place:
                    writer.sync_less()
                    _write(writer, _drop_indexes)
                yield writer
            finally:
                writer.close()

    def compress(self, writer: SqliteWriter) -> None:
        """Compress what the log has besides its newest file."""
        while writer.log.maintain():
            pass

    def settle(self, writer: SqliteWriter) -> None:
        """The last transaction: the database is as every other, and knows where its log will be."""
        if not self.in_place:
            _write(writer, self._settle)
        writer.maintain(idle=True)

    def _settle(self, connection: sqlite3.Connection) -> None:
        _restore_indexes(connection)
        log = None if self.log == default_directory(self.database) else str(self.log)
        connection.execute("UPDATE store SET log_directory = ?", (log,))

    def is_settled(self) -> bool:
        """Whether only the names are missing: a run before this one was ended between them."""
        with translated(str(self.path)), contextlib.closing(_reader(self.path)) as connection:
            row = connection.execute("SELECT log_directory FROM store").fetchone()
        return row is not None and row[0] != str(self.directory)

    def name(self) -> None:
        """Give both their names. The database comes last: where it is, its log is. Raises TargetUnavailable."""
        if self.in_place:
            return
        try:
            with self.path.open("rb") as file:
                os.fsync(file.fileno())
            if self.directory.exists():
                self.directory.rename(self.log)
                sync_directory(self.log.parent)
            self.path.rename(self.database)
            sync_directory(self.database.parent)
        except OSError as error:
            raise TargetUnavailable(
                f"{error.filename2 or error.filename} cannot get its name: {error.strerror}.",
                hint="Make way for it, then run the same command again.",
            ) from error


@contextlib.contextmanager
def elected(database: Path) -> Iterator[None]:
    """While the block runs, nobody leads the database. Raises LeaderAlive."""
    election = Election(database.absolute())
    if not election.try_win():
        raise LeaderAlive(
            f"{process.describe(election.holder())} drains or fills {database}.",
            hint="Move into the store while it runs: --name NAME. Or end that process first.",
        )
    try:
        yield
    finally:
        election.resign()


def _building(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def _is_occupied(path: Path) -> bool:
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


def _check_unused(database: Path) -> None:
    """A segment gives out positions of its database: nobody else may."""
    for name in segments.names():
        with contextlib.suppress(SegmentError), contextlib.closing(segments.attach(name, writable=False)) as segment:
            if Path(segment.header["database"]) == database:
                raise TargetUnavailable(
                    f"{database} is the database of the store {name!r}, whose segment is there.",
                    hint=f"Move into it while it runs: --name {name}. Or `shmctx unlink {name}` once it has ended.",
                )


def _reader(path: Path) -> Connection:
    return connect(path, Connection, readonly=True)


def _write(writer: SqliteWriter, also: Callable[[sqlite3.Connection], object]) -> None:
    cursor = writer.cursor()
    assert cursor is not None
    writer.commit(Batch(start=cursor.position, end=cursor.position, records=[]), also)


def _limit_cache(connection: sqlite3.Connection) -> None:
    """What is filled is read again little: a large cache would only grow with the database."""
    connection.execute(f"PRAGMA cache_size = {-CACHE // 1024}")


def _drop_indexes(connection: sqlite3.Connection) -> None:
    """Rows come faster without indexes, and indexes are made faster at the end, from sorted rows."""
    for name, _ in connection.execute(_INDEXES).fetchall():
        if name != _BULK_INDEX:
            connection.execute(f"DROP INDEX {name}")


def _restore_indexes(connection: sqlite3.Connection) -> None:
    there = {name for name, _ in connection.execute(_INDEXES)}
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as pattern:
        schema.migrate(pattern, ":memory:")
        for name, sql in pattern.execute(_INDEXES):
            if name not in there:
                connection.execute(sql)
