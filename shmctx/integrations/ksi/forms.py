"""A context as KSI's modules know it, a dict of wire names, and as a store holds it: both ways, and nothing is lost.

A field goes where the store has a place for it. What does not fit there (another type, an explicit None, a number too
large) stays among the custom fields under its wire name, and comes back as it was.
"""

import math
import os
import random
import time
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any, cast

from shmctx import drafts, records
from shmctx.context import MAX_DEPTH, OPTIONAL_FIELDS, Context, Identity
from shmctx.errors import InvalidField
from shmctx.event import Event

Wire = dict[str, Any]
"""A context under wire names: `_event_id`, `_correlation_id`, ..."""

ksi_context: ContextVar[Wire | None] = ContextVar("ksi_context", default=None)
"""The current context, as KSI's modules read it."""

_EVENT_FIELDS = ("event_id", "event_name", "timestamp", "data")
BESIDE = "_ksi_event"
"""The custom field with what an event has besides _EVENT_FIELDS, or in a form of its own."""
ADDED = frozenset({"_ksi_context", "context_ref", "_added_at"})
"""What an event has only once it is stored."""
_OWN = frozenset({"_event_id", "_event_timestamp", "_ref", "_parent_event_id", "_root_event_id", "_event_depth"})
"""What a child does not have from its parent."""
_OPTIONAL = {f"_{name}": name for name in OPTIONAL_FIELDS}
_OPTIONAL_NAMES = frozenset(OPTIONAL_FIELDS)
_END_S = (1 << 63) / 1e9  # in the year 2262
_dice = random.Random()  # noqa: S311 - an id, no secret; os.urandom is a system call for each
os.register_at_fork(after_in_child=_dice.seed)
_LEAST, _GREATEST = -(1 << 63), (1 << 64) - 1


def new_id(prefix: str) -> str:
    """An id of the form that KSI gives: a prefix and eight hex digits."""
    return f"{prefix}{_dice.getrandbits(32):08x}"


def child(current: Wire | None, given: dict[str, Any]) -> Wire:
    """A new context from `given` (event_id, timestamp, correlation_id, and any others, which get an underscore) and
    from what it inherits."""
    event_id = given.pop("event_id", None) or new_id("evt_")
    timestamp = given.pop("timestamp", None)
    correlation = given.pop("correlation_id", None) or (current.get("_correlation_id") if current else None)
    context = {
        "_event_id": event_id,
        "_event_timestamp": time.time() if timestamp is None else timestamp,
        "_correlation_id": correlation or new_id("corr_"),
        "_ref": None,
    }
    for name, value in given.items():
        context[name if name.startswith("_") else f"_{name}"] = value
    if current:
        parent = current.get("_event_id")
        context["_parent_event_id"] = parent
        context["_root_event_id"] = current.get("_root_event_id", parent)
        context["_event_depth"] = current.get("_event_depth", 0) + 1
        for name, value in current.items():
            if name not in context and name not in _OWN and name.startswith("_"):
                context[name] = value
    else:
        context["_event_depth"] = 0
    context["_ref"] = f"ctx_{context['_event_id']}"
    return context


# ---- into the store ----


def draft(store: drafts.Store, event: Mapping[str, Any], context: Wire) -> drafts.Draft:
    """What the ring takes for an event in its context. Raises InvalidField; nothing is stored then."""
    store_id, rest = store.store_id, dict(context)
    event_id = drafts.identity("event_id", rest.pop("_event_id"), store_id)
    if not isinstance(event_id, str):
        raise InvalidField(f"event_id: {context['_event_id']!r} is an id that this store gave. Nothing was stored.")
    if rest.get("_ref") == f"ctx_{event_id}":
        del rest["_ref"]
    parent = _taken_id(rest, "_parent_event_id", store_id)
    correlation = _taken_id(rest, "_correlation_id", store_id)
    root = _taken_id(rest, "_root_event_id", store_id)
    if parent is None and root is not None and root == event_id:
        rest["_root_event_id"] = root  # KSI says nothing of the root of a root, so this one was told
    agent, client = _taken_text(rest, "_agent_id"), _taken_text(rest, "_client_id")
    depth, time_ns = _taken_depth(rest), _taken_time(rest)
    name, beside = _beside(event, context)
    session, session_id = _taken_session(rest, store)
    data, payloads = _data(store, event.get("data"))
    more = _more(rest, beside) if rest or beside else None
    payload = records.encode_context(
        event_name=name, depth=depth, parent=parent, correlation=correlation, agent_id=agent, client_id=client,
        session=session, event=event_id, root=root, more=more, data=data, payloads=payloads,
    )  # fmt: skip
    return drafts.Draft(
        payload, time_ns, event_id, ... if correlation is None else correlation, agent, session_id, parent
    )


@lru_cache(4096)
def _identity(text: str, store_id: int) -> Identity | None:
    try:
        return drafts.identity("id", text, store_id)
    except InvalidField:
        return None


def _taken_id(rest: Wire, name: str, store_id: int) -> Identity | None:
    value = rest.get(name)
    identity = _identity(value, store_id) if value.__class__ is str else None
    if identity is not None:
        del rest[name]
    return identity


def _taken_text(rest: Wire, name: str) -> str | None:
    value = rest.get(name)
    if value.__class__ is not str or not value or not _encodable(value):
        return None
    del rest[name]
    return value


def _taken_depth(rest: Wire) -> int:
    depth = rest.get("_event_depth")
    if depth.__class__ is not int or not 0 <= depth <= MAX_DEPTH:
        return 0
    del rest["_event_depth"]
    return depth


def _taken_time(rest: Wire) -> int:
    """Nanoseconds since 1970; 0, which is now, for what is no time. One that comes back as another float stays."""
    seconds = rest.get("_event_timestamp")
    if seconds.__class__ is not float and seconds.__class__ is not int:
        return 0
    if not 0 < seconds < _END_S:
        return 0
    time_ns = cast(int, drafts.nanoseconds("timestamp", seconds))
    if time_ns / 1_000_000_000 == seconds:
        del rest["_event_timestamp"]
    return time_ns


def _taken_session(rest: Wire, store: drafts.Store) -> tuple[int | None, str | None]:
    """A session that is one has a record of its own."""
    session = rest.get("_session")
    if not isinstance(session, dict) or not session.get("id"):
        return None, None
    try:
        found = store.put_session(session)
    except InvalidField:
        return None, None
    del rest["_session"]
    return found


def _beside(event: Mapping[str, Any], context: Wire) -> tuple[str, dict[str, Any]]:
    """The event's name, and what of it has no place of its own."""
    beside = {name: value for name, value in event.items() if name not in _EVENT_FIELDS}
    name, data, moment = event.get("event_name", ""), event.get("data"), event.get("timestamp")
    if not isinstance(data, dict) and "data" in event:
        beside["data"] = data
    if moment is not None and moment != context.get("_event_timestamp"):
        beside["timestamp"] = moment
    if not isinstance(name, str) or not _encodable(name):
        beside["event_name"], name = name, ""
    return name, beside


def _more(rest: Wire, beside: dict[str, Any]) -> dict[str, Any]:
    """The custom fields; standard ones that are rare under the names that the store has for them, where they fit."""
    more: dict[str, Any] = {}
    for name, value in rest.items():
        standard = _OPTIONAL.get(name)
        more[standard if standard is not None and _fits(standard, value) else name] = value
    if beside:
        more[BESIDE] = beside
    try:
        records.check_value(more, "context")
    except InvalidField:
        return cast(dict[str, Any], storable(more))
    return more


def _data(store: drafts.Store, data: object) -> tuple[bytes | None, tuple[bytes, ...]]:
    if not isinstance(data, dict):
        return None, ()
    try:
        return store.pack(data)
    except InvalidField:
        return store.pack(storable(data))


def _fits(name: str, value: Any) -> bool:
    try:
        drafts.optional_fields({name: value})
    except InvalidField:
        return False
    return value is not None


def _encodable(text: str) -> bool:
    try:
        records.check_text(text, "")
    except InvalidField:
        return False
    return True


def storable(value: Any, levels: int = records.MAX_DEPTH_OF_VALUES) -> Any:
    """The same value as far as JSON holds it, and text in place of everything else: KSI's modules emit objects too."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return int(value) if _LEAST <= value <= _GREATEST else str(value)
    if isinstance(value, Enum):
        return storable(value.value, levels)
    if isinstance(value, datetime):
        return value.isoformat()
    if levels and isinstance(value, Mapping):
        return {str(storable(key, 0)): storable(item, levels - 1) for key, item in value.items()}
    if levels and isinstance(value, list | tuple | set | frozenset):
        return [storable(item, levels - 1) for item in value]
    return storable(repr(value))


# ---- back ----


def wire(context: Context, session: dict[str, Any] | None = None) -> Wire:
    """The context as KSI has it. `session`: its session's data, where the caller has it already."""
    event_id, parent, root = context.event_id, context.parent_event_id, context.root_event_id
    found: Wire = {
        "_event_id": event_id,
        "_event_timestamp": context.timestamp,
        "_correlation_id": context.correlation_id,
        "_ref": f"ctx_{event_id}",
    }
    if parent is not None:
        found["_parent_event_id"] = parent
    if root is not None and (parent is not None or root != event_id):
        found["_root_event_id"] = root
    found["_event_depth"] = context.depth
    session = context.session if session is None else session
    for name, value in (("_agent_id", context.agent_id), ("_client_id", context.client_id), ("_session", session)):
        if value is not None:
            found[name] = value
    for name, value in ((context.more or {}) | (context.noted or {})).items():
        found[f"_{name}" if name in _OPTIONAL_NAMES else name] = value
    found.pop(BESIDE, None)
    return found


def event(stored: Event) -> dict[str, Any]:
    """The event as KSI's hot storage has it: as it was given, with its context and the ref of that."""
    context = stored.context
    found: dict[str, Any] = {
        "event_id": context.event_id, "event_name": context.event_name, "timestamp": context.timestamp
    }  # fmt: skip
    if stored.data is not None:
        found["data"] = stored.data
    found.update((context.more or {}).get(BESIDE, {}))
    found["_ksi_context"] = wire(context)
    found["context_ref"] = f"ctx_{context.event_id}"
    return found
