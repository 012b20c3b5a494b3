"""Arrivals made into records: what is new, each at the position that a ring would have given it.

One id, two events: the first is stored already when the second comes. If they are the same, the second is a duplicate
and stored no more. If not, it is kept too, under the same id, and reported: both happened, and nothing says which one
was meant. A context alone that says something else than the event of its id is put aside.

Whether an id was there before is asked of a filter first, whose size does not depend on what it has seen; only what may
have been there is looked up.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from shmctx import payloads, records
from shmctx.context import EVENT_PREFIX
from shmctx.hot._core import CONTEXT, GRANULE, PAYLOAD, SESSION
from shmctx.hot.shapes import RecordTuple
from shmctx.settings import Settings
from shmctx.transfer.arrivals import Arrival
from shmctx.transfer.known import Known, Packed, is_same

MAX_PAYLOAD = 16 << 20
"""Bytes that one record of a ring can hold."""
REMEMBERED = 1 << 14
"""Sessions and large fields of which it is remembered that they are stored."""
FILTER_BYTES = 8 << 20
_decode = msgspec.json.Decoder().decode

V = TypeVar("V")
Placed = tuple[str, Arrival]
"""(where it was read, what arrived)"""


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
    reused: list[tuple[str, str]] = []
    """(place, event id) of events whose id another one has too."""
    refused: list[tuple[str, str]] = []
    """(place, reason)"""


class Intake:
    """Makes records for one store. What it makes is to be stored before it is asked for more."""

    def __init__(self, known: Sequence[Known], position: int, settings: Settings) -> None:
        """`known`: the databases that may have an event already, that of the store first. `position`: where it ends."""
        self._known = known
        self._position = position
        self._settings = settings
        self._seen = Seen()
        self._sessions: dict[bytes, int] = {}
        self._large: dict[bytes, None] = {}
        self._taken = Taken(position, position)
        for database in known:
            for key in database.ids():
                self._seen.add(key)

    def take(self, arrived: Sequence[Placed]) -> Taken:
        """The records of what is new. Raises ColdError."""
        self._taken = taken = Taken(self._position, self._position)
        new = self._new([(place, self._pack(arrival)) for place, arrival in arrived])
        self._find_sessions({packed.arrival.session for _, packed in new if packed.arrival.session is not None})
        for place, packed in new:
            self._append(place, packed)
        taken.end = self._position
        return taken

    def _pack(self, arrival: Arrival) -> Packed:
        data = arrival.data
        if data is None or len(data) < self._settings.large_size:
            return Packed(arrival, data, ())
        large = self._settings.large_fields, self._settings.large_size
        return Packed(arrival, *payloads.split(_decode(data), data, *large, self._keep))

    def _keep(self, found: bytes, field: bytes) -> None:
        if found in self._large:
            return
        _remember(self._large, found, None)
        self._place(PAYLOAD, 0, found + field)
        self._taken.large_fields += 1

    def _new(self, arrived: list[tuple[str, Packed]]) -> list[tuple[str, Packed]]:
        """Without what is there already."""
        add, asked = self._seen.add, set[str]()
        for _, packed in arrived:
            event = packed.arrival.event
            if event is not None and add(records.packed(event, EVENT_PREFIX) or 0):
                asked.add(event)
        if not asked:
            return arrived
        before = [_Stored(known, asked) for known in self._known]
        new: list[tuple[str, Packed]] = []
        here: dict[str, list[Packed]] = {}
        for place, packed in arrived:
            event = packed.arrival.event
            if event not in asked or event is None or self._is_new(place, packed, here.setdefault(event, []), before):
                new.append((place, packed))
        return new

    def _is_new(self, place: str, packed: Packed, here: list[Packed], before: "Sequence[_Stored]") -> bool:
        event = packed.arrival.event
        if any(other == packed or _is_part(packed, other) for other in here) or any(
            stored.has(packed) for stored in before
        ):
            self._taken.duplicates += 1
            return False
        if here or any(stored.knows(event) for stored in before):
            self._taken.reused.append((place, str(event)))
            if packed.arrival.data is None:
                self._taken.refused.append((place, f"{event} is the id of an event with another context"))
                return False
        here.append(packed)
        return True

    def _find_sessions(self, wanted: set[bytes]) -> None:
        """Remember where sessions are that the database has."""
        unknown = wanted - self._sessions.keys()
        ids = {records.decode_session(payload)["id"] for payload in unknown}
        for position, payload in self._known[0].sessions(ids) if ids else ():
            if payload in unknown:
                _remember(self._sessions, payload, position)

    def _append(self, place: str, packed: Packed) -> None:
        arrival = packed.arrival
        payload = records.encode_fields(packed.fields(self._session(arrival.session)))
        if len(payload) > MAX_PAYLOAD:
            self._taken.refused.append((place, f"a record of {len(payload)} bytes is larger than can be"))
            return
        self._place(CONTEXT, arrival.time_ns, payload)
        self._taken.stored += 1

    def _session(self, payload: bytes | None) -> int | None:
        if payload is None:
            return None
        position = self._sessions.get(payload)
        if position is None:
            position = self._place(SESSION, 0, payload)
            _remember(self._sessions, payload, position)
            self._taken.sessions += 1
        return position

    def _place(self, kind: int, time_ns: int, payload: bytes) -> int:
        position = self._position
        self._taken.records.append((position, kind, False, time_ns, payload))
        self._position = position + 1 + -(-len(payload) // GRANULE)
        return position


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


def _remember(known: dict[bytes, V], key: bytes, value: V) -> None:
    known[key] = value
    if len(known) > REMEMBERED:
        del known[next(iter(known))]
