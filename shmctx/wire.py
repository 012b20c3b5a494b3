"""The hybrid form: a ref towards whoever reads the same segment, the context itself towards everybody else."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from shmctx import drafts, records
from shmctx.context import EVENT_PREFIX, Context
from shmctx.errors import InvalidField, PayloadTooLarge
from shmctx.hot._core import ALIAS_LINK
from shmctx.refs import alias_of, make_ref, native_id, parse_ref, resolve_native
from shmctx.resolver import MANY

if TYPE_CHECKING:
    from shmctx.store import Store

IDENTITY = ("_ref", "_event_id", "_event_name")
"""What every selection has: without it nobody could take the context back."""
MAX_WIRE = 1 << 20
"""Bytes of msgpack that a context from elsewhere may have."""


def to_wire(
    store: "Store", context: Context | str, *, local: bool, fields: Iterable[str] | None = None
) -> str | dict[str, Any]:
    """A context in the form that its reader can use. `Store.to_wire`."""
    found = context if isinstance(context, Context) else store.resolve(context)
    if local and found.store_id == store.store_id:
        return found.ref
    wire = found.to_dict()
    return wire if fields is None else selected(wire, fields)


def selected(wire: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """The named fields of a context under wire names, and its identity. Unknown names select nothing.

    Names are as in `to_dict()` (`_agent_id`, `_event_depth`), or as the arguments of put (`agent_id`, `depth`).
    """
    wanted = {_WIRE_NAME.get(name, name) for name in fields} | set(IDENTITY)
    return {name: value for name, value in wire.items() if name in wanted}


_WIRE_NAME = {argument: wire for wire, argument in drafts.WIRE_NAMES.items()} | {"ref": "_ref"}


def accept(store: "Store", wire: str | Mapping[str, Any]) -> str:
    """The ref of what came over a wire, which is stored if it is foreign and new. `Store.accept`."""
    if isinstance(wire, str):
        return store.resolve(wire).ref
    fields = _checked(wire)
    ref, event = fields.pop("_ref", None), fields.pop("_event_id", None)
    event = _event_id(ref, event)
    native = resolve_native(event)
    if native is not None and native[0] == store.store_id:
        return store.resolve(make_ref(*native)).ref
    return _known(store, event) or _stored(store, event, fields)


def _checked(wire: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, if they can be a context's. Raises InvalidField, PayloadTooLarge."""
    if not isinstance(wire, Mapping):
        raise InvalidField(f"A context is a ref or a dict, not {type(wire).__name__}. Nothing was stored.")
    fields = dict(wire)
    records.check_value(fields, "context")
    wrong = [name for name in fields if not name.startswith("_") or name == "_"]
    if wrong:
        raise InvalidField(
            f"{wrong[0]!r} is no field of a context. Nothing was stored.",
            hint="Fields have their wire names, which begin with an underscore, as in Context.to_dict().",
        )
    size = len(msgspec.msgpack.encode(fields))
    if size > MAX_WIRE:
        raise PayloadTooLarge(f"A context from elsewhere has {MAX_WIRE:,} bytes at most, not {size:,}.")
    return fields


def _event_id(ref: Any, event: Any) -> str:
    """Whose context it is: the event id, or the one that follows from the ref. Raises InvalidField."""
    for name, value in (("_ref", ref), ("_event_id", event)):
        drafts.text(name, value)
    if not event and ref:
        native = parse_ref(ref)
        event = native_id(EVENT_PREFIX, *native) if native else alias_of(ref)
    if not event:
        raise InvalidField("The context has neither _event_id nor _ref, so it has no identity. Nothing was stored.")
    return str(event)


def _known(store: "Store", event: str) -> str | None:
    """The ref of the first context stored under a foreign event id.

    The first, so that two processes that accept the same at the same time give the same ref: each sees, behind its
    own append, whatever was appended before.
    """
    finder = store.finder()
    for position in reversed(finder.ring.find(ALIAS_LINK, event, 0, MANY)):
        context = finder.hot(position)
        if context is not None and context.identity == event:
            return context.ref
    found: Context | None = store.get(event)
    return None if found is None else found.ref


def _stored(store: "Store", event: str, fields: dict[str, Any]) -> str:
    name = fields.pop("_event_name", None)
    if not isinstance(name, str) or not name:
        raise InvalidField("The context has no _event_name. Nothing was stored.", hint="Send it with its identity.")
    fields = {key: value for key, value in fields.items() if value is not None} | {"_event_id": event}
    store.append_draft(drafts.draft(_Elsewhere(store), name, None, fields), fields)
    return _known(store, event) or store.resolve(event).ref


class _Elsewhere:
    """A store as drafting sees it, in which nobody is found to inherit from: what came says everything that it has."""

    def __init__(self, store: "Store") -> None:
        self.store_id = store.store_id
        self.resolve = store.resolve
        self.put_session = store.put_session
        self.pack = store.pack

    def get(self, ref: str, default: Any = None, /) -> Any:  # noqa: ARG002  (as Store.get)
        """Nobody."""
        return default
