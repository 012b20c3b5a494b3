"""Moving into a store while it runs: every event is put as any other, and one that is there already is not put again.

Before each few thousand, the database is brought up to what has been put, and says what is there. How far a source was
read is not remembered: a run that was killed is simply repeated. An event that brings no id is put again then.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from shmctx import payloads, records
from shmctx.drafts import Draft
from shmctx.records import decode_context, decode_session
from shmctx.settings import Settings
from shmctx.store import Store
from shmctx.transfer import lines
from shmctx.transfer.batches import Batch, batches
from shmctx.transfer.known import Known, Packed
from shmctx.transfer.ledger import Counts
from shmctx.transfer.novelty import Novelty, Taken, pack
from shmctx.transfer.sources import BadLine, Sources

Tell = Callable[[BadLine], object]
Watch = Callable[[int, int, int], None]
"""As in transfer.migrate."""


class LiveReport(msgspec.Struct, kw_only=True):
    """What was moved into a store."""

    name: str
    sources: int = 0
    counts: Counts = msgspec.field(default_factory=Counts)
    seconds: float = 0.0


def migrate_live(
    paths: Iterable[Path],
    store: Store,
    *,
    settings: Settings | None = None,
    tell: Tell | None = None,
    watch: Watch | None = None,
) -> LiveReport:
    """Put what these paths have into an open store; returns when all of it is in the database.

    `tell` is given every line that could not be read or stored. Raises SourceUnreadable, RingFull, NotDurable and what
    else a put raises; what was put before stays.
    """
    began = time.monotonic()
    report = LiveReport(name=store.name)
    store.flush()
    with Sources(paths) as sources, Known(store.database) as known:
        report.sources = len(sources.logs) + len(sources.databases)
        mover = _Mover(store, Novelty([known]), settings or Settings(), report.counts, tell or (lambda _: None))
        total = sum(map(lines.size, sources.logs))
        for batch in batches(sources, {}, store.store_id):
            mover.move(batch)
            if watch is not None:
                watch(batch.read, total, report.counts.stored)
    report.seconds = time.monotonic() - began
    return report


class _Mover:
    def __init__(self, store: Store, novelty: Novelty, settings: Settings, counts: Counts, tell: Tell) -> None:
        self._store = store
        self._novelty = novelty
        self._settings = settings
        self._counts = counts
        self._tell = tell

    def move(self, batch: Batch) -> None:
        """Put what is new, durably."""
        taken = Taken(0, 0)
        arrived = [(line, pack(arrival, self._settings)) for line, arrival in batch.arrived]
        for _, packed in self._novelty.new(arrived, taken):
            put(self._store, packed)
            taken.stored += 1
        self._counts.add(batch.progress.counts)
        self._counts.take(taken, batch.file)
        for bad in (*batch.bad, *(BadLine(batch.file, line, reason, b"") for line, reason in taken.refused)):
            self._tell(bad)
        self._store.flush()


def put(store: Store, packed: Packed) -> str:
    """Put one as it came, whatever is current here; returns its ref. Raises what Store.put does.

    Its session and its large fields come first, each as a record of its own.
    """
    arrival = packed.arrival
    position, session = (None, None) if arrival.session is None else store.put_session(decode_session(arrival.session))
    large = payloads.Accompanied({}, packed.hashes, dict(packed.large)) if packed.large else None
    if large is not None:
        store.pack(large)
    payload = records.encode_fields(packed.fields(position))
    context = decode_context(payload)
    correlation = ... if context.correlation is None else context.correlation_identity
    draft = Draft(
        payload, arrival.time_ns, arrival.event, correlation, context.agent_id, session, context.parent_identity
    )
    return store.append_draft(draft, {"data": large})
