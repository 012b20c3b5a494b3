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
from itertools import compress
from typing import Any, cast

from shmctx import drafts, records
from shmctx.context import MAX_DEPTH, OPTIONAL_FIELDS, Context, Identity
from shmctx.errors import InvalidField
from shmctx.event import Event
from shmctx.store import Store

Wire = dict[str, Any]
"""A context under wire names: `_event_id`, `_correlation_id`, ..."""

ksi_context: ContextVar[Wire | None] = ContextVar("ksi_context", default=None)
"""The current context, as KSI's modules read it."""

_EVENT_FIELDS = frozenset({"event_id", "event_name", "timestamp", "data"})
_NO_DATA: dict[str, Any] = {}
BESIDE = "_ksi_event"
"""The custom field with what an event has besides _EVENT_FIELDS, or in a form of its own."""
ADDED = frozenset({"_ksi_context", "context_ref", "_added_at"})
"""What an event has only once it is stored."""
_CAUSED = frozenset({"_parent_event_id", "_root_event_id", "_event_depth"})
"""What a context with a parent has from that, whatever is given."""
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
    if current:
        context = {name: value for name, value in current.items() if name[:1] == "_"}
        parent = current.get("_event_id")
        context["_parent_event_id"] = parent
        context["_root_event_id"] = current.get("_root_event_id", parent)
        context["_event_depth"] = current.get("_event_depth", 0) + 1
    else:
        context = {"_event_depth": 0}
    context["_event_id"] = event_id
    context["_event_timestamp"] = time.time() if timestamp is None else timestamp
    context["_correlation_id"] = correlation or new_id("corr_")
    for name, value in given.items():
        wired = name if name[:1] == "_" else f"_{name}"
        if not current or wired not in _CAUSED:
            context[wired] = value
    context["_ref"] = f"ctx_{context['_event_id']}"
    return context


# ---- into the store ----


_PLACES = (
    "_event_id", "_ref", "_event_timestamp", "_correlation_id", "_parent_event_id", "_root_event_id", "_event_depth",
    "_agent_id", "_client_id", "_session",
)  # fmt: skip
"""Fields for which a record has a place of its own, or from which they follow."""


def put(store: Store, event: Mapping[str, Any], context: Wire) -> None:
    """Store an event in its context. Raises PutError; nothing is stored then."""
    get, store_id = context.get, store.store_id
    event_id = _own_id(get("_event_id"), store_id)
    seconds = get("_event_timestamp")
    time_ns = _time_ns(seconds)
    correlation = identity(get("_correlation_id"), store_id)
    parent = identity(get("_parent_event_id"), store_id)
    root = identity(get("_root_event_id"), store_id)
    depth, agent, client = _depth(get("_event_depth")), _text(get("_agent_id")), _text(get("_client_id"))
    session, session_id = _session(get("_session"), store)
    name, beside = _beside(event, seconds)
    # KSI does not tell the root of a root, so one that was told is kept apart.
    placed = (
        True, get("_ref") == f"ctx_{event_id}", time_ns > 0 and time_ns / 1e9 == seconds, correlation is not None,
        parent is not None, root is not None and (parent is not None or root != event_id), depth is not None,
        agent is not None, client is not None, session is not None,
    )  # fmt: skip
    more = None
    if beside or placed.count(True) < len(context):
        held = frozenset(compress(_PLACES, placed))
        more = _more({field: value for field, value in context.items() if field not in held}, beside)
    data, encoded, payloads = _data(store, event.get("data"))
    fields = records.context_fields(
        event_name=name, depth=depth or 0, parent=parent, correlation=correlation, agent_id=agent, client_id=client,
        session=session, event=event_id, root=root, more=more,
    )  # fmt: skip
    payload, key = records.encode_stored(fields, encoded, payloads), ... if correlation is None else correlation
    store.append_draft(drafts.Draft(payload, time_ns, event_id, key, agent, session_id, parent), {"data": data})


def _own_id(value: Any, store_id: int) -> str:
    found = identity(value, store_id)
    if isinstance(found, str):
        return found
    raise InvalidField(f"event_id: {value!r} cannot be the id of an event that is put. Nothing was stored.")


def identity(value: Any, store_id: int) -> Identity | None:
    """A brought id as it is stored; None for what is none."""
    return _known_identity(value, store_id) if value.__class__ is str else None


@lru_cache(4096)
def _known_identity(text: str, store_id: int) -> Identity | None:
    try:
        return drafts.identity("id", text, store_id)
    except InvalidField:
        return None


def _text(value: Any) -> str | None:
    return value if value.__class__ is str and value and (value.isascii() or _encodable(value)) else None


def _depth(value: Any) -> int | None:
    return value if value.__class__ is int and 0 <= value <= MAX_DEPTH else None


def _time_ns(seconds: Any) -> int:
    """Nanoseconds since 1970; 0, which is now, for what is no time."""
    if seconds.__class__ is not float and seconds.__class__ is not int:
        return 0
    return cast(int, drafts.nanoseconds("timestamp", seconds)) if 0 < seconds < _END_S else 0


def _session(session: Any, store: Store) -> tuple[int | None, str | None]:
    """The record that holds a session's data, and its id; None for what is no session."""
    if not isinstance(session, dict) or not session.get("id"):
        return None, None
    try:
        return store.put_session(session)
    except InvalidField:
        return None, None


def _beside(event: Mapping[str, Any], seconds: Any) -> tuple[str, dict[str, Any]]:
    """The event's name, and what of it has no place of its own. `seconds`: its context's time."""
    name, moment = event.get("event_name", ""), event.get("timestamp", seconds)
    plain = name.__class__ is str and (name.isascii() or _encodable(name))
    if plain and moment == seconds and isinstance(event.get("data", _NO_DATA), dict) and event.keys() <= _EVENT_FIELDS:
        return name, {}
    beside = {field: value for field, value in event.items() if field not in _EVENT_FIELDS}
    if not isinstance(event.get("data", _NO_DATA), dict):
        beside["data"] = event["data"]
    if moment != seconds:
        beside["timestamp"] = moment
    if not plain:
        beside["event_name"] = name
    return name if plain else "", beside


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


def _data(store: Store, data: Any) -> tuple[dict[str, Any] | None, bytes | None, tuple[bytes, ...]]:
    """The event's data as far as it can be stored, encoded, and the hashes of its large fields."""
    if not isinstance(data, dict):
        return None, None, ()
    try:
        return data, *store.pack(data)
    except InvalidField:
        data = storable(data)
        return data, *store.pack(data)


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


def ref_of(context: Context) -> str:
    """The ref under which KSI knows a context: its own, where it brought no event id."""
    return context.ref if context.event is None else f"ctx_{context.event_id}"


def wire(context: Context, session: dict[str, Any] | None = None) -> Wire:
    """The context as KSI has it. `session`: its session's data, where the caller has it already."""
    event_id, parent, root = context.event_id, context.parent_event_id, context.root_event_id
    found: Wire = {
        "_event_id": event_id,
        "_event_timestamp": context.timestamp,
        "_correlation_id": context.correlation_id,
        "_ref": ref_of(context),
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
    found["context_ref"] = ref_of(context)
    return found
