"""Contexts in headers: on to another service, and in from one.

A trace is a correlation, a span is an event (shmctx.w3c). Who can read the segment finds the exact parent by the ref in
`tracestate`; who cannot gets the ids that matter as `baggage`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shmctx import w3c
from shmctx.context import EVENT_PREFIX, Context
from shmctx.propagation import current
from shmctx.refs import MAX_ALIAS, native_id, parse_ref
from shmctx.w3c import SPAN_PREFIX, Traceparent

if TYPE_CHECKING:
    from shmctx.store import Store

MEMBER = "shmctx"
"""The key in `tracestate` under which the ref travels."""
CORRELATION, AGENT, SESSION = f"{MEMBER}.correlation_id", f"{MEMBER}.agent_id", f"{MEMBER}.session_id"
"""Keys in `baggage`."""

TRACESTATE_FIELD, FLAGS_FIELD = "_tracestate", "_trace_flags"
"""Custom fields: what a foreign trace brought that its next hop must get again."""


def inject(store: "Store", context: Context | None = None, *, baggage: str | None = None) -> dict[str, str]:
    """`traceparent`, `tracestate` and `baggage` that continue a context, or the current one; nothing without any.

    The ref goes along only if `store` made it: a reader of another segment has no use for it. `baggage`: what the
    request has of its own already; it is kept.
    """
    context = context or current()
    if context is None:
        return {}
    custom = context.custom
    flags = 0 if custom.get(FLAGS_FIELD) == 0 else w3c.SAMPLED
    parent = Traceparent(w3c.trace_id(context.correlation_id), w3c.span_id(context.event_id), flags)
    headers = {"traceparent": str(parent)}
    foreign = custom.get(TRACESTATE_FIELD)
    state = {MEMBER: context.ref} if context.store_id == store.store_id else {}
    state |= w3c.parse_tracestate(foreign if isinstance(foreign, str) else None)
    if state:
        headers["tracestate"] = w3c.format_tracestate(state)
    told = {CORRELATION: context.correlation_id, AGENT: context.agent_id, SESSION: context.session_id}
    headers["baggage"] = w3c.format_baggage({key: value for key, value in told.items() if value}, baggage)
    return headers


def extract(store: "Store", headers: Mapping[str, str]) -> dict[str, Any]:
    """What a caller says of the cause, as fields of a put: `store.span("http:request", **extract(store, headers))`.

    Names of headers are matched in any case. The result has either `parent`, a Context that this store has, or what
    the baggage tells (correlation_id, agent_id, session) with the foreign span as parent_event_id; it is empty
    where nothing valid came. A ref counts only beside a `traceparent` of the same correlation, so nobody hangs
    events onto contexts that they were never told of. Raises ColdError.
    """
    carried = _Carried(headers)
    return carried.fields(store.get(carried.ref) if carried.ref else None)


async def extract_async(store: "Store", headers: Mapping[str, str]) -> dict[str, Any]:
    """As extract, on an event loop: a ref that has left the ring is looked up without blocking it."""
    carried = _Carried(headers)
    return carried.fields(await store.aio.get(carried.ref) if carried.ref else None)


class _Carried:
    """What headers say of the cause, before a store was asked for it. `ref`: what to ask for; empty for nothing."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        names = {name.lower(): value for name, value in headers.items()}
        self._told = _told(names.get("baggage"))
        self._parent = w3c.parse_traceparent(names.get("traceparent"))
        self._state = w3c.parse_tracestate(names.get("tracestate")) if self._parent else {}
        self.ref = self._state.pop(MEMBER, "")

    def fields(self, found: Context | None) -> dict[str, Any]:
        """As fields of a put. `found`: what the store has at the ref."""
        parent, told = self._parent, self._told
        if parent is None:
            return told
        if found is not None and w3c.trace_id(found.correlation_id) == parent.trace_id:
            return {"parent": found}
        if w3c.trace_id(told.get("correlation_id", "")) != parent.trace_id:  # the baggage is of another trace
            told = {"correlation_id": parent.trace_id}
        told["parent_event_id"] = _event_id(self.ref, parent)
        if self._state:
            told[TRACESTATE_FIELD] = w3c.format_tracestate(self._state)
        if not parent.flags:
            told[FLAGS_FIELD] = 0
        return told


def _told(baggage: str | None) -> dict[str, Any]:
    """The fields in a baggage that are fit to be stored."""
    values = w3c.parse_baggage(baggage)
    correlation, agent, session = (_fit(values.get(key)) for key in (CORRELATION, AGENT, SESSION))
    fields = {"correlation_id": correlation, "agent_id": agent, "session": {"id": session} if session else None}
    return {name: value for name, value in fields.items() if value}


def _fit(value: str | None) -> str | None:
    """An id as somebody else names it, if it can be one."""
    return value if value and len(value) <= MAX_ALIAS and value.isprintable() else None


def _event_id(ref: str, parent: Traceparent) -> str:
    """The parent's event id: the one of the ref where the span is that event's, else the span's."""
    native = parse_ref(ref)
    event = native_id(EVENT_PREFIX, *native) if native else ""
    return event if event and w3c.span_id(event) == parent.span_id else SPAN_PREFIX + parent.span_id
