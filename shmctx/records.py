"""The payloads of the three kinds of record: contexts, sessions, annotations."""

import math
import re
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any

import msgspec

from shmctx import context as ctx
from shmctx.context import Context, Identity
from shmctx.errors import InvalidField

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
"""The canonical form of a UUID's text."""
_HEX_DIGITS = 8
_HEX_ID = {
    prefix: re.compile(f"{prefix}[0-9a-f]{{{_HEX_DIGITS}}}").fullmatch
    for prefix in (ctx.EVENT_PREFIX, ctx.CORRELATION_PREFIX)
}
"""The form that most brought ids have, by the prefix."""
encode = msgspec.msgpack.Encoder().encode
NOT_DECODABLE = (msgspec.MsgspecError, UnicodeDecodeError)
"""What decoding raises for bytes that are no record, whatever their checksum says."""

decode_context = msgspec.msgpack.Decoder(Context).decode


class StoredEvent(Context, frozen=True, array_like=True, gc=False, eq=False):
    """A context's record with what lies behind the context, which decode_context skips."""

    data: bytes | None = None
    """Event data as JSON; empty: the event has data, but not here (the record was put back from the database)."""
    payloads: tuple[bytes, ...] = ()
    """Hashes of the large fields that the data refers to."""
    logged: bytes | None = None
    """Of an event that another system logged: when it did, as the JSON that its line of the log has for `timestamp`."""
    origin: bytes = b""
    """What else that line had, as a JSON object: see transfer.embedding.Origin."""


decode_event = msgspec.msgpack.Decoder(StoredEvent).decode
BEFORE_DATA = ("", 0, None)
"""Stands for Context's fields that are not stored, between `more` and the data."""

MAX_DEPTH_OF_VALUES = 32
"""Levels of nesting in a custom field or session."""
_INTEGERS = range(-(1 << 63), 1 << 64)


def encode_fields(fields: tuple[Any, ...]) -> bytes:
    """Encode what is known to be encodable; raises InvalidField where it is not."""
    try:
        return encode(fields)
    except (UnicodeEncodeError, OverflowError, TypeError) as error:
        raise InvalidField(f"The context cannot be encoded: {error}. Nothing was stored.") from None


def encode_context(*, data: bytes | None = None, payloads: tuple[bytes, ...] = (), **fields: Any) -> bytes:
    """A context's payload in its one canonical form. `fields`: as context_fields takes them; the others as in
    StoredEvent."""
    return encode_stored(context_fields(**fields), data, payloads)


def context_fields(
    *,
    event_name: str,
    depth: int = 0,
    parent: Identity | None = None,
    correlation: Identity | None = None,
    agent_id: str | None = None,
    client_id: str | None = None,
    session: int | None = None,
    event: str | None = None,
    root: Identity | None = None,
    more: dict[str, Any] | None = None,
) -> tuple[Any, ...]:
    """The eleven fields that a context stores, in their canonical form, from identities as Context's properties give
    them. `correlation` None: it begins its own. `root` None: itself, or not told."""
    form = 0
    if parent is not None and isinstance(root, int) and root == correlation:
        root = None
    elif root is not None and root == parent:
        form, root = ctx.ROOT_IS_PARENT, None
    elif parent is None and root == event:
        root = None
    if client_id is not None and client_id == agent_id:
        form, client_id = form | ctx.CLIENT_IS_AGENT, None
    own: Identity | None = event
    if type(parent) is str and (number := _digits(parent, ctx.EVENT_PREFIX)) is not None:
        form, parent = form | ctx.HEX_PARENT, number
    if type(correlation) is str and (number := _digits(correlation, ctx.CORRELATION_PREFIX)) is not None:
        form, correlation = form | ctx.HEX_CORRELATION, number
    if type(root) is str and (number := _digits(root, ctx.EVENT_PREFIX)) is not None:
        form, root = form | ctx.HEX_ROOT, number
    if type(event) is str and (number := _digits(event, ctx.EVENT_PREFIX)) is not None:
        form, own = form | ctx.HEX_EVENT, number
    return (event_name, depth, parent, correlation, agent_id, client_id, session, form, own, root, more or None)


def encode_stored(fields: tuple[Any, ...], data: bytes | None, payloads: tuple[bytes, ...] = ()) -> bytes:
    """A payload from the eleven fields that a context stores, in their canonical form."""
    return encode_fields(_trim(fields) if data is None else with_data(fields, data, payloads))


def with_data(fields: tuple[Any, ...], data: bytes, payloads: tuple[bytes, ...] = ()) -> tuple[Any, ...]:
    """The fields of a StoredEvent from the eleven that a context stores."""
    return (*fields, *BEFORE_DATA, data, payloads) if payloads else (*fields, *BEFORE_DATA, data)


def with_origin(
    fields: tuple[Any, ...], data: bytes | None, payloads: tuple[bytes, ...], logged: bytes, origin: bytes
) -> tuple[Any, ...]:
    """The fields of a StoredEvent that another system logged."""
    return (*fields, *BEFORE_DATA, data, payloads, logged, origin)


@lru_cache(8192)  # an event is named by what it causes, and a correlation by all its events
def _digits(identity: str, prefix: str) -> int | None:
    """The number that an id's digits spell; None where it is not of the form that most have."""
    return int(identity[-_HEX_DIGITS:], 16) if _HEX_ID[prefix](identity) else None


def packed(identity: Identity | None, prefix: str) -> Identity | None:
    """An identity as a database column holds it: a number below 0 stands for the prefix and eight hex digits."""
    number = _digits(identity, prefix) if type(identity) is str else None
    return identity if number is None else -1 - number


def _trim(fields: tuple[Any, ...]) -> tuple[Any, ...]:
    """Without the trailing fields that have their default."""
    end = len(fields)
    while end > 1 and (fields[end - 1] is None or (end - 1 in (1, 7) and fields[end - 1] == 0)):
        end -= 1
    return fields[:end]


class _Session(msgspec.Struct, array_like=True):
    """A session as stored. `sandbox` is a UUID's 16 bytes where the text is its canonical form."""

    id: str
    agent_id: str | None = None
    created_at: int | float | None = None
    sandbox: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)] | None = None
    rest: dict[str, Any] | None = None


_decode_session = msgspec.msgpack.Decoder(_Session).decode


def encode_session(session: dict[str, Any]) -> bytes:
    """A session's payload. Raises InvalidField where it has no text `id` or a value that cannot be stored."""
    check_value(session, "session")
    return pack_session(session)


def pack_session(session: dict[str, Any]) -> bytes:
    """The same for one that came as JSON and is not nested deeply: whatever else it has can be stored."""
    rest = dict(session)
    sid = rest.pop("id", None)
    if not isinstance(sid, str) or not sid:
        raise InvalidField("A session is a dict with a text 'id'. Nothing was stored.")
    agent = rest.pop("agent_id") if isinstance(rest.get("agent_id"), str) else None
    created = rest.pop("created_at") if fits_column(rest.get("created_at")) else None
    sandbox = _uuid_bytes(rest.get("sandbox_uuid"))
    if sandbox is not None:
        del rest["sandbox_uuid"]
    return encode_fields(_trim_session((sid, agent, created, sandbox, rest or None)))


def fits_column(value: object) -> bool:
    """Whether a database column of type INTEGER or REAL holds it exactly."""
    return type(value) is float or (type(value) is int and -(1 << 63) <= value < 1 << 63)


def _trim_session(fields: tuple[Any, ...]) -> tuple[Any, ...]:
    end = len(fields)
    while fields[end - 1] is None:
        end -= 1
    return fields[:end]


def _uuid_bytes(text: object) -> bytes | None:
    fits = isinstance(text, str) and _UUID.fullmatch(text)
    return bytes.fromhex(text.replace("-", "")) if fits and isinstance(text, str) else None


def _uuid_text(raw: bytes) -> str:
    digits = raw.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def session_id(payload: bytes) -> str:
    """The id in a session's payload. Raises msgspec.DecodeError."""
    return _decode_session(payload).id


def decode_session(payload: bytes) -> dict[str, Any]:
    """The session's data as it was given, up to the order of its keys. Raises msgspec.DecodeError."""
    stored = _decode_session(payload)
    session: dict[str, Any] = {"id": stored.id}
    if stored.agent_id is not None:
        session["agent_id"] = stored.agent_id
    if stored.sandbox is not None:
        session["sandbox_uuid"] = _uuid_text(stored.sandbox)
    if stored.created_at is not None:
        session["created_at"] = stored.created_at
    return session | (stored.rest or {})


class Annotation(msgspec.Struct, array_like=True, frozen=True):
    """What became known later about the context at `target`: fields as in Context.more."""

    target: ctx.Position
    fields: dict[str, Any]


decode_annotation = msgspec.msgpack.Decoder(Annotation).decode


def encode_annotation(target: int, fields: dict[str, Any]) -> bytes:
    """An annotation's payload."""
    return encode_fields((target, fields))


def says_error(fields: Mapping[str, Any] | None) -> bool:
    """Whether fields of a context or of an annotation say that something went wrong."""
    if not fields:
        return False
    error = fields.get("error")
    texts = fields.get("error_type"), fields.get("error_message")
    return (error is not None and error is not False) or any(isinstance(text, str) for text in texts)


def annotated(context: Context, fields: dict[str, Any]) -> Context:
    """The context with annotated fields merged in, newer ones over older."""
    return msgspec.structs.replace(context, noted=fields) if fields else context


def check_value(value: Any, path: str, level: int = 0) -> None:
    """Raise InvalidField, naming the path, for what JSON or msgpack cannot hold."""
    if value is None or isinstance(value, bool):
        return
    kind = type(value)
    if kind is str:
        if not value.isascii():
            check_text(value, path)
    elif kind is int:
        if value not in _INTEGERS:
            raise InvalidField(f"{path}: {value} does not fit 64 bits. Nothing was stored.")
    elif kind is float:
        if not math.isfinite(value):
            raise InvalidField(f"{path}: {value} has no form in JSON. Nothing was stored.")
    elif isinstance(value, dict | list | tuple) and level < MAX_DEPTH_OF_VALUES:
        _check_items(value, path, level)
    elif isinstance(value, Enum):
        check_value(value.value, path, level)
    else:
        reason = "is nested too deeply" if isinstance(value, dict | list | tuple) else f"is a {kind.__name__}"
        raise InvalidField(
            f"{path}: the value {reason}, which cannot be stored. Nothing was stored.",
            hint="Use None, bool, int, float, str, list and dict.",
        )


def _check_items(value: dict[Any, Any] | list[Any] | tuple[Any, ...], path: str, level: int) -> None:
    if not isinstance(value, dict):
        for index, item in enumerate(value):
            check_value(item, f"{path}[{index}]", level + 1)
        return
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidField(f"{path}: the key {key!r} is no text. Nothing was stored.")
        check_text(key, path)
        check_value(item, f"{path}.{key}", level + 1)


def check_text(text: str, path: str) -> None:
    """Raise InvalidField for text that has no UTF-8 form."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidField(f"{path}: the text holds a lone surrogate. Nothing was stored.") from None
