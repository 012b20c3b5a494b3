"""What a database has of events that arrive: whether one with the same id is the same event, or another."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from shmctx import records
from shmctx.cold import rows
from shmctx.cold.connection import SelfGated, connect, translated
from shmctx.cold.logged import directory_of, encode_line
from shmctx.context import EVENT_PREFIX, Context
from shmctx.log.reader import LogReader
from shmctx.records import StoredEvent
from shmctx.transfer.arrivals import Arrival

CHUNK = 500
"""Values of one question: older builds of SQLite take 999."""
_BY_ID = f"{rows.select_contexts()} WHERE r.event_id IN ({{}})"
_PLACES = "SELECT position, log_place FROM record WHERE log_place IS NOT NULL AND position IN ({})"
_SESSION = "SELECT position, session_id, agent_id, sandbox_uuid, created_at, extra FROM session"
_SESSIONS, _SESSIONS_AT = f"{_SESSION} WHERE session_id IN ({{}})", f"{_SESSION} WHERE position IN ({{}})"
_ALL_IDS = "SELECT event_id FROM record WHERE event_id IS NOT NULL"
_json = msgspec.json.Encoder().encode


class Packed(msgspec.Struct, frozen=True, gc=False):
    """An arrival as a store keeps it: its data may be without large fields, which are stored on their own."""

    arrival: Arrival
    data: bytes | None
    hashes: tuple[bytes, ...] = ()
    large: tuple[tuple[bytes, bytes], ...] = ()
    """(hash, JSON) of each large field."""

    def fields(self, session: int | None) -> tuple[Any, ...]:
        """The fields of a StoredEvent, given the position of the session's record."""
        arrival = self.arrival
        fields = arrival.fields if session is None else arrival.placed(session)
        return records.with_origin(fields, self.data, self.hashes, arrival.logged, arrival.origin)


class Known:
    """One database, read only."""

    def __init__(self, database: Path) -> None:
        """Raises ColdError."""
        self.database = database
        with translated(str(database)):
            self._db = connect(database, SelfGated, readonly=True)
            self.store_id, directory = self._db.execute("SELECT store_id, log_directory FROM store").fetchone()
        self._log = LogReader(directory_of(database, directory))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def ids(self) -> Iterator[int | str]:
        """The keys of all ids that were brought, see Arrival.key."""
        with translated(str(self.database)):
            for row in self._db.execute(_ALL_IDS):
                yield -1 - row[0] if type(row[0]) is int else row[0]

    def session_ids(self) -> Iterator[str]:
        """Of every session."""
        with translated(str(self.database)):
            for row in self._db.execute("SELECT session_id FROM session"):
                yield row[0]

    def with_ids(self, ids: Iterable[str]) -> dict[str, list[Context]]:
        """The contexts that brought these ids, oldest first."""
        found: dict[str, list[Context]] = {}
        for row in self._asked(_BY_ID, [records.packed(event, EVENT_PREFIX) for event in ids]):
            context = rows.context_from_row(row, self.store_id)
            found.setdefault(context.event_id, []).append(context)
        for contexts in found.values():
            contexts.sort(key=lambda context: context.position)
        return found

    def lines(self, contexts: Iterable[Context]) -> Mapping[int, bytes | None]:
        """The log's lines of contexts, by position."""
        hits = self._asked(_PLACES, [context.position for context in contexts])
        found = self._log.lines([rows.log_place(place) for _, place in hits])
        return {position: line for (position, _), line in zip(hits, found, strict=True)}

    def sessions_at(self, positions: Iterable[int | None]) -> Mapping[int | None, bytes]:
        """The payloads of sessions by their positions."""
        hits = self._asked(_SESSIONS_AT, list({position for position in positions if position is not None}))
        return {row[0]: records.encode_session(rows.session_from_row(row[1:])) for row in hits}

    def sessions(self, ids: Iterable[str]) -> Iterator[tuple[int, bytes]]:
        """(position, payload) of the records of these sessions, oldest first."""
        for row in sorted(self._asked(_SESSIONS, list(ids))):
            position, *columns = row
            yield position, records.encode_session(rows.session_from_row(tuple(columns)))

    def _asked(self, sql: str, values: Sequence[Any]) -> list[Any]:
        hits: list[Any] = []
        for start in range(0, len(values), CHUNK):
            some = values[start : start + CHUNK]
            with translated(str(self.database)):
                hits += self._db.execute(sql.format(", ".join("?" * len(some))), some).fetchall()
        return hits


def is_same(packed: Packed, context: Context, session: bytes | None, line: bytes | None) -> bool:
    """Whether an arrival is what is stored: the context, the payload of its session and its line in the log.

    One without data is, if its context is, whenever that was and whatever it was called where neither is told.
    """
    arrival = packed.arrival
    if session != arrival.session:
        return False
    mine = msgspec.structs.astuple(context)[:11]
    if arrival.data is None:
        return mine[1:] == arrival.placed(context.session_position)[1:]
    event = StoredEvent(*packed.fields(context.session_position))
    return line is not None and mine == msgspec.structs.astuple(event)[:11] and line == encode_line(
        context.ref, event, arrival.time_ns
    )  # fmt: skip
