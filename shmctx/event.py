"""Event: a name, some data, and the context it happened in; and the form in which data travels.

Data is JSON from the moment it is put: in the ring, in the log and in the database it is the same bytes.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from shmctx import records
from shmctx.context import Context
from shmctx.errors import InvalidField

_PLAIN = frozenset({str, bool, type(None)})
_LEAST, _GREATEST = -(1 << 63), (1 << 64) - 1
"""Whole numbers that msgpack holds too; JSON alone knows no limit."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_ENCODING_FAILS = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


class Event(msgspec.Struct, frozen=True):
    """What happened (`event_name`, `data`), and in which context."""

    context: Context
    data: dict[str, Any] | None = None
    """None: the context was put without data, or its data has expired."""

    @property
    def ref(self) -> str:
        """The context's ref."""
        return self.context.ref

    @property
    def event_name(self) -> str:
        """Such as `agent:spawn`."""
        return self.context.event_name

    @property
    def time_ns(self) -> int:
        """Nanoseconds since 1970 (UTC)."""
        return self.context.time_ns

    @property
    def timestamp(self) -> float:
        """Seconds since 1970 (UTC)."""
        return self.context.timestamp

    def to_dict(self) -> dict[str, Any]:
        """As in a line of the event log: ref, timestamp, event_name, data."""
        return {"ref": self.ref, "timestamp": self.timestamp, "event_name": self.event_name, "data": self.data}


def encode_data(data: object) -> bytes:
    """Event data as JSON. Raises InvalidField, naming the path, for what neither JSON nor msgpack can hold."""
    if type(data) is not dict:
        if not isinstance(data, Mapping):
            raise InvalidField(f"data is a dict, not {type(data).__name__}. Nothing was stored.")
        data = dict(data)
    if not _is_plain(data, records.MAX_DEPTH_OF_VALUES - 1):
        records.check_value(data, "data")
    try:
        return _encode(data)
    except _ENCODING_FAILS as error:
        records.check_value(data, "data")
        raise InvalidField(f"data cannot be encoded: {error}. Nothing was stored.") from None


def _is_plain(data: dict[Any, Any], levels: int) -> bool:
    """Whether JSON holds all of it as it is; False where somebody has to look closer."""
    for key, value in data.items():
        if key.__class__ is not str:
            return False
        kind = value.__class__
        if kind not in _PLAIN and not _is_plain_item(value, kind, levels):
            return False
    return True


def _is_plain_item(value: Any, kind: type, levels: int) -> bool:
    if kind is int:
        return bool(_LEAST <= value <= _GREATEST)
    if kind is float:
        return bool(value - value == 0)  # neither infinite nor "not a number"
    if kind is dict:
        return levels > 0 and _is_plain(value, levels - 1)
    if kind is not list or levels == 0:
        return kind in _PLAIN
    return all(item.__class__ in _PLAIN or _is_plain_item(item, item.__class__, levels - 1) for item in value)


def decode_data(raw: bytes) -> dict[str, Any] | None:
    """The data that was encoded; None for bytes that are none."""
    try:
        return _decode(raw)
    except records.NOT_DECODABLE:
        return None
