"""A context manager with KSI's surface, in a module of KSI's name, that keeps everything in dicts of one process."""

import time
import uuid
from contextvars import ContextVar
from typing import Any

Fields = dict[str, Any]


class ContextManager:
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


_context_manager: Any = None


def get_context_manager() -> Any:
    global _context_manager  # as KSI's own has it
    if _context_manager is None:
        _context_manager = ContextManager()
    return _context_manager
