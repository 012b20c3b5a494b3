"""An event as an application's old log has it, to what a store puts, and back."""

from collections.abc import Mapping
from typing import Any

from shmctx.errors import InvalidField
from shmctx.event import Event
from shmctx.propagation import current_scope, set_scope
from shmctx.store import Store
from shmctx.transfer import embedding, forms
from shmctx.transfer.forms import SourceEvent
from shmctx.transfer.shadow import differences
from shmctx.transfer.shadow.differences import ABSENT, Differences


def parse(event: Mapping[str, Any]) -> SourceEvent:
    """Name, data and context of an event in any of the forms that hold their context. Raises InvalidField."""
    root = dict(event)
    if isinstance(root.get("data"), Mapping):
        root["data"] = dict(root["data"])
    try:
        found = forms.event_from(root)
    except forms.Unfit as error:
        raise InvalidField(f"The event cannot be shadowed: {error}. Nothing was stored.") from None
    if found.form == "lean":
        raise InvalidField(f"The event has no context, only the reference {found.ref!r}. Nothing was stored.")
    return found


def put(store: Store, event: SourceEvent) -> str:
    """Store an event; returns its ref. Raises what Store.put does.

    Its context is its own, whatever is current here: nothing is inherited from a span around the call.
    """
    fields = {**(event.context or {}), "time_ns": event.time_ns}
    fields.pop("_event_timestamp", None)
    fields.pop("_event_name", None)
    outer = current_scope()
    set_scope(None)
    try:
        return store.put(event.event_name, data=event.data, **fields)
    finally:
        set_scope(outer)


def of_event(event: Event) -> dict[str, Any]:
    """An event of a store with its context embedded. Its timestamp is the context's, not that of an old log's line."""
    data = {**(event.data or {}), embedding.EMBEDDED: embedding.wire(event.context)}
    return {"timestamp": event.timestamp, "event_name": event.event_name, "data": data}


def compare(old: SourceEvent, new: Event) -> Differences:
    """Where an event of the old log and one of a store differ.

    Not compared: when the old log's line was written, which a store does not keep; the context says when it happened.
    """
    found: Differences = {name: (value, ABSENT) for name, value in old.envelope.items() if name not in forms.TIMES}
    if old.event_name != new.event_name:
        found["event_name"] = (old.event_name, new.event_name)
    if old.time_ns is not None and old.time_ns != new.time_ns:
        found["time_ns"] = (old.time_ns, new.time_ns)
    found |= differences.of_data(old.data or {}, new.data)
    context = dict(old.context or {})
    context.pop("_event_timestamp", None)
    return found | differences.of_contexts(context, new.context.to_dict())
