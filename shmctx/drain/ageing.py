"""What the leader does besides draining: contexts leave the ring by age and when they are forgotten, and the database
when they have expired."""

import contextlib
import time
from collections.abc import Sequence

import msgspec

from shmctx import marks, payloads, records
from shmctx.cold import Batch
from shmctx.cold.sqlite import SqliteWriter
from shmctx.drain import generation
from shmctx.errors import LeadershipLost, RecordDamaged, ShmctxError
from shmctx.hot._core import ALIAS_LINK, ANNOTATION, CONTEXT, MARK, PARENT_LINK, PAYLOAD, Ring
from shmctx.hot.shapes import RecordTuple
from shmctx.settings import Settings

_RECORDS, _BYTES = 256, 1 << 20  # of one scan, at most: it holds the interpreter lock
_MANY = 1 << 40
_BATCHES = 2  # drain transactions between two steps of a round ...
_ROOM = 4  # ... while not more than one part in so many of the ring waits to be drained
_PATIENCE = 60.0  # seconds before a round that failed is begun again


class Tail:
    """Moves the ring's tail over what is in the database and older than `ttl` seconds (None: nothing ever is)."""

    def __init__(self, ttl: float | None) -> None:
        self._ttl_ns = None if ttl is None else int(ttl * 1e9)
        self._next = 0

    def move(self, ring: Ring, now_ns: int) -> bool:
        """Look at the next records; True if there may be more that have aged out."""
        if self._ttl_ns is None:
            return False
        _, _, drained, tail = ring.positions()
        start = max(self._next, tail)
        if not ring.live(start):
            start = generation.oldest(ring)
        if start >= drained:
            return False
        end, found, _ = ring.scan(start, drained, _RECORDS, _BYTES)
        # An age, not a moment: while the clock is behind, nothing is old.
        young = next((record[0] for record in found if now_ns - record[3] < self._ttl_ns), None)
        self._next = end if young is None else young
        ring.set_tail(self._next)
        return young is None and self._next < drained


class Rounds:
    """When the next step of which round of pruning is due."""

    def __init__(self, settings: Settings) -> None:
        self._interval = settings.prune_interval
        self._due = time.monotonic()
        self._asked = True  # perhaps, of a predecessor
        self._batches = 0

    def begin(self, writer: SqliteWriter) -> None:
        """The first round waits for the rest of the interval since the last one, also another leader's."""
        waited = (time.time_ns() - writer.pruner.last_ns()) / 1e9
        self._due = time.monotonic() + (self._interval - waited if 0 <= waited <= self._interval else 0.0)

    def look(self, batch: Batch) -> None:
        """Whether somebody asks for a round in this batch."""
        self._asked = self._asked or any(record[1] == MARK for record in batch.records)

    def between_batches(self, writer: SqliteWriter, ring: Ring, capacity: int) -> None:
        """While the drain is busy: a step now and then, as long as the ring has room. Raises LeadershipLost."""
        self._batches += 1
        _, head, drained, _ = ring.positions()
        if self._batches % _BATCHES == 0 and (head - drained) * _ROOM < capacity:
            self.step(writer)

    def step(self, writer: SqliteWriter) -> bool:
        """One step, if one is due; True if the next one can follow at once. Raises LeadershipLost.

        What goes wrong is told as what the log has lost is, and holds up no drain.
        """
        due = time.monotonic() >= self._due
        try:
            if not writer.pruner.at_work:
                if not (due or self._asked):
                    return False
                began = writer.pruner.begin(due=due)
                self._asked = began is not None
                if began == 0:
                    self._due = time.monotonic() + self._interval
            return writer.pruner.step()
        except LeadershipLost:
            raise
        except ShmctxError as error:
            writer.pruner.abandon()
            self._due = time.monotonic() + min(_PATIENCE, self._interval)
            writer.log.tell(f"What has expired could not be removed. {error}")
            return False


def forget(ring: Ring, writer: SqliteWriter, batch: Batch, *, in_ring: bool = True) -> Batch:
    """Before the commit of a batch with marks that forget: take out of the ring what they name.

    Large fields go first and the context last, so that whoever does this again, after a death within, still finds what
    the context refers to. The batch that is returned says which large fields the database may drop. Without `in_ring`
    it is only worked out: a recovery leaves the segment as it is.
    """
    targets = marks.forgotten(batch.records)
    if not targets:
        return batch
    hashes = set(writer.payloads_of(targets))
    for target in targets:
        hashes.update(_refers_to(_record(ring, target)))
    if in_ring:
        for digest in hashes:
            _erase_field(ring, digest, batch.end)
        erase(ring, targets)
    # After the erasing: who puts the same field again either comes before this look, or finds it gone.
    return msgspec.structs.replace(batch, unneeded=sorted(hashes - _wanted(ring, batch.end, hashes)))


def forget_again(ring: Ring, drained: int) -> None:
    """For a new leader: what its predecessor, or a recovery, forgot in the database and not in the ring.

    A recovery's large fields stay until they are overwritten or old: others may be referring to them at this moment.
    """
    for position in ring.find(ALIAS_LINK, marks.FORGETTING, 0, _MANY):
        record = _record(ring, position)
        if record is not None and position < drained:
            erase(ring, marks.forgotten([record]))


def erase(ring: Ring, targets: Sequence[int]) -> None:
    """Erase contexts and their annotations. Raises WriterStalled.

    What cannot be read (None) may be half erased; erasing finishes that, and touches nothing else.
    """
    for target in targets:
        for position in ring.find(PARENT_LINK, target, 0, _MANY):
            record = _record(ring, position)
            if record is None or _annotates(record, target):
                ring.erase(position)
        record = _record(ring, target)
        if record is None or record[1] == CONTEXT:
            ring.erase(target)


def _erase_field(ring: Ring, digest: bytes, end: int) -> None:
    """Erase what the ring has of a large field before `end`; what comes after that was put by somebody else."""
    for position in ring.find(ALIAS_LINK, payloads.alias(digest), 0, _MANY):
        record = _record(ring, position)
        if position < end and (record is None or (record[1] == PAYLOAD and record[4].startswith(digest))):
            ring.erase(position)


def _record(ring: Ring, position: int) -> RecordTuple | None:
    with contextlib.suppress(RecordDamaged):
        return ring.record(position)
    return None


def _annotates(record: RecordTuple, target: int) -> bool:
    if record[1] != ANNOTATION:
        return False
    with contextlib.suppress(*records.NOT_DECODABLE):
        return records.decode_annotation(record[4]).target == target
    return False


def _refers_to(record: RecordTuple | None) -> tuple[bytes, ...]:
    """Hashes of the large fields of an event."""
    if record is not None and record[1] == CONTEXT:
        with contextlib.suppress(*records.NOT_DECODABLE):
            return records.decode_event(record[4]).payloads
    return ()


def _wanted(ring: Ring, start: int, hashes: set[bytes]) -> set[bytes]:
    """Which of the large fields events refer to that the database does not know yet."""
    head = ring.positions()[1]
    wanted: set[bytes] = set()
    while hashes and start < head:
        start, found, _ = ring.scan(start, head, _RECORDS, _BYTES)
        for record in found:
            wanted.update(hashes.intersection(_refers_to(record)))
    return wanted
