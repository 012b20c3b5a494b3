"""Arrivals made into records: what is new, each at the position that a ring would have given it."""

from collections.abc import Sequence
from typing import TypeVar

from shmctx import records
from shmctx.hot._core import CONTEXT, GRANULE, PAYLOAD, SESSION
from shmctx.records import session_id
from shmctx.settings import Settings
from shmctx.transfer.arrivals import Arrival
from shmctx.transfer.known import Known, Packed
from shmctx.transfer.novelty import Novelty, Seen, Taken, pack

MAX_PAYLOAD = 16 << 20
"""Bytes that one record of a ring can hold."""
REMEMBERED = 1 << 14
"""Sessions and large fields of which it is remembered that they are stored."""

V = TypeVar("V")


class Intake:
    """Makes records for one store. What it makes is to be stored before it is asked for more."""

    def __init__(self, known: Sequence[Known], position: int, settings: Settings) -> None:
        """`known`: the databases that may have an event already, that of the store first. `position`: where it ends."""
        self._own = known[0]
        self._novelty = Novelty(known)
        self._seen_sessions = Seen()
        for session in self._own.session_ids():
            self._seen_sessions.add(session)
        self._position = position
        self._settings = settings
        self._sessions: dict[bytes, int] = {}
        self._large: dict[bytes, None] = {}
        self._taken = Taken(position, position)

    def take(self, arrived: Sequence[tuple[int, Arrival]]) -> Taken:
        """The records of what is new of these (line, arrival). Raises ColdError."""
        self._taken = taken = Taken(self._position, self._position)
        settings = self._settings
        new = self._novelty.new([(line, pack(arrival, settings)) for line, arrival in arrived], taken)
        self._find_sessions({packed.arrival.session for _, packed in new if packed.arrival.session is not None})
        append = self._append
        for line, packed in new:
            append(line, packed)
        taken.end = self._position
        return taken

    def _keep(self, found: bytes, field: bytes) -> None:
        if found not in self._large:
            _remember(self._large, found, None)
            self._place(PAYLOAD, 0, found + field)
            self._taken.large_fields += 1

    def _find_sessions(self, wanted: set[bytes]) -> None:
        """Remember where sessions are that the database has."""
        unknown = wanted - self._sessions.keys()
        ids = {session_id(payload) for payload in unknown}
        asked = [session for session in ids if self._seen_sessions.add(session)]
        if asked:
            for position, payload in self._own.sessions(asked):
                if payload in unknown:
                    _remember(self._sessions, payload, position)

    def _append(self, line: int, packed: Packed) -> None:
        arrival = packed.arrival
        for found, field in packed.large:
            self._keep(found, field)
        session = None if arrival.session is None else self._session(arrival.session)
        payload = records.encode_fields(packed.fields(session))
        if len(payload) > MAX_PAYLOAD:
            self._taken.refused.append((line, f"a record of {len(payload)} bytes is larger than can be"))
            return
        self._place(CONTEXT, arrival.time_ns, payload)
        self._taken.stored += 1

    def _session(self, payload: bytes) -> int:
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


def _remember(known: dict[bytes, V], key: bytes, value: V) -> None:
    known[key] = value
    if len(known) > REMEMBERED:
        del known[next(iter(known))]
