"""Contexts inside of their events, as logs had them before there were refs: `data._ksi_context`, under wire names.

What a log line had that a store has no place for stays in its lean line, under `origin`, so that the way back is exact.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from shmctx.cold import rows
from shmctx.context import CORRELATION_PREFIX, EVENT_PREFIX, Context, Identity
from shmctx.refs import make_ref

EMBEDDED = "_ksi_context"
"""The key in an event's data that holds its context."""

_REMEMBERED = 1 << 16
"""Ids whose text is kept: parents, roots and correlations come again."""

_json = msgspec.json.Encoder().encode
_sorted_json = msgspec.json.Encoder(order="sorted").encode
_from_json = msgspec.json.Decoder().decode
_KEY = f'"{EMBEDDED}"'.encode()


class Origin(msgspec.Struct, omit_defaults=True):
    """What of a source line cannot be derived from the rest. Most lines have nothing of it."""

    context: dict[str, Any] = {}
    """Fields of the embedded context that a store gives back in another form: explicit nulls, times as text, ..."""
    absent: list[str] = []
    """Fields that a store gives and the source did not have: of the context; `timestamp`, `data`, `_ksi_context`."""
    line: dict[str, Any] = {}
    """Unknown fields beside `timestamp`, `event_name` and `data`."""


class Embedded(msgspec.Struct, frozen=True, gc=False):
    """One event on its way out. All but the numbers is JSON."""

    position: int
    time_ns: int
    """Of the context."""
    timestamp: msgspec.Raw
    """Of the event's line."""
    event_name: msgspec.Raw
    context: bytes
    """Under wire names."""
    data: bytes | None
    """None: put without, or not there any more."""
    origin: Origin | None = None


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
    if event.origin is not None or _KEY in data:
        return _restored(event, data)
    comma = b"," if data[1:2] == b'"' or data[1:-1].strip() else b""
    return b'{"timestamp":%b,"event_name":%b,"data":%b%b"_ksi_context":%b}}\n' % (
        event.timestamp, event.event_name, data[:-1], comma, event.context,
    )  # fmt: skip


def _restored(event: Embedded, data: bytes) -> bytes:
    """The same where the source had more than a store keeps, or the data has something in the context's place."""
    origin = event.origin or Origin()
    context = {name: value for name, value in _from_json(event.context).items() if name not in origin.absent}
    inside = {EMBEDDED: context | origin.context}
    if EMBEDDED in origin.absent:
        inside = {}
    fields = {"timestamp": event.timestamp, "event_name": event.event_name, "data": _from_json(data) | inside}
    return _json({name: fields[name] for name in fields if name not in origin.absent} | origin.line) + b"\n"


class RowEmbedder:
    """Turns rows of SELECT_BARE into the JSON that `wire` of their contexts encodes to, without making either.

    A Context and a dict of it cost four times as much as the text, and a log has millions of them.
    """

    def __init__(self, store_id: int, texts: Mapping[int, str], sessions: Mapping[int, str]) -> None:
        """JSON of what rows name: `texts` by their ids, `sessions` by the positions of their records."""
        self._store_id = store_id
        self._texts = texts
        self._sessions = sessions
        self._events: dict[Identity, str] = {}
        self._correlations: dict[Identity, str] = {}

    def context(self, row: rows.Row, noted: Mapping[str, Any] | None = None) -> bytes:
        """The context of a row, with annotated fields."""
        # fmt: off
        (position, time_ns, _name, depth, parent, correlation, root, event, agent, client, session,
         _place, optional) = row
        # fmt: on
        events = self._events
        if len(events) > _REMEMBERED:
            events.clear()
            self._correlations.clear()
        identity = position if event is None else event
        event_id = events[identity] = self._inside(identity, EVENT_PREFIX)
        ref = make_ref(self._store_id, position) if event is None else f"ctx_{event_id}"
        correlation_id = self._correlations.get(correlation) or self._correlation(correlation)
        text = (
            f'{{"_ref":"{ref}","_event_id":"{event_id}","_event_timestamp":{_json(time_ns / 1_000_000_000).decode()},'
            f'"_correlation_id":"{correlation_id}","_event_depth":{depth}'
        )
        if parent is not None:
            text += f',"_parent_event_id":"{events.get(parent) or self._event(parent)}"'
        if root is not None:
            text += f',"_root_event_id":"{events.get(root) or self._event(root)}"'
        if agent is not None:
            text += f',"_agent_id":{self._texts[agent]}'
        if client is not None:
            text += f',"_client_id":{self._texts[client]}'
        data = None if session is None else self._sessions.get(session)
        if data is not None:
            text += f',"_session":{data}'
        if optional is None and not noted:
            return f"{text}}}".encode()
        return _with_more(f"{text}}}", optional, noted or {})

    def _event(self, identity: Identity) -> str:
        found = self._events[identity] = self._inside(identity, EVENT_PREFIX)
        return found

    def _correlation(self, identity: Identity) -> str:
        found = self._correlations[identity] = self._inside(identity, CORRELATION_PREFIX)
        return found

    def _inside(self, identity: Identity, prefix: str) -> str:
        """An identity's column as the inside of a JSON text."""
        if isinstance(identity, int):
            if identity < 0:
                return prefix + "%08x" % (-1 - identity)
            return prefix + make_ref(self._store_id, identity)[4:]
        return _json(identity)[1:-1].decode()


def _with_more(text: str, optional: str | None, noted: Mapping[str, Any]) -> bytes:
    fields = ({} if optional is None else rows.optional_fields(optional)) | dict(noted)
    named = {name if name.startswith("_") else f"_{name}": value for name, value in fields.items()}
    return _json(_from_json(text) | named)
