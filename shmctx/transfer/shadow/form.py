"""An event as an application's old log has it, to what a store keeps, and back."""

import copy
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from shmctx.cold.questions import Steps
from shmctx.errors import InvalidField
from shmctx.finder import Finder
from shmctx.settings import Settings
from shmctx.store import Store
from shmctx.transfer import embedding, forms, live
from shmctx.transfer.arrivals import arrival_of
from shmctx.transfer.embedding import Embedded, Origin
from shmctx.transfer.forms import SourceEvent, Unfit
from shmctx.transfer.novelty import pack
from shmctx.transfer.shadow import differences
from shmctx.transfer.shadow.differences import ABSENT, Differences

_SETTINGS = Settings()
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_decode_origin = msgspec.json.Decoder(Origin).decode
_encode = msgspec.json.Encoder().encode


def parse(event: Mapping[str, Any]) -> SourceEvent:
    """Name, data and context of an event in any form that holds its context. Raises InvalidField."""
    root = dict(event)
    if isinstance(root.get("data"), Mapping):
        root["data"] = dict(root["data"])
    try:
        found = forms.event_from(root)
    except Unfit as error:
        raise _refused(error) from None
    if found.form == "lean":
        raise InvalidField(f"The event has no context, only the reference {found.ref!r}. Nothing was stored.")
    return found


def put(store: Store, event: SourceEvent) -> str:
    """Store an event as a migration would; returns its ref. Raises what Store.put does.

    Its context is its own, whatever is current here: nothing is inherited from a span around the call.
    """
    source = copy.copy(event)
    source.envelope = dict(event.envelope)  # taken apart
    try:
        arrival = arrival_of(source, store.store_id, time.time_ns())
    except (Unfit, TypeError, ValueError) as error:
        raise _refused(error) from None
    return live.put(store, pack(arrival, _SETTINGS))


def find(store: Store, ref: str) -> dict[str, Any] | None:
    """The event of a ref or id as the old log has it, or None. Raises as Store.event does."""
    embedded = store.run(lambda finder: _embedded(finder, ref))
    return None if embedded is None else _decode(embedding.line(embedded))


def _embedded(finder: Finder, ref: str) -> Steps[Embedded | None]:
    event = yield from finder.event(ref)
    if event is None or event.data is None:  # its data has expired, or it was put without
        return None
    logged, origin = yield from finder.data.brought(event.context.position)
    return Embedded(
        event.context.position,
        event.time_ns,
        msgspec.Raw(logged or _encode(event.timestamp)),
        msgspec.Raw(_encode(event.event_name)),
        _encode(embedding.wire(event.context)),
        _encode(event.data),
        _decode_origin(origin) if origin else None,
    )


def compare(old: SourceEvent, new: SourceEvent) -> Differences:
    """Where an event of the old log and the same event out of a store differ."""
    found: Differences = {}
    for name in {**old.envelope, **new.envelope}:
        mine, theirs = old.envelope.get(name, ABSENT), new.envelope.get(name, ABSENT)
        if not differences.same(mine, theirs):
            found[name] = (mine, theirs)
    if old.event_name != new.event_name:
        found["event_name"] = (old.event_name, new.event_name)
    found |= differences.of_data(old.data or {}, new.data)
    return found | differences.of_contexts(old.context or {}, new.context or {})


def _refused(error: Exception) -> InvalidField:
    return InvalidField(f"The event cannot be shadowed: {error}. Nothing was stored.")
