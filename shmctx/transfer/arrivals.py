"""From an event of another system to what a record holds of it, and what has no place there.

What a context says is taken as it is where a store can give it back unchanged. The rest (a time as text, an explicit
null, a field of a wrong type) goes into `origin`, with the names of what a store will say and the source did not, so
that the way back is exact.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from shmctx import drafts, records
from shmctx.context import MAX_DEPTH, OPTIONAL_FIELDS, Identity
from shmctx.drafts import WIRE_NAMES
from shmctx.errors import InvalidField
from shmctx.records import MAX_DEPTH_OF_VALUES
from shmctx.refs import MAX_ALIAS, alias_of, resolve_native
from shmctx.transfer.embedding import EMBEDDED, Origin
from shmctx.transfer.forms import SourceEvent, Unfit

NATIVE = 20
"""Characters of the shortest id that a store gives."""
_FIXED = frozenset({"_ref", "_event_id", "_event_name", "_event_timestamp", "_correlation_id", "_parent_event_id",
                    "_root_event_id", "_event_depth", "_agent_id", "_client_id", "_session"})  # fmt: skip
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Arrival(msgspec.Struct, frozen=True, array_like=True):
    """One event, or a context alone, on its way in."""

    event: str | None
    """The id that it brings."""
    time_ns: int
    fields: tuple[Any, ...]
    """What a context stores, see records.context_fields; its session is still to be filled in."""
    session: bytes | None
    """The payload of the session's record."""
    data: bytes | None
    """As JSON."""
    logged: bytes
    """The JSON of the line's own timestamp; empty where it had none."""
    origin: bytes

    @property
    def event_name(self) -> str:
        """Such as `agent:spawn`; empty where a context alone does not say."""
        name: str = self.fields[0]
        return name

    @property
    def key(self) -> int | str:
        """The id, or the number that its hex digits spell."""
        key: int | str = self.fields[8]
        return key

    def placed(self, session: int | None) -> tuple[Any, ...]:
        """The fields, given the position of the session's record."""
        return self.fields if session is None else (*self.fields[:6], session, *self.fields[7:])


def arrival_of(event: SourceEvent, store_id: int, now_ns: int) -> Arrival:
    """What a store of this id keeps of an event; takes the dicts of the event apart. `now_ns`: its time if it has none.

    Raises Unfit.
    """
    odd: dict[str, Any] = {}
    absent: list[str] = []
    source = event.context or {}
    own = _own_identity(source, event.ref, odd, absent, store_id)
    time_ns = now_ns if event.time_ns is None else event.time_ns
    if source.get("_event_timestamp") != time_ns / 1_000_000_000 or type(source["_event_timestamp"]) is not float:
        _put_aside("_event_timestamp", source, odd)
        absent.append("_event_timestamp")
    correlation = _identity("_correlation_id", source, odd, store_id)
    if correlation is None:
        absent.append("_correlation_id")
    parent = _identity("_parent_event_id", source, odd, store_id)
    root = _identity("_root_event_id", source, odd, store_id)
    if root is None and (parent is None or type(correlation) is not str):
        absent.append("_root_event_id")
    depth = source.get("_event_depth")
    if type(depth) is not int or not 0 <= depth <= MAX_DEPTH:
        _put_aside("_event_depth", source, odd)
        absent.append("_event_depth")
        depth = int(parent is not None)
    fields = records.context_fields(
        event_name=event.event_name,
        depth=depth,
        parent=parent,
        correlation=correlation,
        agent_id=_text("_agent_id", source, odd),
        client_id=_text("_client_id", source, odd),
        event=own,
        root=root,
        more=None if source.keys() <= _FIXED else _more(source, odd),
    )
    session = _session(source, odd)
    logged, origin = _rest(event, source, odd, absent)
    return Arrival(own, time_ns, fields, session, None if event.data is None else data_json(event.data), logged, origin)


def _rest(event: SourceEvent, source: Mapping[str, Any], odd: dict[str, Any], absent: list[str]) -> tuple[bytes, bytes]:
    """(the line's own timestamp, what else cannot be derived), each as JSON, or empty."""
    if "_event_name" in source:
        odd["_event_name"] = source["_event_name"]
    line = event.envelope
    logged = _encode(line.pop("timestamp")) if "timestamp" in line else b""
    if event.context is None:
        absent = [EMBEDDED]
    if not logged and event.data is not None:
        absent = [*absent, "timestamp"]
    if not odd and not absent and not line:
        return logged, b""
    return logged, _encode(Origin(odd, [name for name in absent if name not in odd], line))


def _own_identity(
    source: Mapping[str, Any], ref: str | None, odd: dict[str, Any], absent: list[str], store_id: int
) -> str | None:
    """The id that the event brings: its own, or the one inside its reference. Raises Unfit for one that the store gave
    itself."""
    own = _identity("_event_id", source, odd, store_id)
    named = source.get("_ref")
    if own is None:
        absent.append("_event_id")
        for reference in (named, ref):
            if type(reference) is str and own is None and 0 < len(alias_of(reference)) <= MAX_ALIAS:
                own = drafts.identity("_ref", alias_of(reference), store_id)
    if isinstance(own, int):
        raise Unfit("its id is one that this store gave")
    if named is None:
        absent.append("_ref")
    if named != f"ctx_{own}":
        _put_aside("_ref", source, odd)
    return own


def _identity(name: str, source: Mapping[str, Any], odd: dict[str, Any], store_id: int) -> Identity | None:
    found = source.get(name)
    if type(found) is str and 0 < len(found) < NATIVE:
        return found
    if type(found) is str and 0 < len(found) <= MAX_ALIAS:
        native = resolve_native(found)
        return native[1] if native is not None and native[0] == store_id else found
    _put_aside(name, source, odd)
    return None


def _put_aside(name: str, source: Mapping[str, Any], odd: dict[str, Any]) -> None:
    if name in source:
        odd[name] = source[name]


def _text(name: str, source: Mapping[str, Any], odd: dict[str, Any]) -> str | None:
    found = source.get(name)
    if type(found) is str:
        return found
    _put_aside(name, source, odd)
    return None


def _session(source: Mapping[str, Any], odd: dict[str, Any]) -> bytes | None:
    session = source.get("_session")
    if type(session) is dict:
        payload = session_payload(_encode(session))
        if payload is not None:
            return payload
    elif type(session) is str and session:
        _put_aside("_session", source, odd)
        return session_payload(_encode({"id": session}))
    _put_aside("_session", source, odd)
    return None


@lru_cache(4096)
def session_payload(encoded: bytes) -> bytes | None:
    """The payload of a session's record, given its JSON; None if it cannot be stored."""
    try:
        session = _decode(encoded)
        if type(session) is not dict:
            return None
        is_flat = encoded.count(b"{") + encoded.count(b"[") <= MAX_DEPTH_OF_VALUES
        return records.pack_session(session) if is_flat else records.encode_session(session)
    except (*records.NOT_DECODABLE, InvalidField):
        return None


def _more(source: Mapping[str, Any], odd: dict[str, Any]) -> dict[str, Any] | None:
    """Optional standard fields and custom ones."""
    more: dict[str, Any] = {}
    for name, value in source.items():
        if name in _FIXED:
            continue
        standard = WIRE_NAMES.get(name, name)
        try:
            if standard in OPTIONAL_FIELDS and name != standard and value is not None:
                more |= drafts.optional_fields({standard: value})
            elif name.startswith("_") and len(name) > 1 and standard == name:
                records.check_value(value, name)
                more[name] = value
            else:
                odd[name] = value
        except InvalidField:
            odd[name] = value
    return more or None


def data_json(data: dict[str, Any]) -> bytes:
    """An event's data as JSON. Raises Unfit for what is nested deeper than a store takes."""
    encoded = _encode(data)
    if encoded.count(b"{") + encoded.count(b"[") > MAX_DEPTH_OF_VALUES and _levels(data) > MAX_DEPTH_OF_VALUES:
        raise Unfit(f"its data is nested deeper than {MAX_DEPTH_OF_VALUES} levels")
    return encoded


def _levels(value: Any) -> int:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if items is None else 1 + max(map(_levels, items), default=0)
