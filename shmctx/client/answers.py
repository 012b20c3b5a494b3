"""Contexts and events as a gateway sends them, made into the objects that a store gives."""

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from shmctx.context import OPTIONAL_FIELDS, Context, Identity
from shmctx.drafts import WIRE_NAMES
from shmctx.errors import GatewayError
from shmctx.event import Event
from shmctx.refs import parse_ref, resolve_native

if TYPE_CHECKING:
    from shmctx.checkpoints.stored import Listed

FIELDS = (
    "ref", "time_ns", "event_name", "event_id", "correlation_id", "parent_event_id", "root_event_id", "depth",
    "agent_id", "client_id", "session", *OPTIONAL_FIELDS, "custom",
)  # fmt: skip
"""What to ask for so that nothing of a context is missing."""


NOTED = frozenset({"_duration_ms", "_handlers", "_handler"})
"""What the event router says of an event when its handlers are done. An answer does not tell what was put from what
was annotated; these count where they were annotated, because children inherit what was put."""


class RemoteContext(Context, frozen=True, array_like=True, gc=False, eq=False):
    """A Context whose session came with it: there is no store here in which to look for it."""

    said: dict[str, Any] | None = None
    """The session's data."""

    @property
    def session(self) -> dict[str, Any] | None:
        """The session's data, as of when the context was asked for."""
        return self.said

    @property
    def session_id(self) -> str | None:
        """The session's id."""
        return None if self.said is None else self.said.get("id")


class Row(msgspec.Struct, kw_only=True):
    """An event with the fields above, and its data where that was asked for."""

    ref: str
    time_ns: int
    event_name: str
    event_id: str
    correlation_id: str
    parent_event_id: str | None = None
    root_event_id: str | None = None
    depth: int = 0
    agent_id: str | None = None
    client_id: str | None = None
    session: dict[str, Any] | None = None
    user_id: str | None = None
    tenant_id: str | None = None
    environment: str | None = None
    tags: list[str] | None = None
    error: Any = None
    error_type: str | None = None
    error_message: str | None = None
    response_ref: str | None = None
    custom: dict[str, Any] | None = None
    data: dict[str, Any] | None = None

    def event(self) -> Event:
        """The Event. Raises GatewayError."""
        return Event(self.context(), self.data)

    def context(self) -> RemoteContext:
        """The Context. Raises GatewayError."""
        place = parse_ref(self.ref)
        store_id, position = place or (0, 0)
        event = _identity(self.event_id, store_id)
        correlation = _identity(self.correlation_id, store_id)
        custom = self.custom or {}
        noted = {name: value for name, value in custom.items() if name in NOTED}
        optional = {name: getattr(self, name) for name in OPTIONAL_FIELDS}
        more = {name: value for name, value in optional.items() if value is not None} | custom
        return RemoteContext(
            self.event_name,
            depth=self.depth,
            parent=_identity(self.parent_event_id, store_id),
            correlation=None if place and correlation == position else correlation,
            agent_id=self.agent_id,
            client=self.client_id,
            session_position=self._session(),
            event=None if place and event == position else self.event_id,
            root=_identity(self.root_event_id, store_id),
            more=more or None,
            noted=noted or None,
            ref=self.ref,
            time_ns=self.time_ns,
            said=self.session,
        )

    def _session(self) -> int | None:
        """A number of the session's own: where its record lies is not told, and only to tell sessions apart."""
        return None if self.session is None else zlib.crc32(str(self.session.get("id")).encode())


def _identity(said: str | None, store_id: int) -> Identity | None:
    """As a store has it: the position of its own records, the text of ids that were brought."""
    native = None if said is None else resolve_native(said)
    return native[1] if native is not None and native[0] == store_id else said


def row(told: Mapping[str, Any]) -> Row:
    """An event that was sent with these fields. Raises GatewayError."""
    try:
        return msgspec.convert(told, Row)
    except msgspec.ValidationError as error:
        raise GatewayError(f"The gateway sent an event that is none: {error}.") from None


def context(wire: Mapping[str, Any]) -> RemoteContext:
    """A context that was sent under wire names. Raises GatewayError.

    `ref` and `time_ns` beside them say exactly what `_ref`, which may be an alias, and `_event_timestamp`, which is
    rounded to a quarter of a microsecond, do not.
    """
    fields = {name: wire[said] for said, name in WIRE_NAMES.items() if said in wire}
    stamp = fields.pop("timestamp", 0)
    custom = {name: value for name, value in wire.items() if name.startswith("_") and name not in _STANDARD}
    told = {
        **fields,
        "ref": wire.get("ref") or wire.get("_ref"),
        "time_ns": wire.get("time_ns") or (round(stamp * 1e9) if isinstance(stamp, int | float) else stamp),
        "custom": custom,
    }
    return row(told).context()


_STANDARD = {"_ref", *WIRE_NAMES}


def checkpoint(told: Mapping[str, Any]) -> "Listed":
    """A checkpoint that was sent. Raises GatewayError."""
    from shmctx.checkpoints.stored import Listed  # with it come routers, which few clients need

    try:
        return msgspec.convert(told, Listed)
    except msgspec.ValidationError as error:
        raise GatewayError(f"The gateway sent a checkpoint that is none: {error}.") from None
