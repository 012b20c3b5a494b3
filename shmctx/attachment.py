"""One process's hold on a store: its segment, its way to the database, and its candidacy for leading.

Everything here is about life and death: opening, closing, forking, a segment that loses its name. What a store does
with a segment is in `store`.
"""

import atexit
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

from shmctx import process
from shmctx.errors import ColdError, ColdMismatch, LeaderAlive, SegmentCorrupt, SegmentMissing, ShmctxError
from shmctx.forks import fork_gate
from shmctx.hot import segment as segments
from shmctx.hot._core import POISONED, SEALED, Ring
from shmctx.hot.segment import Segment
from shmctx.settings import Settings

if TYPE_CHECKING:
    from shmctx.cold.reader import SqliteReader
    from shmctx.drain.leader import Candidate

AGENT, STANDBY, READER = 1, 2, 3
ORPHANS_INTERVAL = 0.1
"""Seconds between two looks for generations without a name."""
ROLES = {AGENT: "agent", STANDBY: "standby", READER: "reader"}

_attachments: WeakSet["Attachment"] = WeakSet()
_hooked = False


class Attachment:
    """An attached segment and what goes with it. `on_segment` is called with every segment that takes over."""

    def __init__(self, segment: Segment, settings: Settings, *, role: int) -> None:
        self.name = segment.name
        self.settings = settings
        self.segment = segment
        self.store_id = segment.header["store_id"]
        self.database = Path(segment.header["database"])
        self.reader = _reader(self.database, self.store_id)
        self.candidate: Candidate | None = None
        self.closed = False
        self._log_directory: Path | None = None
        self.on_segment: Callable[[Ring], None] = lambda _: None
        self._role = role
        self._orphans_due = 0.0
        self._join(segment.ring)
        _hook_process_events()
        _attachments.add(self)

    @property
    def ring(self) -> Ring:
        """The ring of the segment that is in use now."""
        return self.segment.ring

    def log_directory(self) -> Path | None:
        """Where the event log is; None as long as the database cannot say."""
        from shmctx.cold import questions
        from shmctx.cold.logged import directory_of

        if self._log_directory is None:
            with contextlib.suppress(ColdError):
                self._log_directory = directory_of(self.database, self.reader.ask(questions.log_directory()))
        return self._log_directory

    def _join(self, ring: Ring) -> None:
        """Take a participant's slot, for people and counters."""
        ring.set_lock_limit(self.settings.lock_timeout)
        if self._role == READER:
            return
        dead = {pid for pid, start, *_ in ring.participants() if not process.is_alive(pid, start)}
        if ring.join(os.getpid(), process.start_time(os.getpid()), self._role, dead):
            ring.seen(time.time_ns())

    def replace_segment(self, segment: Segment) -> None:
        """Go on with another segment of the same store. The old mapping lives until its last call returns."""
        self._join(segment.ring)
        former, self.segment = self.segment, segment
        self.on_segment(segment.ring)
        former.ring.leave()
        former.close()

    def refresh(self) -> bool:
        """Move to the successor if this generation is sealed (only then can there be one).

        That is where the name leads, or, while it leads nowhere, the newest generation that still has users.

        Raises ColdMismatch where the name leads to another store.
        """
        if not self.segment.ring.state() & SEALED:
            return False
        try:
            successor = segments.attach(self.name, writable=self._role != READER)
        except SegmentMissing:
            found = self._newest_orphan()
            if found is None:
                return False
            successor = found
        if successor.header["generation"] == self.segment.header["generation"]:
            return False
        if successor.header["store_id"] != self.store_id:
            raise ColdMismatch(
                f"The name {self.name!r} now leads to another store.", hint="Attach that one, or choose another name."
            )
        self.replace_segment(successor)
        return True

    def _newest_orphan(self) -> Segment | None:
        """A later generation that lost its name before the next one was made. Not looked for at every call: that reads
        what all processes have open."""
        now = time.monotonic()
        if now < self._orphans_due:
            return None
        self._orphans_due = now + ORPHANS_INTERVAL
        mine = self.segment.header

        def age(segment: Segment) -> tuple[int, int]:
            return segment.header["base"], segment.header["created_ns"]

        nameless = [found for _, found in segments.orphans(self.name) if found.header["store_id"] == mine["store_id"]]
        newest = max(nameless, key=age, default=None)
        return newest if newest is not None and age(newest) > (mine["base"], mine["created_ns"]) else None

    def reattach(self, deadline: float) -> None:
        """This generation is sealed: wait (until `deadline`, time.monotonic seconds) for the next one and attach."""
        while not self.refresh():
            if time.monotonic() >= deadline:
                raise SegmentMissing(
                    f"The segment {self.name!r} was removed and no process has made a new one. Nothing was stored."
                )
            time.sleep(0.01)

    def stand(self) -> None:
        """Stand for election in a thread, if this process does not yet."""
        from shmctx.drain.election import Election
        from shmctx.drain.leader import Candidate

        if self.candidate is None:
            self.candidate = Candidate(self, Election(self.database), self.settings)

    def close(self) -> None:
        """Stop leading (what is in the ring is drained first), close the database, give the slot back. Idempotent."""
        if self.closed:
            return
        self.closed = True
        _attachments.discard(self)
        stopped = self.candidate is None or self.candidate.stop(self.settings.durable_timeout)
        self.reader.close()
        self.segment.ring.leave()
        if stopped:
            self.segment.close()

    def forked(self) -> None:
        """In a forked child: the mapping is shared and stays; threads and locks are the parent's."""
        candidate, self.candidate = self.candidate, None
        self.reader.forked()
        self._join(self.segment.ring)
        if candidate is not None:
            candidate.forked()
            self.stand()


def _reader(database: Path, store_id: int) -> "SqliteReader":
    from shmctx.cold.reader import SqliteReader  # sqlite3 is not loaded by `import shmctx`

    return SqliteReader(database, store_id)


def _hook_process_events() -> None:
    global _hooked
    if not _hooked:
        _hooked = True
        fork_gate.hook()
        os.register_at_fork(after_in_child=_after_fork)
        atexit.register(_at_exit)


def _after_fork() -> None:
    for attachment in list(_attachments):
        attachment.forked()


def _at_exit() -> None:
    """An interpreter that ends without close() still drains and gives its slot back."""
    for attachment in list(_attachments):
        attachment.close()


def attach(name: str, settings: Settings, *, standby: bool = False, readonly: bool = False) -> Attachment:
    """Attach to an existing segment; with `standby`, ready to lead."""
    segment = segments.attach(name, writable=not readonly)
    role = READER if readonly else STANDBY if standby else AGENT
    attachment = Attachment(segment, settings, role=role)
    if standby:
        attachment.stand()
    return attachment


def open_or_create(
    name: str, database: Path, ring_size: int, settings: Settings, log: Path | None = None
) -> Attachment:
    """Attach to the segment, or make it if this process can lead; then lead or stand by."""
    from shmctx.drain.election import Election
    from shmctx.drain.leader import Candidate

    segments.check_name(name)
    election = Election(database)
    deadline = time.monotonic() + settings.attach_timeout
    while not election.try_win():
        try:
            segment = segments.attach(name)
            break
        except SegmentMissing:
            if time.monotonic() >= deadline:
                raise LeaderAlive(
                    f"{process.describe(election.holder())} drains {database}, but there is no segment {name!r}.",
                    hint="Use another database for this store, or end that process.",
                ) from None
            time.sleep(0.01)
    else:
        try:
            segment = _segment_to_lead(name, database, ring_size, settings, log)
        except BaseException:
            election.resign()
            raise
    try:
        _check_database(segment, database)
    except ShmctxError:
        election.resign()
        raise
    attachment = Attachment(segment, settings, role=STANDBY)
    attachment.candidate = Candidate(attachment, election, settings)
    return attachment


def _segment_to_lead(name: str, database: Path, ring_size: int, settings: Settings, log: Path | None) -> Segment:
    """Under the election: adopt the segment of a dead predecessor, or make one. Shows errors before a thread starts."""
    from shmctx.drain import generation
    from shmctx.drain.leader import announce, open_writer

    try:
        existing = segments.attach(name)
    except SegmentMissing:
        existing = None
    if existing is not None:
        _check_database(existing, database)
        if existing.ring.state() & POISONED:
            raise SegmentCorrupt(f"The segment {name!r} is damaged beyond repair; its records can still be read.")
        if existing.ring.state() & SEALED:
            existing = None
            segments.unlink(name)
    with fork_gate, contextlib.closing(open_writer(database, settings, log)) as writer:
        if existing is None:
            existing = generation.first(writer, name, database, ring_size, rehydrate=settings.rehydrate)
        announce(existing.ring, generation.align(writer, existing).epoch)
    return existing


def _check_database(segment: Segment, database: Path) -> None:
    named = segment.header["database"]
    if named != str(database):
        raise ColdMismatch(
            f"The segment {segment.name!r} drains to {named}, not to {database}.",
            hint="Name that database, choose another name for the new store, or `shmctx unlink` the segment first.",
        )
