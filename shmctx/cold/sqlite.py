"""SQLite behind the cold interface: one connection writes and checkpoints, all others only read.

SQLite before 3.51.3 can lose committed rows when one connection checkpoints while another commits (its WAL-reset bug),
so there is never a second one that does either: the writer exists only under the leader's flock, readers are opened
`mode=ro` with `query_only`.
"""

import contextlib
import heapq
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from shmctx.cold import Batch, Cursor, Damaged, rows, schema
from shmctx.cold.connection import Connection, connect, translated
from shmctx.cold.eventlog import EventLog
from shmctx.cold.insert import Inserter
from shmctx.cold.marking import drop_unused
from shmctx.cold.pruning import Pruner
from shmctx.errors import ColdMismatch, ColdUnavailable, LeadershipLost
from shmctx.hot._core import FIRST_POSITION
from shmctx.hot.shapes import RecordTuple
from shmctx.settings import Retention

CHECKPOINT_BYTES = 8 << 20
"""Write-ahead log that is worth a checkpoint while the drain is busy."""


class SqliteWriter:
    """A ColdWriter. Opening it creates or migrates the database. A fork closes it, unless its owner is in the fork
    gate."""

    def __init__(
        self,
        path: Path,
        *,
        log: Path | None = None,
        wal_limit: int = 64 << 20,
        log_rotate_bytes: int = 64 << 20,
        retention: Retention | None = None,
    ) -> None:
        """`log`: where the event log is to be; without it, where the database says, or beside the database."""
        schema.check_engine()
        self.path = path
        self._wal_limit = wal_limit
        self._epoch = 0
        _create_private(path)
        with translated(str(path)):
            # Closing checkpoints; a connection that fails half-way is closed by its deletion.
            self._db = connect(path, Connection, readonly=False)
            self._db.execute("PRAGMA trusted_schema = OFF")
            schema.check_version(self._db, str(path))
            self._configure()
            schema.migrate(self._db, str(path))
        self._inode = path.stat().st_ino
        self.log = EventLog(self._db, path, log, rotate_bytes=log_rotate_bytes)
        self._inserter = Inserter(self._db, self.log)
        self.pruner = Pruner(self._db, self.log, retention, self._owned, lambda: translated(str(path)))

    def _configure(self) -> None:
        mode = self._db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA wal_autocheckpoint = 0")
        self._db.execute(f"PRAGMA journal_size_limit = {self._wal_limit}")
        self._db.execute("PRAGMA cache_size = -32000")
        self._db.execute("PRAGMA secure_delete = ON")  # what is removed is overwritten: forget() promises it
        synchronous = self._db.execute("PRAGMA synchronous").fetchone()[0]
        if mode != "wal" or synchronous != 2:
            raise ColdUnavailable(
                f"{self.path} cannot be written durably: journal mode {mode}, synchronous {synchronous}.",
                hint="Put it on a local disk; network file systems have no write-ahead log.",
            )

    def sync_less(self) -> None:
        """For a database that is made again where the machine fails: from now on a commit survives the
        death of this process, and only what a checkpoint has written a power cut. The database stays whole."""
        with translated(str(self.path)):
            self._db.execute("PRAGMA synchronous = NORMAL")

    def cursor(self) -> Cursor | None:
        """Where the drain stands; None in a new database."""
        with translated(str(self.path)):
            row = self._db.execute("SELECT store_id, generation, capacity, epoch, position FROM store").fetchone()
        return Cursor(*row) if row else None

    def create_store(self, *, store_id: int, position: int = FIRST_POSITION) -> None:
        """Give a new database its store id."""
        with translated(str(self.path)), self._transaction():
            self._db.execute(
                "INSERT INTO store (one, store_id, generation, capacity, epoch, position, created_ns) "
                "VALUES (1, ?, 0, 0, 0, ?, ?)",
                (store_id, position, time.time_ns()),
            )
            self.log.settle()
            schema.create_view(self._db, store_id)

    def take_over(self, *, store_id: int) -> Cursor:
        """See ColdWriter."""
        cursor = self.cursor()
        if cursor is None:
            raise ColdMismatch(f"{self.path} belongs to no store yet.")
        self.check_store(cursor, store_id)
        with translated(str(self.path)), self._transaction():
            self._db.execute("UPDATE store SET epoch = epoch + 1")
        # Only now: this commit overwrote what a failed one may have left in SQLite's log, which would turn up again in
        # a recovery and need the lines of the event log that are cut off here.
        with translated(str(self.path)), self._transaction():
            self.log.settle()
            self.pruner.settle()
        cursor = msgspec.structs.replace(cursor, epoch=cursor.epoch + 1)
        self._epoch = cursor.epoch
        return cursor

    def check_store(self, cursor: Cursor, store_id: int) -> None:
        """Raise ColdMismatch where the database belongs to another store."""
        if cursor.store_id != store_id:
            raise ColdMismatch(
                f"{self.path} belongs to store {cursor.store_id:06x}, the segment to store {store_id:06x}.",
                hint="Name the database that the segment was made with (`shmctx ls` shows it).",
            )

    def begin_generation(self, *, generation: int, capacity: int, position: int) -> None:
        """See ColdWriter."""
        with translated(str(self.path)), self._transaction():
            changed = self._db.execute(
                "UPDATE store SET generation = ?, capacity = ?, position = max(position, ?) WHERE epoch = ?",
                (generation, capacity, position, self._epoch),
            ).rowcount
            if changed != 1:
                raise LeadershipLost(f"Another process leads {self.path} now.")

    def commit(self, batch: Batch, also: Callable[[sqlite3.Connection], object] | None = None) -> None:
        """See ColdWriter. `also` writes more in the same transaction."""
        if not self.is_current():
            raise ColdUnavailable(f"The database {self.path} was removed or replaced while it was in use.")
        with self._insertion():
            self._advance(batch.start, batch.end)
            self._inserter.insert(batch.records)
            self._quarantine(batch.damaged)
            drop_unused(self._db, batch.unneeded)
            if also is not None:
                also(self._db)

    @contextlib.contextmanager
    def _insertion(self) -> Iterator[None]:
        """A transaction that inserts records, and their lines in the event log, or does neither."""
        try:
            with translated(str(self.path)), self._transaction():
                yield
                self.log.before_commit()
        except BaseException:
            self._inserter.rolled_back()  # ids from a transaction that was rolled back
            self.log.rolled_back()
            raise
        if self._inserter.forgot():
            self.maintain(idle=True)  # the write-ahead log still has what the database has not any more

    @contextlib.contextmanager
    def _owned(self) -> Iterator[None]:
        """A transaction of the process that leads. Raises LeadershipLost."""
        with translated(str(self.path)), self._transaction():
            if self._db.execute("SELECT epoch FROM store").fetchone()[0] != self._epoch:
                raise LeadershipLost(f"Another process leads {self.path} now.")
            yield

    def _advance(self, start: int, end: int) -> None:
        """Move the drain position, which only this epoch may, and only from where it was seen last."""
        statement = "UPDATE store SET position = ? WHERE epoch = ? AND position = ?"
        if self._db.execute(statement, (end, self._epoch, start)).rowcount != 1:
            raise LeadershipLost(f"Another process has drained {self.path} meanwhile.")

    def insert(self, records: Iterable[RecordTuple], damaged: Damaged = ()) -> int:
        """See ColdWriter."""
        with translated(str(self.path)), self._transaction():
            self.log.settle()
        with self._insertion():
            self._quarantine(damaged)
            return self._inserter.insert(list(records))

    def _quarantine(self, damaged: Damaged) -> None:
        self._inserter.quarantine([(start, 0, "damaged in the ring", raw) for start, _, raw in damaged])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def newest(self, first: int, end: int) -> Iterator[RecordTuple]:
        """See ColdWriter."""
        span = (first, end)
        streams = [
            (
                rows.record_from_row(row)
                for row in self._db.execute(
                    f"{rows.select_contexts()} WHERE r.position >= ? AND r.position < ? ORDER BY r.position",
                    span,
                )
            ),
            (
                rows.record_from_session(row)
                for row in self._db.execute(
                    "SELECT * FROM session WHERE position >= ? AND position < ? ORDER BY position", span
                )
            ),
            (
                rows.record_from_annotation(row)
                for row in self._db.execute(
                    "SELECT * FROM annotation WHERE position >= ? AND position < ? ORDER BY position", span
                )
            ),
        ]
        yield from heapq.merge(*streams, key=lambda record: record[0])

    def payloads_of(self, positions: Sequence[int]) -> list[bytes]:
        """Hashes of the large fields that the events at these positions refer to."""
        sql = "SELECT hash FROM payload WHERE id IN (SELECT payload FROM payload_use WHERE position = ?)"
        with translated(str(self.path)):
            return [row[0] for position in positions for row in self._db.execute(sql, (position,))]

    def maintain(self, *, idle: bool) -> None:
        """See ColdWriter."""
        if not idle:
            self.log.maintain()
        size = self.wal_size()
        if size == 0 or (not idle and size < min(CHECKPOINT_BYTES, self._wal_limit)):
            return
        # PASSIVE never waits for readers. A log beyond the limit is emptied even if that waits for them a moment.
        mode = "TRUNCATE" if idle or size > self._wal_limit else "PASSIVE"
        with translated(str(self.path)):
            self._db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()

    def settle(self) -> None:
        """Write the log that a predecessor left once more, byte for byte, and sync it.

        After a failed fsync Linux takes the log's pages for clean: frames of a failed commit may be whole in memory and
        nowhere else, and a later sync of the log would not write them. Readers see no change, and none can hold this
        up. SQLite's own locks are on other files, so closing this descriptor drops none of them.
        """
        with translated(str(self.path)), self._transaction():  # the write lock: nobody appends or resets meanwhile
            try:
                with Path(f"{self.path}-wal").open("r+b", buffering=0) as log:
                    position = 0
                    while chunk := os.pread(log.fileno(), 1 << 20, position):
                        position += os.pwrite(log.fileno(), chunk, position)
                    os.fdatasync(log.fileno())
            except FileNotFoundError:
                return
            except OSError as error:
                raise ColdUnavailable(
                    f"The log of {self.path} cannot be written: {error.strerror}.",
                    hint="Free space on the database's disk, or look at the kernel's log for it.",
                ) from None

    def wal_size(self) -> int:
        """Bytes of the write-ahead log."""
        try:
            return os.stat(f"{self.path}-wal").st_size
        except FileNotFoundError:
            return 0

    @property
    def closed(self) -> bool:
        """Whether it was closed, which a fork does too."""
        return self._db.closed

    def is_current(self) -> bool:
        """Whether the path still leads to the file this connection has open."""
        try:
            return self.path.stat().st_ino == self._inode
        except OSError:
            return False

    def close(self) -> None:
        """Close the connection; SQLite checkpoints and removes its write-ahead log if nobody reads."""
        self.pruner.abandon()
        self.log.close()
        with contextlib.suppress(ColdUnavailable), translated(str(self.path)):
            self._db.close()


def _create_private(path: Path) -> None:
    """Make the file 0600 before SQLite opens it; the log and its index inherit the mode."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise ColdUnavailable(
            f"The database {path} cannot be opened for writing: {error.strerror}.",
            hint="Check that its directory exists, is writable and belongs to this user.",
        ) from None
