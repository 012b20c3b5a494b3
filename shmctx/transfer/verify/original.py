"""A store beside the logs that it was made from: every event there, and each of its fields."""

import itertools
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from shmctx.cold import rows
from shmctx.cold.logged import directory_of
from shmctx.cold.rows import Row
from shmctx.context import EVENT_PREFIX, Context
from shmctx.log.reader import LogReader
from shmctx.payloads import named, refers, restore
from shmctx.records import packed
from shmctx.refs import resolve_native
from shmctx.transfer import sources
from shmctx.transfer.embedding import Origin
from shmctx.transfer.forms import SourceEvent, nanoseconds
from shmctx.transfer.shadow.differences import OF_EVERY_CONTEXT
from shmctx.transfer.verify.report import Comparison, Notebook
from shmctx.transfer.verify.snapshot import Database

BATCH = 400
"""Events looked up together."""

_json = msgspec.json.Encoder(order="sorted").encode
_decode_data = msgspec.json.Decoder().decode


class _Line(msgspec.Struct, frozen=True):
    event_name: str
    data: dict[str, Any]
    origin: Origin = msgspec.field(default_factory=Origin)


_decode_line = msgspec.json.Decoder(_Line).decode


class Stored(NamedTuple):
    """What the store has of an event."""

    context: Context
    session: dict[str, Any] | None
    event_name: str
    data: dict[str, Any] | None
    origin: Origin


class Original:
    """Compares. Memory does not grow with the original: which contexts were met is noted in a temporary file."""

    def __init__(self, database: Database, log: Path | None, book: Notebook) -> None:
        store = database.store()
        self._database = database
        self._store_id = store.store_id
        self._log = LogReader(log or directory_of(database.path, store.log_directory))
        self._book = book
        self._met = sqlite3.connect("")
        self._met.execute("CREATE TABLE met (position INTEGER PRIMARY KEY) WITHOUT ROWID")
        self.result = Comparison()

    def close(self) -> None:
        """Remove the temporary file."""
        self._met.close()

    def compare(self, paths: Iterable[Path]) -> Comparison:
        """Look for every event of the original. Raises SourceUnreadable, ColdError."""
        events = self._events(paths)
        while batch := list(itertools.islice(events, BATCH)):
            found = self._stored(batch)
            for event in batch:
                self._one(event, found.get(event.context["_event_id"], ()) if event.context else ())
        met = self._met.execute("SELECT count(*) FROM met").fetchone()[0]
        self.result.besides = self._database.ask("SELECT count(*) FROM record")[0][0] - met
        return self.result

    def _events(self, paths: Iterable[Path]) -> Iterator[SourceEvent]:
        for found in sources.read(paths):
            if not isinstance(found, SourceEvent):
                self.result.bad_lines += 1
                self._book.note("bad_line", found.place, found.reason)
                continue
            self.result.events += 1
            if found.context is None or type(found.context.get("_event_id")) is not str:
                self.result.without_id += 1
                self._book.note("without_id", found.place, "It has no event id to find it by.")
            else:
                yield found

    def _one(self, event: SourceEvent, candidates: Iterable[Stored]) -> None:
        differences: list[str] | None = None
        for stored in candidates:
            differences = list(_differences(event, stored))
            if not differences:
                self.result.equal += 1
                position = stored.context.position
                if not self._met.execute("INSERT OR IGNORE INTO met VALUES (?)", (position,)).rowcount:
                    self.result.repeated += 1
                return
            self._met.execute("INSERT OR IGNORE INTO met VALUES (?)", (stored.context.position,))
        event_id = event.context["_event_id"] if event.context else ""
        if differences is None:
            self.result.missing += 1
            self._book.problem("missing", event.place, f"The store does not have {event_id}.")
        else:
            self.result.differing += 1
            self._book.problem("differs", event.place, f"{event_id}: {'; '.join(differences)}")

    def _stored(self, batch: list[SourceEvent]) -> dict[str, list[Stored]]:
        """What the store has under the ids of these events."""
        ids = {event.context["_event_id"] for event in batch if event.context}
        natives = filter(None, map(resolve_native, ids))
        positions = {position for store_id, position in natives if store_id == self._store_id}
        brought = {packed(text, EVENT_PREFIX) for text in ids}
        with self._database.snapshot():
            contexts = [*self._select("r.event_id", brought), *self._select("r.position", positions)]
            sessions = self._sessions({row[10] for row in contexts} - {None})
            lines = self._lines([row[11] for row in contexts if row[11] is not None])
        found: dict[str, list[Stored]] = {}
        for row in contexts:
            context = rows.context_from_row(row, self._store_id)
            line = lines.get(row[11])
            name, data, origin = context.event_name, None, Origin()
            if line is not None:
                name, data, origin = line.event_name, line.data, line.origin
            stored = Stored(context, sessions.get(row[10]), name, data, origin)
            found.setdefault(context.event_id, []).append(stored)
        return found

    def _select(self, column: str, values: set[Any]) -> list[Row]:
        marks = ",".join("?" * len(values))
        sql = f"{rows.select_contexts()} WHERE {column} IN ({marks}) ORDER BY r.position"
        return self._database.ask(sql, list(values)) if values else []

    def _sessions(self, positions: set[int]) -> dict[int | None, dict[str, Any]]:
        marks = ",".join("?" * len(positions))
        columns = "position, session_id, agent_id, sandbox_uuid, created_at, extra"
        found = self._database.ask(f"SELECT {columns} FROM session WHERE position IN ({marks})", list(positions))
        return {row[0]: rows.session_from_row(row[1:]) for row in found}

    def _lines(self, places: list[int]) -> dict[int | None, _Line]:
        """The lines at these places, large fields put back; what cannot be read is left out."""
        found: dict[int | None, _Line] = {}
        for place, line in zip(places, self._log.lines([rows.log_place(place) for place in places]), strict=True):
            if line is None:
                continue
            try:
                decoded = _decode_line(line)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
            if refers(line):
                decoded = msgspec.structs.replace(decoded, data=self._restored(decoded.data))
            found[place] = decoded
        return found

    def _restored(self, data: dict[str, Any]) -> dict[str, Any]:
        hashes = named(data)
        marks = ",".join("?" * len(hashes))
        stored = self._database.ask(f"SELECT hash, data FROM payload WHERE hash IN ({marks})", hashes)
        fields = ((digest, rows.payload_from_column(column)) for digest, column in stored)
        return restore(data, {digest: field for digest, field in fields if field is not None})


def _differences(event: SourceEvent, stored: Stored) -> Iterator[str]:
    """What the original says otherwise than the store."""
    if event.event_name != stored.event_name:
        yield f"its name is {stored.event_name!r}, was {event.event_name!r}"
    if _json(event.data or {}) != _json(stored.data or {}):
        yield (
            "its data is gone"
            if stored.data is None
            else f"its data differs in {_where(event.data or {}, stored.data)}"
        )
    source = event.context or {}
    wire = _wire(stored)
    for name, value in source.items():
        if name not in wire:
            if value is not None:
                yield f"{name} is gone, was {_shown(value)}"
        elif name == "_event_timestamp" and nanoseconds(value) == stored.context.time_ns:
            continue
        elif _json(value) != _json(wire[name]):
            yield f"{name} is {_shown(wire[name])}, was {_shown(value)}"
    for name in wire.keys() - source.keys() - OF_EVERY_CONTEXT:
        yield f"{name} is {_shown(wire[name])}, and was not there"


def _wire(stored: Stored) -> dict[str, Any]:
    """The context as the original had it, with what a store has no place for put back from the line."""
    context = msgspec.structs.replace(stored.context, session_position=None)
    wire = context.to_dict()
    if stored.session is not None:
        wire["_session"] = stored.session
    return {name: value for name, value in wire.items() if name not in stored.origin.absent} | stored.origin.context


def _where(source: dict[str, Any], stored: dict[str, Any]) -> str:
    nothing = object()
    names = source.keys() | stored.keys()
    return ", ".join(sorted(name for name in names if source.get(name, nothing) != stored.get(name, nothing))) or "type"


def _shown(value: Any) -> str:
    text = _json(value).decode(errors="replace")
    return text if len(text) <= 60 else f"{text[:57]}..."
