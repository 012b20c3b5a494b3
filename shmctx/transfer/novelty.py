"""Which arrivals are new to a store.

One id, two events: the first is stored already when the second comes. If they are the same, the second is a duplicate
and stored no more. If not, it is kept too, under the same id, and reported: both happened, and nothing says which one
was meant. A context alone that says something else than the event of its id is put aside.

Whether an id was there before is asked of a filter first, whose size does not depend on what it has seen; only what may
have been there is looked up.
"""

from collections.abc import Iterable, Sequence

import msgspec

from shmctx import payloads
from shmctx.hot.shapes import RecordTuple
from shmctx.settings import Settings
from shmctx.transfer.arrivals import Arrival
from shmctx.transfer.known import Known, Packed, is_same

FILTER_BYTES = 8 << 20
_decode = msgspec.json.Decoder().decode

New = tuple[int, Packed]
"""(line, what arrived)"""


def pack(arrival: Arrival, settings: Settings) -> Packed:
    """An arrival without the large fields of its data, which are stored on their own."""
    data = arrival.data
    if data is None or len(data) < settings.large_size:
        return Packed(arrival, data)
    large: dict[bytes, bytes] = {}
    lean, hashes = payloads.split(_decode(data), data, settings.large_fields, settings.large_size, large.__setitem__)
    return Packed(arrival, lean, hashes, tuple(large.items()))


class Seen:
    """A Bloom filter with one hash: what it has not seen was never added."""

    def __init__(self) -> None:
        self._bits = bytearray(FILTER_BYTES)

    def add(self, key: int | str) -> bool:
        """Add a key; whether it may have been there."""
        place = hash(key) % (FILTER_BYTES * 8)
        at, bit = place >> 3, 1 << (place & 7)
        found = self._bits[at] & bit
        self._bits[at] |= bit
        return bool(found)


class Taken(msgspec.Struct):
    """What became of some arrivals."""

    start: int
    end: int
    """Positions."""
    records: list[RecordTuple] = []
    stored: int = 0
    sessions: int = 0
    large_fields: int = 0
    duplicates: int = 0
    reused: list[tuple[int, str]] = []
    """(line, event id) of events whose id another one has too."""
    refused: list[tuple[int, str]] = []
    """(line, reason)"""


class Novelty:
    """Tells what is new. What was new is to be stored before it is asked again."""

    def __init__(self, known: Sequence[Known]) -> None:
        """`known`: the databases that may have an event already."""
        self._known = known
        self._seen = Seen()
        for database in known:
            for key in database.ids():
                self._seen.add(key)

    def new(self, arrived: list[New], taken: Taken) -> list[New]:
        """Without what is there already; what is found out is told to `taken`. Raises ColdError."""
        add, asked = self._seen.add, set[str]()
        for _, packed in arrived:
            arrival = packed.arrival
            if arrival.event is not None and add(arrival.key):
                asked.add(arrival.event)
        if not asked:
            return arrived
        before = [_Stored(known, asked) for known in self._known]
        here: dict[str, list[Packed]] = {}
        return [
            (line, packed)
            for line, packed in arrived
            if packed.arrival.event not in asked or _is_new(line, packed, here, before, taken)
        ]


def _is_new(
    line: int, packed: Packed, here: dict[str, list[Packed]], before: "Sequence[_Stored]", taken: Taken
) -> bool:
    event = packed.arrival.event or ""
    others = here.setdefault(event, [])
    if any(other == packed or _is_part(packed, other) for other in others) or any(old.has(packed) for old in before):
        taken.duplicates += 1
        return False
    if others or any(old.knows(event) for old in before):
        taken.reused.append((line, event))
        if packed.arrival.data is None:
            taken.refused.append((line, f"{event} is the id of an event with another context"))
            return False
    others.append(packed)
    return True


class _Stored:
    """What one database has under some ids."""

    def __init__(self, known: Known, ids: Iterable[str]) -> None:
        self._contexts = known.with_ids(ids)
        every = [context for contexts in self._contexts.values() for context in contexts]
        self._lines = known.lines(every)
        self._sessions = known.sessions_at([context.session_position for context in every])

    def knows(self, event: str | None) -> bool:
        """Whether it has an event of this id."""
        return event in self._contexts

    def has(self, packed: Packed) -> bool:
        """Whether it has this event."""
        return any(
            is_same(packed, context, self._sessions.get(context.session_position), self._lines.get(context.position))
            for context in self._contexts.get(packed.arrival.event or "", ())
        )


def _is_part(packed: Packed, other: Packed) -> bool:
    """Whether a context alone is that of the other."""
    one, two = packed.arrival, other.arrival
    return one.data is None and (one.fields[1:], one.session) == (two.fields[1:], two.session)
