"""What a store has of events that are looked for by their ids, or by their moments where they have none."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from shmctx.cold import rows
from shmctx.cold.logged import directory_of
from shmctx.cold.questions import CHUNK
from shmctx.cold.rows import SPAN, Row
from shmctx.context import EVENT_PREFIX, Context
from shmctx.log.reader import LogReader
from shmctx.payloads import named, refers, restore
from shmctx.records import packed
from shmctx.refs import resolve_native
from shmctx.transfer.embedding import Origin
from shmctx.transfer.verify.snapshot import Database

Moment = tuple[str, int]
"""(event name, ns since 1970)"""


class Line(msgspec.Struct, frozen=True):
    """An event's line of the log."""

    timestamp: float | int | str | None
    event_name: str
    data: dict[str, Any]
    origin: Origin = msgspec.field(default_factory=Origin)


_decode_line = msgspec.json.Decoder(Line).decode


class Stored(NamedTuple):
    """What the store has of an event."""

    context: Context
    """Without what was annotated."""
    session: dict[str, Any] | None
    line: Line | None


class Shelf:
    """Takes events from a store, many at a time. Raises ColdError; sqlite3.DatabaseError where it is damaged."""

    def __init__(self, database: Database, log: Path | None) -> None:
        """`log`: the log's directory, where it is not the one that the database says."""
        store = database.store()
        self._database = database
        self._store_id = store.store_id
        self._log = LogReader(log or directory_of(database.path, store.log_directory))

    def by_ids(self, ids: Iterable[str]) -> dict[str, list[Stored]]:
        """The events that have these ids: brought ones, or such as this store gives."""
        ids = list(ids)
        known = filter(None, map(resolve_native, ids))
        natives = [position for store_id, position in known if store_id == self._store_id]
        brought = [packed(text, EVENT_PREFIX) for text in ids]
        with self._database.snapshot():
            found = self._taken([*self._select("r.event_id", brought), *self._select("r.position", natives)])
        shelf: dict[str, list[Stored]] = {}
        for stored in found:
            shelf.setdefault(stored.context.event_id, []).append(stored)
        return shelf

    def by_moments(self, moments: set[Moment]) -> dict[Moment, list[Stored]]:
        """The events of these names that happened at these very moments."""
        times = sorted({time_ns for _, time_ns in moments})
        with self._database.snapshot():
            positions = [position for first in self._stretches(times) for position in self._at(first, times)]
            found = self._taken(self._select("r.position", positions))
        shelf: dict[Moment, list[Stored]] = {}
        for stored in found:
            moment = stored.context.event_name, stored.context.time_ns
            if moment in moments:
                shelf.setdefault(moment, []).append(stored)
        return shelf

    def _stretches(self, times: Sequence[int]) -> Iterator[int]:
        """Those that can have contexts of one of these times, which are in order."""
        if times:
            sql = "SELECT first FROM span WHERE min_ns <= ? AND max_ns >= ? ORDER BY first"
            yield from (first for (first,) in self._database.numbers(sql, (times[-1], times[0])))

    def _at(self, first: int, times: Sequence[int]) -> Iterator[int]:
        for start in range(0, len(times), CHUNK):
            chunk = times[start : start + CHUNK]
            sql = f"SELECT position FROM record WHERE position BETWEEN ? AND ? AND time_ns IN ({_marks(chunk)})"
            yield from (row[0] for row in self._database.ask(sql, (first, first + SPAN - 1, *chunk)))

    def _select(self, column: str, values: Sequence[Any]) -> Iterator[Row]:
        for start in range(0, len(values), CHUNK):
            chunk = values[start : start + CHUNK]
            sql = f"{rows.select_contexts()} WHERE {column} IN ({_marks(chunk)}) ORDER BY r.position"
            yield from self._database.ask(sql, chunk)

    def _taken(self, contexts: Iterable[Row]) -> list[Stored]:
        taken = list(contexts)
        sessions = self._sessions([*{row[10] for row in taken} - {None}])
        lines = self._lines([row[11] for row in taken if row[11] is not None])
        return [
            Stored(rows.context_from_row(row, self._store_id), sessions.get(row[10]), lines.get(row[11]))
            for row in taken
        ]

    def _sessions(self, positions: Sequence[int]) -> dict[int | None, dict[str, Any]]:
        columns = "position, session_id, agent_id, sandbox_uuid, created_at, extra"
        found: dict[int | None, dict[str, Any]] = {}
        for start in range(0, len(positions), CHUNK):
            chunk = positions[start : start + CHUNK]
            sql = f"SELECT {columns} FROM session WHERE position IN ({_marks(chunk)})"
            found |= {row[0]: rows.session_from_row(row[1:]) for row in self._database.ask(sql, chunk)}
        return found

    def _lines(self, places: Sequence[int]) -> dict[int | None, Line]:
        """The lines at these places, large fields put back; what cannot be read is left out."""
        found: dict[int | None, Line] = {}
        for place, line in zip(places, self._log.lines([rows.log_place(place) for place in places]), strict=True):
            try:
                decoded = None if line is None else _decode_line(line)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
            if line is not None and decoded is not None:
                found[place] = self._whole(decoded) if refers(line) else decoded
        return found

    def _whole(self, line: Line) -> Line:
        hashes = named(line.data)
        stored = self._database.ask(f"SELECT hash, data FROM payload WHERE hash IN ({_marks(hashes)})", hashes)
        fields = ((digest, rows.payload_from_column(column)) for digest, column in stored)
        data = restore(line.data, {digest: field for digest, field in fields if field is not None})
        return msgspec.structs.replace(line, data=data)


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))
