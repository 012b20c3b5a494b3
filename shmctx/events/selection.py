"""Which fields of an event somebody wants to see."""

import difflib
import operator
from collections.abc import Callable, Sequence
from typing import Any

from shmctx.drafts import WIRE_NAMES
from shmctx.errors import InvalidField
from shmctx.event import Event

Getter = Callable[[Event], Any]

BUNDLES: dict[str, tuple[str, ...]] = {
    "minimal": ("ref", "timestamp", "event_name"),
    "monitoring": ("ref", "timestamp", "event_name", "agent_id", "correlation_id", "depth", "error", "data"),
    "debugging": (
        "ref", "event_id", "timestamp", "event_name", "correlation_id", "parent_event_id", "root_event_id", "depth",
        "agent_id", "client_id", "session_id", "error", "error_type", "error_message", "custom", "data",
    ),
    "timing": ("ref", "timestamp", "event_name", "correlation_id", "depth", "_duration_ms", "_handlers"),
    "errors": (
        "ref", "timestamp", "event_name", "agent_id", "correlation_id", "parent_event_id",
        "error", "error_type", "error_message", "_handler",
    ),
    "full": (
        "ref", "event_id", "timestamp", "event_name", "correlation_id", "parent_event_id", "root_event_id", "depth",
        "agent_id", "client_id", "session", "user_id", "tenant_id", "environment", "tags",
        "error", "error_type", "error_message", "response_ref", "custom", "data",
    ),
}  # fmt: skip
"""What a bundle's name stands for. `minimal`: which event and when; `monitoring`: one line of a running system;
`debugging`: who caused it, and all that was said; `timing`: how long its handlers took; `errors`: what went wrong
where; `full`: everything. Names with an underscore are custom fields, which the event router writes."""

_PLAIN = ("time_ns", "parent_ref", "session_id", *BUNDLES["full"])
_WIRE = {**WIRE_NAMES, "_ref": "ref"}


def names(fields: str | Sequence[str]) -> tuple[str, ...]:
    """The fields of a bundle, or those listed, checked. Raises InvalidField."""
    if isinstance(fields, str):
        if fields not in BUNDLES:
            raise _unknown(fields, BUNDLES, "There is no bundle of fields", "a list of fields")
        return BUNDLES[fields]
    listed = tuple(fields)
    for name in listed:
        if type(name) is not str or not _known(name):
            raise _unknown(name, _PLAIN, "Events have no field", "data.NAME, a wire name or a custom _name")
    return listed


def _known(name: str) -> bool:
    return name in _PLAIN or (name.startswith("_") and len(name) > 1) or (name.startswith("data.") and name[-1] != ".")


def _unknown(name: object, known: Sequence[str] | dict[str, Any], said: str, others: str) -> InvalidField:
    close = difflib.get_close_matches(str(name), known, 1)
    meant = f"{close[0]}? There are" if close else "One of"
    return InvalidField(f"{said} {name!r}.", hint=f"{meant} {', '.join(sorted(known))}, or {others}.")


def selector(fields: str | Sequence[str]) -> Callable[[Event], dict[str, Any]]:
    """A function that gives the fields of an event under the names asked for; None where it has none.

    `fields`: the name of a bundle, or a list of plain names (`agent_id`), wire names (`_agent_id`), custom fields
    (`_trial`), `custom` for all of these, `data`, or a path into it (`data.prompt`). Raises InvalidField.
    """
    getters = [(name, _getter(name)) for name in names(fields)]
    return lambda event: {name: get(event) for name, get in getters}


def _getter(name: str) -> Getter:
    if name == "data":
        return operator.attrgetter("data")
    if name.startswith("data."):
        return _path(name.split(".")[1:])
    plain = _WIRE.get(name, name)
    if plain in _PLAIN:
        return operator.attrgetter(f"context.{plain}")
    return lambda event: event.context.custom.get(plain)


def _path(keys: list[str]) -> Getter:
    def get(event: Event) -> Any:
        found: Any = event.data
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    return get
