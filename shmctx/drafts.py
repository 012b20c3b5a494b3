"""From the keyword arguments of a put to what the ring appends: inheritance, brought ids, checks.

The store's fast path handles a child with a name and an agent; everything else comes through here.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from shmctx import records
from shmctx.context import CORRELATION_PREFIX, EVENT_PREFIX, OPTIONAL_FIELDS, Context, Identity
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
_ARGUMENTS = frozenset({*WIRE_NAMES.values(), "time_ns", "parent"}) - {"event_name"}


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

    def resolve(self, ref: str) -> Context: ...

    def get(self, ref: str, default: Any = None, /) -> Any: ...

    def put_session(self, session: Mapping[str, Any]) -> tuple[int, str]: ...


def draft(store: Store, event_name: str, scope: Scope | None, given: Mapping[str, Any]) -> Draft:
    """Work out one context. Raises InvalidField, ContextNotFound; nothing is stored then."""
    fields, custom = _sort(given)
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
        root = scope.root if scope else event
    session, session_id = _session(store, scope, fields)
    agent = text("agent_id", fields.get("agent_id")) or (scope.agent if scope else None)
    payload = records.encode_context(
        event_name=event_name,
        depth=_depth(fields, scope, parent),
        parent=parent,
        correlation=correlation,
        agent_id=agent,
        client_id=text("client_id", fields.get("client_id")) or (scope.client if scope else None),
        session=session,
        event=event,
        root=root,
        more=_more(scope, fields, custom),
    )
    return Draft(
        payload, _time_ns(fields), event, ... if correlation is None else correlation, agent, session_id, parent
    )


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
    if custom.get("_ref") == f"ctx_{fields.get('event_id')}" or resolve_native(str(custom.get("_ref"))):
        del custom["_ref"]  # follows from the event id
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
        if scope is not None and scope.store_id != store.store_id:
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
        return value
    raise InvalidField(f"{name} is text, not {type(value).__name__}. Nothing was stored.")


def _depth(fields: Mapping[str, Any], scope: Scope | None, parent: Identity | None) -> int:
    depth = fields.get("depth")
    if depth is None:
        return scope.depth if scope else int(parent is not None)
    if type(depth) is not int or not 0 <= depth < 1 << 32:
        raise InvalidField(f"depth is a whole number from 0, not {depth!r}. Nothing was stored.")
    return depth


def _time_ns(fields: Mapping[str, Any]) -> int:
    """Ns since 1970; 0 means now. A float keeps every digit: seconds and fraction are scaled apart."""
    time_ns, seconds = fields.get("time_ns"), fields.get("timestamp")
    if time_ns is None and seconds is not None:
        if type(seconds) not in (int, float) or not 0 < seconds < 1 << 33:
            raise InvalidField(f"timestamp is in seconds since 1970, not {seconds!r}. Nothing was stored.")
        whole = int(seconds)
        return whole * 1_000_000_000 + round((seconds - whole) * 1e9)
    if time_ns is not None and (type(time_ns) is not int or not 0 < time_ns < 1 << 63):
        raise InvalidField(f"time_ns is in nanoseconds since 1970, not {time_ns!r}. Nothing was stored.")
    return time_ns or 0


def _session(store: Store, scope: Scope | None, fields: Mapping[str, Any]) -> tuple[int | None, str | None]:
    session = fields.get("session")
    if session is None:
        if scope is None:
            return None, None
        if scope.session is not None or scope.context.session_position is None:
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
