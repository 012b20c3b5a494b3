"""The leader: one thread of one process, which drains the ring of a segment to its database.

It runs in small steps, because an event loop may share the interpreter with it, and it never gives up: whatever the
database answers, records stay in the ring, the error is noted in the segment for `stats`, and the batch is tried again.

It holds the fork gate while it works, not while it waits. A fork in between closes the database, which is then taken
over again like that of a leader that died.
"""

import contextlib
import logging
import os
import threading
import time
from operator import itemgetter
from pathlib import Path
from typing import Protocol

from shmctx import process
from shmctx.cold import Batch, Cursor
from shmctx.cold.sqlite import SqliteWriter
from shmctx.drain import ageing, generation
from shmctx.drain.election import Election
from shmctx.errors import ColdError, LeadershipLost, SegmentError
from shmctx.forks import fork_gate
from shmctx.hot._core import SEALED, Ring
from shmctx.hot.segment import Segment
from shmctx.hot.shapes import RecordTuple
from shmctx.settings import Settings

_logger = logging.getLogger("shmctx")
_SHORTEST_RETRY = 0.02  # seconds
_LAZIEST = 4  # idle intervals
_payload = itemgetter(4)  # of a record


class Host(Protocol):
    """What a leader works for: something that has a segment and takes a new one."""

    name: str
    segment: Segment

    def replace_segment(self, segment: Segment) -> None:
        """Go on with another segment."""

    def refresh(self) -> bool:
        """Move to the successor if this segment is sealed and there is one."""


def open_writer(database: Path, settings: Settings, log: Path | None = None) -> SqliteWriter:
    """The one connection that writes; `log` as in SqliteWriter. Raises ColdError."""
    return SqliteWriter(
        database,
        log=log,
        wal_limit=settings.wal_limit,
        log_rotate_bytes=settings.log_rotate_bytes,
        retention=settings.retention,
    )


def announce(ring: Ring, epoch: int) -> None:
    """Say in the segment that this process leads; after another one's death, that counts as a failover."""
    note = ring.leader()
    failover = note["pid"] not in (0, os.getpid()) and not process.is_alive(note["pid"], note["start"])
    ring.set_leader(os.getpid(), process.start_time(os.getpid()), epoch, failover)


class Leader:
    """Drains for as long as this process holds the election. Used by one thread."""

    def __init__(self, host: Host, election: Election, settings: Settings, stop: threading.Event) -> None:
        self._host = host
        self._election = election
        self._database = election.database
        self._settings = settings
        self._stop = stop
        self._writer: SqliteWriter | None = None
        self._cursor: Cursor
        self._retry = _SHORTEST_RETRY
        self._looked_after = 0.0
        self._idle = 0
        self._tail = ageing.Tail(settings.hot_ttl)
        self._rounds = ageing.Rounds(settings)

    def take_over(self) -> None:
        """Open the database and raise the epoch; with it, the segment's drain position. Raises ColdError."""
        with fork_gate:
            self._take_over()

    def _take_over(self) -> None:
        self._check_elected()
        self._host.refresh()
        segment = self._host.segment
        writer = open_writer(self._database, self._settings)
        try:
            if segment.ring.state() & SEALED:  # its successor lost its name too, or was never made
                segment = generation.after(writer, segment, self._database, rehydrate=self._settings.rehydrate)
                self._host.replace_segment(segment)
            self._cursor = generation.align(writer, segment)
            writer.settle()
        except BaseException:
            writer.close()
            raise
        self._writer = writer
        announce(segment.ring, self._cursor.epoch)
        ageing.forget_again(segment.ring, self._cursor.position)
        self._rounds.begin(writer)
        lost = self._lost()
        if lost or segment.ring.positions()[1] <= self._cursor.position:  # else the next batch says what is over
            segment.ring.note_drain(0, lost)
        segment.ring.set_drained(self._cursor.position)

    def _check_elected(self) -> None:
        if not self._election.holds():
            raise LeadershipLost(f"The lock file {self._election.path} was removed or replaced.")

    def run(self) -> None:
        """Drain until `stop` is set and everything before that is drained, or leadership is lost."""
        while True:
            stopping = self._stop.is_set()
            try:
                if self._writer is None:
                    self.take_over()
                drained = self._step(stopping=stopping)
            except LeadershipLost:
                return
            except Exception as error:  # noqa: BLE001  (a drain that ends for whatever reason would fill the ring)
                if self._fail(error, stopping=stopping):
                    return
                continue
            self._retry = _SHORTEST_RETRY
            if stopping and not drained:
                return

    def _step(self, *, stopping: bool) -> bool:
        """Drain one batch; False if there was nothing to drain."""
        ring = self._host.segment.ring
        urgent = ring.urgent()
        head = ring.positions()[1]
        if head <= self._cursor.position:
            if not self._look_around(stopping=stopping) and not stopping and ring.positions()[1] == head:
                self._idle += 1
                # Nothing happens for long: look after the segment more and more rarely.
                ring.wait_head(head, self._settings.idle_interval * min(1 + self._idle // 16, _LAZIEST))
            return False
        self._idle = 0
        if not stopping and head - self._cursor.position < self._settings.batch_records:
            ring.wait_urgent(urgent, self._settings.batch_window)
        with fork_gate:
            if not self._closed_by_fork():
                self._drain_batch()
                self._writer_in_use().maintain(idle=False)
                self._rounds.between_batches(self._writer_in_use(), ring, self._cursor.capacity)
                self._look_after_segment(idle=False)
        return True

    def _look_around(self, *, stopping: bool) -> bool:
        """What can wait until there is nothing to drain; True if there is more of it to do at once."""
        with fork_gate:
            if self._closed_by_fork():
                return True
            self._look_after_segment(idle=True)
            return not stopping and self._tidy_up()

    def _closed_by_fork(self) -> bool:
        """Whether the database has to be taken over again."""
        if self._writer is not None and self._writer.closed:
            self._close_writer()
        return self._writer is None

    def _tidy_up(self) -> bool:
        """A few milliseconds of what can wait; True if there is more of it to do at once."""
        writer = self._writer_in_use()
        return writer.log.maintain() or self._tail.move(self._host.segment.ring, time.time_ns()) or self._prune()

    def _prune(self) -> bool:
        writer = self._writer_in_use()
        more = self._rounds.step(writer)
        lost = self._lost()
        if lost:
            self._host.segment.ring.note_drain(0, lost)
        return more

    def _drain_batch(self) -> None:
        ring, writer = self._host.segment.ring, self._writer_in_use()
        batch = read_batch(self._host.segment, self._cursor.position, self._settings)
        writer.commit(ageing.forget(ring, writer, batch))
        self._rounds.look(batch)
        self._cursor = Cursor(
            self._cursor.store_id, self._cursor.generation, self._cursor.capacity, self._cursor.epoch, batch.end
        )
        ring.note_drain(time.time_ns(), self._lost())  # first: whoever waits for the commit finds no older error in it
        ring.set_drained(batch.end)

    def _lost(self) -> str:
        """What the event log has lost since the last call, told to whoever reads logs or `stats`."""
        lost = self._writer_in_use().log.lost()
        for message in lost:
            _logger.warning(message)
        return " ".join(lost)

    def _look_after_segment(self, *, idle: bool) -> None:
        """Now and then: checkpoints, and whether the segment still has its name."""
        now = time.monotonic()
        if now - self._looked_after < self._settings.idle_interval:
            return
        self._looked_after = now
        self._check_elected()
        if idle:
            self._writer_in_use().maintain(idle=True)
        segment = self._host.segment
        if not idle:  # else _tidy_up does it
            self._tail.move(segment.ring, time.time_ns())
        segment.ring.seen(time.time_ns())
        if not segment.is_current():
            self._move_on(segment)

    def _move_on(self, segment: Segment) -> None:
        """The segment's name was removed: drain the orphan through its mapping, then start a new generation."""
        segment.ring.seal(self._settings.lock_timeout)
        while self._cursor.position < segment.ring.positions()[1]:
            self._drain_batch()
        self._host.replace_segment(
            generation.succeed(self._writer_in_use(), segment, self._database, rehydrate=self._settings.rehydrate)
        )
        self._close_writer()  # opened again by run(): a new epoch for a new generation

    def _fail(self, error: Exception, *, stopping: bool) -> bool:
        """Note the error and wait a little; True if the leader should give up because it is asked to stop."""
        self._host.segment.ring.note_drain(0, str(error) or type(error).__name__)
        self._close_writer()
        if stopping:
            return True
        self._stop.wait(self._retry)
        self._retry = min(2 * self._retry, self._settings.retry_limit)
        return False

    def _writer_in_use(self) -> SqliteWriter:
        if self._writer is None:
            raise LeadershipLost("This process has not taken over.")
        return self._writer

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def close(self) -> None:
        """Close the database, and say in the segment that this process drains no more."""
        self._close_writer()
        ring = self._host.segment.ring
        note = ring.leader()
        if note["pid"] == os.getpid():
            ring.set_leader(0, 0, note["epoch"], False)  # noqa: FBT003


def read_batch(segment: Segment, position: int, settings: Settings) -> Batch:
    """Copy the next records out of the ring, in steps that each hold the interpreter lock for a moment only."""
    ring = segment.ring
    head = ring.positions()[1]
    end, bytes_left = position, settings.batch_bytes
    records: list[RecordTuple] = []
    damaged: list[tuple[int, int, bytes]] = []
    while end < head and len(records) < settings.batch_records and bytes_left > 0:
        end, some, skipped = ring.scan(end, head, settings.scan_records, bytes_left)
        records += some
        damaged += generation.damaged(ring, skipped)
        bytes_left -= sum(map(len, map(_payload, some)))
    return Batch(start=position, end=end, records=records, damaged=damaged)


class Candidate:
    """A thread that stands for election and leads when it wins. Starts at once."""

    def __init__(self, host: Host, election: Election, settings: Settings) -> None:
        self._host = host
        self._settings = settings
        self._election = election
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"shmctx drain {host.name}", daemon=True)
        self._thread.start()

    @property
    def leads(self) -> bool:
        """Whether this process drains now."""
        return self._election.won and self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                won = self._election.try_win()
            except ColdError as error:
                self._host.segment.ring.note_drain(0, str(error))
                won = False
            if won:
                self._lead()
            else:
                self._wait_for_leader()

    def _lead(self) -> None:
        leader = Leader(self._host, self._election, self._settings, self._stop)
        try:
            leader.run()
        finally:
            leader.close()
            self._election.resign()

    def _wait_for_leader(self) -> None:
        """Until it is time to try again; a standby keeps up with the generations meanwhile."""
        with contextlib.suppress(SegmentError, ColdError):
            self._host.refresh()
        self._stop.wait(self._settings.poll_interval)

    def stop(self, timeout: float) -> bool:
        """Drain what is there, give up leadership, end the thread. True if it ended in time (seconds)."""
        self._stop.set()
        deadline = time.monotonic() + timeout
        while self._thread.is_alive() and time.monotonic() < deadline:
            # Again and again: the thread may have looked at the event just before and be about to sleep.
            self._host.segment.ring.request_drain()
            self._thread.join(0.02)
        return not self._thread.is_alive()

    def forked(self) -> None:
        """In a forked child: the thread is gone; give the inherited descriptor back."""
        self._election.forked()
