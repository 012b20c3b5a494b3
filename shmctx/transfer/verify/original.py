"""A store beside the logs that it was made from: every event there, and each of its fields."""

import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from shmctx.refs import MAX_ALIAS, alias_of
from shmctx.transfer import sources
from shmctx.transfer.forms import SourceEvent, nanoseconds
from shmctx.transfer.shadow.differences import OF_EVERY_CONTEXT
from shmctx.transfer.verify.report import Comparison, Notebook
from shmctx.transfer.verify.snapshot import Database
from shmctx.transfer.verify.stored import Shelf, Stored

BATCH = 400
"""Events looked up together."""

_json = msgspec.json.Encoder(order="sorted").encode


class Original:
    """Compares. Memory does not grow with the original: which contexts were met is noted in a temporary file."""

    def __init__(self, database: Database, log: Path | None, book: Notebook) -> None:
        self._database = database
        self._shelf = Shelf(database, log)
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
            by_id = self._shelf.by_ids({found for event in batch if (found := _id(event))})
            moments = {(event.event_name, event.time_ns) for event in batch if event.time_ns and not _id(event)}
            by_moment = self._shelf.by_moments(moments)
            for event in batch:
                event_id = _id(event)
                if event_id:
                    self._one(event, event_id, by_id.get(event_id, ()))
                elif event.time_ns:
                    self._one(event, event.event_name, by_moment.get((event.event_name, event.time_ns), ()))
        met = self._met.execute("SELECT count(*) FROM met").fetchone()[0]
        self.result.besides = self._database.ask("SELECT count(*) FROM record")[0][0] - met
        return self.result

    def _events(self, paths: Iterable[Path]) -> Iterator[SourceEvent]:
        """Those that can be looked for."""
        for found in sources.read(paths):
            if not isinstance(found, SourceEvent):
                self.result.bad_lines += 1
                self._book.note("bad_line", found.place, found.reason)
                continue
            self.result.events += 1
            if _id(found) or found.time_ns:
                yield found
            else:
                self.result.without_id += 1
                self._book.note("without_id", found.place, "It has neither an id nor a time to find it by.")

    def _one(self, event: SourceEvent, called: str, candidates: Sequence[Stored]) -> None:
        compared = [(stored, list(_differences(event, stored))) for stored in candidates]
        for stored, differences in compared:
            if not differences:
                self.result.equal += 1
                self.result.repeated += not self._first_met(stored)
                if event.data is not None and not _is_its_time(event, stored):
                    self._book.note("log_time", event.place, "The time that its line was written was not kept.")
                return
        if not compared:
            self.result.missing += 1
            self._book.problem("missing", event.place, f"The store does not have {called}.")
            return
        self.result.differing += 1
        stored, differences = min(compared, key=lambda each: len(each[1]))
        self._first_met(stored)
        self._book.problem("differs", event.place, f"{called}: {'; '.join(differences)}")

    def _first_met(self, stored: Stored) -> bool:
        position = stored.context.position
        return self._met.execute("INSERT OR IGNORE INTO met VALUES (?)", (position,)).rowcount > 0


def _id(event: SourceEvent) -> str:
    """What the event is found by: its own id, or the one in a reference to it; empty where there is none."""
    context = event.context or {}
    for found in (context.get("_event_id"), context.get("_ref"), event.ref):
        if type(found) is str and 0 < len(alias_of(found)) <= MAX_ALIAS:  # no store keeps another
            return alias_of(found)
    return ""


def _differences(event: SourceEvent, stored: Stored) -> Iterator[str]:
    """What the original says otherwise than the store."""
    line = stored.line
    name = stored.context.event_name if line is None else line.event_name
    if event.event_name != name:
        yield f"its name is {name!r}, was {event.event_name!r}"
    yield from _differing_data(event.data or {}, {} if line is None else line.data)
    yield from _differing_context(event.context or {}, stored)
    if event.data is not None:
        kept = {} if line is None else line.origin.line
        for key, value in event.envelope.items():
            if key != "timestamp" and not _same(event.envelope, kept, key):
                yield f"{key} beside its data is gone, was {_shown(value)}"


def _differing_data(source: dict[str, Any], stored: dict[str, Any]) -> Iterator[str]:
    if _json(source) == _json(stored):
        return
    if not stored:
        yield "its data is gone"
        return
    names = (name for name in source.keys() | stored.keys() if not _same(source, stored, name))
    yield f"its data differs in {', '.join(sorted(names))}"


def _differing_context(source: dict[str, Any], stored: Stored) -> Iterator[str]:
    wire = _wire(stored)
    for name, value in source.items():
        if name not in wire:
            if value is not None:
                yield f"{name} is gone, was {_shown(value)}"
        elif not _same(source, wire, name) and not (
            name == "_event_timestamp" and nanoseconds(value) == stored.context.time_ns
        ):
            yield f"{name} is {_shown(wire[name])}, was {_shown(value)}"
    for name in sorted(wire.keys() - source.keys() - OF_EVERY_CONTEXT):
        yield f"{name} is {_shown(wire[name])}, and was not there"


def _wire(stored: Stored) -> dict[str, Any]:
    """The context as the original had it, with what a store has no place for put back from the line."""
    context = msgspec.structs.replace(stored.context, session_position=None)
    wire = context.to_dict()
    if stored.session is not None:
        wire["_session"] = stored.session
    if stored.line is None:
        return wire
    origin = stored.line.origin
    return {name: value for name, value in wire.items() if name not in origin.absent} | origin.context


def _is_its_time(event: SourceEvent, stored: Stored) -> bool:
    """Whether the line has the time that the original's line had, which is not that of the context."""
    if stored.line is None or "timestamp" not in event.envelope:
        return True
    return _json(stored.line.timestamp) == _json(event.envelope["timestamp"])


def _same(one: dict[str, Any], other: dict[str, Any], name: str) -> bool:
    """Whether both have the same under a name, as JSON: 1, 1.0 and true are three values."""
    return name in one and name in other and _json(one[name]) == _json(other[name])


def _shown(value: Any) -> str:
    text = _json(value).decode(errors="replace")
    return text if len(text) <= 60 else f"{text[:57]}..."
