"""An application's old side, as it is without shmctx: a log of events with embedded contexts, and a KSI-like manager
of contexts in dicts of one process."""

import gzip
import itertools
import json
import time
import uuid
from contextvars import ContextVar
from pathlib import Path
from typing import Any

Fields = dict[str, Any]


class OldLog:
    """Appends JSON lines; finds an event by reading the file. `asked` counts how often."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked = 0

    def write(self, event: Fields) -> int:
        """Returns the offset of the line."""
        with self.path.open("ab") as file:
            offset = file.tell()
            file.write(json.dumps(event).encode() + b"\n")
        return offset

    def read(self, event_id: str) -> Fields | None:
        self.asked += 1
        return next((event for event in self.events() if id_of(event) == event_id), None)

    def events(self) -> list[Fields]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]


def id_of(event: Fields) -> str:
    return event["data"]["_ksi_context"]["_event_id"]


def real_events(log: Path, count: int) -> list[Fields]:
    """The first events of a gzipped log."""
    with gzip.open(log, "rt") as lines:
        return [json.loads(line) for line in itertools.islice(lines, count)]


def made_event(number: int, **context: Any) -> Fields:
    """One event in the old form; `context` adds fields, or takes them away with None."""
    event_id = f"evt_{number:08x}"
    fields = {
        "_event_id": event_id, "_event_timestamp": 1_795_331_471.5 + number / 1024, "_correlation_id": "corr_0000abcd",
        "_ref": f"ctx_{event_id}", "_parent_event_id": "evt_ffffffff", "_root_event_id": "evt_ffffffff",
        "_event_depth": 1, "_agent_id": "agent_7",
    } | context  # fmt: skip
    fields = {name: value for name, value in fields.items() if value is not None}
    return {
        "timestamp": 1_795_331_471.6 + number / 1024,
        "event_name": "agent:status",
        "data": {"number": number, "_ksi_context": fields},
    }


class DictManager:
    """A context manager with KSI's surface that keeps everything in dicts of this process."""

    def __init__(self) -> None:
        self.hot_storage, self.cold_storage = self, None
        self.contexts: dict[str, Fields] = {}
        self.events: dict[str, Fields] = {}
        self.current: ContextVar[Fields | None] = ContextVar(f"current_{id(self)}", default=None)
        self.running = False

    async def initialize(self) -> None:
        self.running = True

    async def shutdown(self) -> None:
        self.running = False

    def generate_ref(self, event_id: str | None = None) -> str:
        return f"ctx_{event_id or f'evt_{uuid.uuid4().hex[:8]}'}"

    async def create_context(self, **given: Any) -> Fields:
        parent = self.current.get() or {}
        context = {
            "_event_id": given.pop("event_id", None) or f"evt_{uuid.uuid4().hex[:8]}",
            "_event_timestamp": given.pop("timestamp", None) or time.time(),
            "_correlation_id": given.pop("correlation_id", None)
            or parent.get("_correlation_id")
            or f"corr_{uuid.uuid4().hex[:8]}",
            "_event_depth": 0,
        }
        context |= {f"_{name.lstrip('_')}": value for name, value in given.items()}
        if parent:
            context["_parent_event_id"] = parent["_event_id"]
            context["_root_event_id"] = parent.get("_root_event_id", parent["_event_id"])
            context["_event_depth"] = parent["_event_depth"] + 1
            context = {name: value for name, value in parent.items() if name != "_ref"} | context
        context["_ref"] = self.generate_ref(context["_event_id"])
        self.current.set(context)
        return context

    async def store_event_with_context(self, event: Fields) -> str:
        context = self.current.get()
        if context is None or event.get("event_id", context["_event_id"]) != context["_event_id"]:
            context = await self.create_context(event_id=event.get("event_id"), timestamp=event.get("timestamp"))
        self.contexts[context["_ref"]] = context
        self.events[context["_event_id"]] = {**event, "_ksi_context": context, "_added_at": time.time()}
        return context["_ref"]

    async def get_context(self, ref: str) -> Fields | None:
        return self.contexts.get(ref)

    async def get_event_with_context(self, event_id: str) -> Fields | None:
        return self.events.get(event_id)

    def copy_current_context(self) -> Fields | None:
        context = self.current.get()
        return dict(context) if context else None

    def restore_context(self, context: Fields | None) -> None:
        self.current.set(context)
