"""The short way in, for events as a KSI daemon logs them: context last in the data, nothing odd about it.

Their contexts are decoded and checked in one step, by their type. Whatever does not fit it takes the long way, through
`forms` and `arrivals`, and both ways give the same.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from shmctx import records
from shmctx.context import MAX_DEPTH
from shmctx.records import NOT_DECODABLE
from shmctx.transfer.arrivals import NATIVE, Arrival, data_json, session_payload
from shmctx.transfer.forms import Unfit, nanoseconds

_KEY = b'"_ksi_context":'
_Id = Annotated[str, Meta(min_length=1, max_length=NATIVE - 1)]
"""Too short to be an id that a store gave."""


def _wire(name: str) -> str:
    return f"_{name}"


class _Context(msgspec.Struct, rename=_wire, forbid_unknown_fields=True, gc=False):
    """A context of which a store gives back all, and nothing besides."""

    event_id: _Id
    event_timestamp: float | int
    correlation_id: _Id
    ref: str
    root_event_id: _Id
    event_depth: Annotated[int, Meta(ge=0, le=MAX_DEPTH)]
    parent_event_id: _Id | UnsetType = UNSET
    agent_id: str | UnsetType = UNSET
    client_id: str | UnsetType = UNSET
    session: Raw | UnsetType = UNSET


class _Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    event_name: str
    timestamp: float | int
    data: Raw


_line = msgspec.json.Decoder(_Line).decode
_context = msgspec.json.Decoder(_Context).decode
_data = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode
_BETWEEN = b" \t\r\n,"
_NOT_QUICK = (*NOT_DECODABLE, RecursionError, Unfit)


def quick_arrival(text: bytes) -> Arrival | None:
    """What arrives with a line; None if it has to take the long way."""
    try:
        line = _line(text)
        inside = memoryview(line.data)
        packed = inside.tobytes()
        at = packed.find(_KEY)
        if at < 0:
            return None
        context = _context(inside[at + len(_KEY) : -1])  # so it is the last of the data's fields
        encoded = data_json(_data(packed[:at].rstrip(_BETWEEN) + b"}"))
    except _NOT_QUICK:
        return None
    own, seconds = context.event_id, context.event_timestamp
    time_ns = nanoseconds(seconds)
    if type(seconds) is not float or time_ns is None or time_ns / 1_000_000_000 != seconds:
        return None
    session = None if context.session is UNSET else session_payload(bytes(context.session))
    if context.ref != f"ctx_{own}" or (session is None and context.session is not UNSET):
        return None
    fields = records.context_fields(
        event_name=line.event_name,
        depth=context.event_depth,
        parent=context.parent_event_id or None,
        correlation=context.correlation_id,
        agent_id=None if context.agent_id is UNSET else context.agent_id,
        client_id=None if context.client_id is UNSET else context.client_id,
        event=own,
        root=context.root_event_id,
    )
    return Arrival(own, time_ns, fields, session, encoded, _encode(line.timestamp), b"")
