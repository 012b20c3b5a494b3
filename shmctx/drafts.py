"""From the keyword arguments of a put to what the ring appends: inheritance, brought ids, checks.

The store's fast path handles a child with a name and an agent; everything else comes through here.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from shmctx import records
from shmctx.context import CORRELATION_PREFIX, EVENT_PREFIX, MAX_DEPTH, OPTIONAL_FIELDS, Context, Identity
from shmctx.errors import InvalidField
from shmctx.propagation import Scope
from shmctx.refs import MAX_ALIAS, resolve_native

WIRE_NAMES = {
    "_event_id": "event_id",
    "_event_name": "event_name",
    "_event_timestamp": "timestamp",
    "_correlation_id": "correlation_id",
    "_parent_event_id": "parent_event_id",
    "_root_event_id": "root_event_id",
    "_event_depth": "depth",
    "_agent_id": "agent_id",
    "_client_id": "client_id",
    "_session": "session",
    **{f"_{name}": name for name in OPTIONAL_FIELDS},
}
"""KSI's wire names and the arguments of put that they stand for."""

_TEXT_FIELDS = frozenset({"user_id", "tenant_id", "environment", "error_type", "error_message", "response_ref"})
_END_NS = (1 << 63) - 1  # in the year 2262

_ARGUMENTS = frozenset({*WIRE_NAMES.values(), "time_ns", "parent", "data"}) - {"event_name"}


class Draft(NamedTuple):
    """What Ring.append needs after the kind."""

    payload: bytes
    time_ns: int
    alias: str | None
    correlation: Any
    agent: str | None
    session: str | None
    parent: Identity | None


class Store(Protocol):
    """What drafting needs of a store."""

    store_id: int

    def resolve(self, ref: str) -> Context:
        """The context of a ref, or ContextNotFound."""

    def get(self, ref: str, default: Any = None, /) -> Any:
        """The context of a ref, or the default."""

    def put_session(self, session: Mapping[str, Any]) -> tuple[int, str]:
        """Store a session's data: (position, id)."""

    def pack(self, data: Mapping[str, Any]) -> tuple[bytes, tuple[bytes, ...]]:
        """Event data as a record holds it."""


def draft(store: Store, event_name: str, scope: Scope | None, given: Mapping[str, Any]) -> Draft:
    """Work out one context. Raises InvalidField, ContextNotFound; nothing is stored then."""
    fields, custom = _sort(given)
    if type(event_name) is not str:
        raise InvalidField(f"event_name is text, not {type(event_name).__name__}. Nothing was stored.")
    text("event_name", event_name)
    event = identity("event_id", fields.get("event_id"), store.store_id)
    if isinstance(event, int):
        raise InvalidField(f"event_id: {fields['event_id']!r} is an id that this store gave. Nothing was stored.")
    scope = _cause(store, scope, fields)
    parent = scope.parent if scope else identity("parent_event_id", fields.get("parent_event_id"), store.store_id)
    correlation = identity("correlation_id", fields.get("correlation_id"), store.store_id)
    if correlation is None and scope is not None:
        correlation = scope.correlation
    root = identity("root_event_id", fields.get("root_event_id"), store.store_id)
    if root is None:
        root = scope.root if scope else event if parent is None else None
    agent = text("agent_id", fields.get("agent_id")) or (scope.agent if scope else None)
    client = text("client_id", fields.get("client_id")) or (scope.client if scope else None)
    depth, time_ns, more = _depth(fields, scope, parent), _time_ns(fields), _more(scope, fields, custom)
    # These two may store records of their own, so they come behind the other checks.
    session, session_id = _session(store, scope, fields)
    data, payloads = store.pack(fields["data"]) if "data" in fields else (None, ())
    payload = records.encode_context(
        event_name=event_name,
        depth=depth,
        parent=parent,
        correlation=correlation,
        agent_id=agent,
        client_id=client,
        session=session,
        event=event,
        root=root,
        more=more,
        data=data,
        payloads=payloads,
    )
    return Draft(payload, time_ns, event, ... if correlation is None else correlation, agent, session_id, parent)


def _sort(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split what was given into put's arguments and custom fields; None means not given."""
    fields, custom = {}, {}
    for name, value in given.items():
        standard = WIRE_NAMES.get(name, name)
        if standard in _ARGUMENTS or standard == "event_name":
            if value is not None:
                fields[standard] = value
        elif name.startswith("_") and len(name) > 1:
            custom[name] = value
        else:
            raise InvalidField(
                f"put() has no field {name!r}. Nothing was stored.", hint="Custom fields begin with an underscore."
            )
    brought = custom.get("_ref")
    if brought is not None and (brought == f"ctx_{fields.get('event_id')}" or resolve_native(str(brought))):
        del custom["_ref"]  # follows from the event id
    if custom:
        records.check_value(custom, "custom field")
    return fields, custom


def _cause(store: Store, scope: Scope | None, fields: Mapping[str, Any]) -> Scope | None:
    """Whose child this is: the explicit `parent`, a brought parent id that resolves, or the current context."""
    parent = fields.get("parent")
    if isinstance(parent, Context):
        return Scope(parent, store.store_id)
    if parent is not None:
        return Scope(store.resolve(text("parent", parent) or ""), store.store_id)
    brought = fields.get("parent_event_id")
    if brought is None:
        if scope is not None and scope.context is not None and scope.native_to != store.store_id:
            return Scope(scope.context, store.store_id)
        return scope
    if {"correlation_id", "depth", "root_event_id"} <= fields.keys():
        return None  # everything that a parent could give is there
    found = store.get(text("parent_event_id", brought) or "")
    return None if found is None else Scope(found, store.store_id)


def identity(name: str, value: Any, store_id: int) -> Identity | None:
    """A brought id as it is stored: a position where this store gave it, its text otherwise."""
    if value is None:
        return None
    checked = text(name, value)
    if not checked or len(checked) > MAX_ALIAS:
        raise InvalidField(f"{name}: an id has 1 to {MAX_ALIAS} characters. Nothing was stored.")
    native = resolve_native(checked) if checked.startswith((EVENT_PREFIX, CORRELATION_PREFIX, "ctx_")) else None
    return native[1] if native and native[0] == store_id else checked


def text(name: str, value: Any) -> str | None:
    """The value, if it is text or None. Raises InvalidField."""
    if value is None or type(value) is str:
        if value is not None and not value.isascii():
            records.check_text(value, name)
        return value
    raise InvalidField(f"{name} is text, not {type(value).__name__}. Nothing was stored.")


def _depth(fields: Mapping[str, Any], scope: Scope | None, parent: Identity | None) -> int:
    depth = fields.get("depth")
    if depth is None:
        return scope.depth if scope else int(parent is not None)
    if type(depth) is not int or not 0 <= depth <= MAX_DEPTH:
        raise InvalidField(f"depth is a whole number from 0, not {depth!r}. Nothing was stored.")
    return depth


def _time_ns(fields: Mapping[str, Any]) -> int:
    """Nanoseconds since 1970; 0 means now."""
    time_ns = fields.get("time_ns")
    if time_ns is None:
        time_ns = nanoseconds("timestamp", fields.get("timestamp"))
        if time_ns is None:
            return 0
    if type(time_ns) is not int or not 0 < time_ns <= _END_NS:
        raise InvalidField(f"The time is after 1970 and before 2262, not {time_ns!r} ns. Nothing was stored.")
    return time_ns


def nanoseconds(name: str, moment: object) -> int | None:
    """Nanoseconds from seconds or a datetime. Seconds and fraction are scaled apart: a float keeps every digit."""
    if moment is None:
        return None
    seconds = moment.timestamp() if isinstance(moment, datetime) else moment
    if type(seconds) is int:
        return seconds * 1_000_000_000
    if type(seconds) is not float or not math.isfinite(seconds):
        raise InvalidField(f"{name} is in seconds since 1970 or a datetime, not {moment!r}.")
    return int(seconds) * 1_000_000_000 + round((seconds - int(seconds)) * 1e9)


def limit_ns(name: str, moment: object) -> int | None:
    """As nanoseconds, for a limit of a query: one beyond every clock is as good as the end of 64 bits."""
    time_ns = nanoseconds(name, moment)
    return None if time_ns is None else min(max(time_ns, -_END_NS), _END_NS)


def limit(count: int | None) -> int | None:
    """A number of results, or None for all. Raises InvalidField."""
    if count is None or (type(count) is int and count >= 0):
        return count
    raise InvalidField(f"limit is a number of results from 0, not {count!r}.")


def named(item: str | tuple[str, Mapping[str, Any]] | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """(event name, fields) of an item of put_many. Raises InvalidField."""
    if isinstance(item, str):
        return item, {}
    if isinstance(item, tuple):
        return item
    fields = dict(item)
    name = fields.pop("event_name", None) or fields.pop("_event_name", None)
    if not isinstance(name, str):
        raise InvalidField("An item of put_many() has no event_name. Nothing was stored.")
    return name, fields


def _session(store: Store, scope: Scope | None, fields: Mapping[str, Any]) -> tuple[int | None, str | None]:
    session = fields.get("session")
    if session is None:
        if scope is None:
            return None, None
        if scope.session is not None or scope.context is None or scope.context.session_position is None:
            return scope.session, scope.session_id
        session = scope.context.session  # another store's: it gets a record here
        if session is None:
            return None, None
    if isinstance(session, str):
        session = {"id": session}
    if not isinstance(session, Mapping):
        raise InvalidField(f"session is a dict with an 'id', not {type(session).__name__}. Nothing was stored.")
    return store.put_session(session)


def _more(scope: Scope | None, fields: Mapping[str, Any], custom: dict[str, Any]) -> dict[str, Any] | None:
    own = optional_fields(fields) | custom
    return (scope.more | own if own else scope.more) if scope and scope.more else own or None


def optional_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The standard fields that lie in `more`, checked. Raises InvalidField."""
    found = {name: fields[name] for name in OPTIONAL_FIELDS if fields.get(name) is not None}
    for name, value in found.items():
        if name in _TEXT_FIELDS:
            text(name, value)
        elif name == "tags":
            found[name] = list(value) if isinstance(value, list | tuple) else value
            if not isinstance(found[name], list) or not all(isinstance(tag, str) for tag in found[name]):
                raise InvalidField("tags is a list of texts. Nothing was stored.")
        records.check_value(found[name], name)
    return found


def annotation_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """What may be annotated: optional standard fields and custom ones. Raises InvalidField."""
    fields, custom = _sort(given)
    known = optional_fields(fields)
    if len(known) < len(fields):
        wrong = sorted(set(fields) - set(known))
        raise InvalidField(f"{', '.join(wrong)} cannot be annotated: a context is immutable. Nothing was stored.")
    if not known and not custom:
        raise InvalidField("An annotation needs at least one field. Nothing was stored.")
    return known | custom
