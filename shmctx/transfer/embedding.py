"""Contexts inside of their events, as logs had them before there were refs: `data._ksi_context`, under wire names.

What a log line had that a store has no place for stays in its lean line, under `origin`, so that the way back is exact.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from shmctx.cold import rows
from shmctx.context import CORRELATION_PREFIX, EVENT_PREFIX, Context, Identity
from shmctx.refs import make_ref

EMBEDDED = "_ksi_context"
"""The key in an event's data that holds its context."""

_json = msgspec.json.Encoder().encode
_sorted_json = msgspec.json.Encoder(order="sorted").encode
_from_json = msgspec.json.Decoder().decode
_KEY = f'"{EMBEDDED}"'.encode()


class Origin(msgspec.Struct, omit_defaults=True):
    """What of a source line cannot be derived from the rest. Most lines have nothing of it."""

    context: dict[str, Any] = {}
    """Fields of the embedded context that a store gives back in another form: explicit nulls, times as text, ..."""
    absent: list[str] = []
    """Fields that a store gives and the source did not have."""
    line: dict[str, Any] = {}
    """Unknown fields beside `timestamp`, `event_name` and `data`."""


_decode_origin = msgspec.json.Decoder(Origin).decode


class Embedded(NamedTuple):
    """One event on its way out. All but the numbers is JSON."""

    position: int
    time_ns: int
    """Of the context."""
    timestamp: bytes
    """Of the event's line."""
    event_name: bytes
    context: bytes
    """Under wire names."""
    data: bytes | None
    """None: put without, or not there any more."""
    origin: bytes = b""


def wire(context: Context) -> dict[str, Any]:
    """A context as it is embedded: its event's name stands beside it."""
    fields = context.to_dict()
    del fields["_event_name"]
    return fields


def origin_of(source: Mapping[str, Any], given: Mapping[str, Any]) -> Origin | None:
    """How an embedded context differs from `given`, what `wire` makes of it once it is stored; None if not at all."""
    if source == given and _sorted_json(source) == _sorted_json(given):
        return None
    differing = {name: value for name, value in source.items() if name not in given or not _same(value, given[name])}
    absent = [name for name in given if name not in source]
    return Origin(differing, absent) if differing or absent else None


def _same(one: Any, other: Any) -> bool:
    """Equal in JSON too, where 1, 1.0 and true are three values."""
    return bool(one == other) and _sorted_json(one) == _sorted_json(other)


def line(event: Embedded) -> bytes:
    """The event as a line of JSON with its context inside, newline included."""
    data = event.data or b"{}"
    if event.origin or _KEY in data:
        return _restored(event, data)
    comma = b"," if data[1:-1].strip() else b""
    return b'{"timestamp":%b,"event_name":%b,"data":%b%b"_ksi_context":%b}}\n' % (
        event.timestamp, event.event_name, data[:-1], comma, event.context,
    )  # fmt: skip


def _restored(event: Embedded, data: bytes) -> bytes:
    """The same where the source had more than a store keeps, or the data has something in the context's place."""
    origin = _decode_origin(event.origin) if event.origin else Origin()
    context = {name: value for name, value in _from_json(event.context).items() if name not in origin.absent}
    fields = {"timestamp": msgspec.Raw(event.timestamp), "event_name": msgspec.Raw(event.event_name)}
    return _json({**fields, "data": _from_json(data) | {EMBEDDED: context | origin.context}, **origin.line}) + b"\n"


@lru_cache(4096)
def _quoted(text: str) -> str:
    return _json(text).decode()


class RowEmbedder:
    """Turns rows of select_contexts into the JSON that `wire` of their contexts encodes to, without making either.

    A Context and a dict of it cost four times as much as the text, and a log has millions of them.
    """

    def __init__(self, store_id: int, session: Callable[[int], bytes | None]) -> None:
        """`session`: the JSON of a session, by the position of its record."""
        self._store_id = store_id
        self._session = session

    def context(self, row: rows.Row, noted: Mapping[str, Any]) -> bytes:
        """The context of a row, with annotated fields."""
        # fmt: off
        (position, time_ns, _name, depth, parent, correlation, root, event, agent, client, session,
         _place, optional, *_) = row
        # fmt: on
        event_id = self._id(position if event is None else event, EVENT_PREFIX)
        ref = make_ref(self._store_id, position) if event is None else f"ctx_{event_id}"
        text = (
            f'{{"_ref":"{ref}","_event_id":"{event_id}","_event_timestamp":{time_ns / 1_000_000_000!r},'
            f'"_correlation_id":"{self._id(correlation, CORRELATION_PREFIX)}"'
        )
        if parent is not None:
            text += f',"_parent_event_id":"{self._id(parent, EVENT_PREFIX)}"'
        if root is not None:
            text += f',"_root_event_id":"{self._id(root, EVENT_PREFIX)}"'
        text += f',"_event_depth":{depth}'
        if agent is not None:
            text += f',"_agent_id":{_quoted(agent)}'
        if client is not None:
            text += f',"_client_id":{_quoted(client)}'
        encoded = text.encode()
        data = None if session is None else self._session(session)
        if data is not None:
            encoded += b',"_session":' + data
        if optional is None and not noted:
            return encoded + b"}"
        return self._with_more(encoded + b"}", optional, noted)

    def _with_more(self, encoded: bytes, optional: str | None, noted: Mapping[str, Any]) -> bytes:
        fields = ({} if optional is None else rows.optional_fields(optional)) | noted
        named = {name if name.startswith("_") else f"_{name}": value for name, value in fields.items()}
        return _json(_from_json(encoded) | named)

    def _id(self, identity: Identity, prefix: str) -> str:
        """An identity's column as the inside of a JSON text."""
        if isinstance(identity, int):
            if identity < 0:
                return f"{prefix}{-1 - identity:08x}"
            return prefix + make_ref(self._store_id, identity)[4:]
        return _json(identity)[1:-1].decode()
