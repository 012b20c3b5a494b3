"""Moving into a store while it runs: every event is put as any other, and one that is there already is not put again.

Before each few hundred, the database is brought up to what has been put, and says what is there. How far a source was
read is not remembered: a run that was killed is simply repeated. An event that brings no id is put again then.
"""

import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import msgspec

from shmctx import payloads, records
from shmctx.drafts import Draft
from shmctx.records import decode_context, decode_session
from shmctx.settings import Settings
from shmctx.store import Store
from shmctx.transfer import lines
from shmctx.transfer.arrivals import arrival_of
from shmctx.transfer.forms import SourceEvent, Unfit
from shmctx.transfer.known import Known, Packed
from shmctx.transfer.ledger import Counts
from shmctx.transfer.novelty import New, Novelty, Taken, pack
from shmctx.transfer.sources import BadLine, Sources

AT_ONCE = 500
"""Events between two looks into the database."""
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
        total, before = sum(map(lines.size, sources.logs)), 0
        for path in sources.logs:
            found = sources.events(path)
            while some := list(islice(found, AT_ONCE)):
                mover.move(some)
                if watch is not None:
                    watch(before + sources.meter.read(), total, report.counts.stored)
            before += lines.size(path)
        for source in sources.databases:
            found = sources.contexts(source)
            while some := list(islice(found, AT_ONCE)):
                mover.move(some)
    report.seconds = time.monotonic() - began
    return report


class _Mover:
    def __init__(self, store: Store, novelty: Novelty, settings: Settings, counts: Counts, tell: Tell) -> None:
        self._store = store
        self._novelty = novelty
        self._settings = settings
        self._counts = counts
        self._tell = tell

    def move(self, found: Iterable[SourceEvent | BadLine]) -> None:
        """Put what is new, durably."""
        arrived: list[New] = []
        now_ns = time.time_ns()
        for item in found:
            if isinstance(item, BadLine):
                self._counts.put_aside(item)
                self._tell(item)
                continue
            self._counts.see(item)
            try:
                arrived.append((item, pack(arrival_of(item, self._store.store_id, now_ns), self._settings)))
            except Unfit as error:
                bad = BadLine(item.file, item.line, str(error), b"", item.end, item.size)
                self._counts.refuse(bad)
                self._tell(bad)
        taken = Taken(0, 0)
        for _, packed in self._novelty.new(arrived, taken):
            put(self._store, packed)
            taken.stored += 1
        self._counts.take(taken)
        for place, reason in taken.refused:
            file, _, line = place.rpartition(":")
            self._tell(BadLine(file, int(line), reason, b""))
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
