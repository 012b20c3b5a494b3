"""Event data without metadata: what comes in with it is taken as the fields of the context instead."""

from collections.abc import Mapping
from typing import Any

from shmctx.drafts import WIRE_NAMES
from shmctx.errors import InvalidField

EMBEDDED = "_ksi_context"
"""KSI's place for a whole context inside data: the context itself, as a dict of wire names, or a ref to its cause."""

METADATA = frozenset({*WIRE_NAMES, "_ref", EMBEDDED})
"""The keys of data that are metadata."""


def separated(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(data without metadata, put's arguments for it); what lies beside an embedded context is stronger than it.

    Raises InvalidField for an embedded context that is none.
    """
    clean = {name: value for name, value in data.items() if name not in METADATA}
    beside = {name: value for name, value in data.items() if name in METADATA and name != EMBEDDED}
    found = _embedded(data.get(EMBEDDED)) | beside
    found.pop("_event_name", None)  # the name that is emitted is the name
    return clean, {WIRE_NAMES.get(name, name): value for name, value in found.items()}


def _embedded(context: object) -> dict[str, Any]:
    if context is None:
        return {}
    if isinstance(context, str):
        return {"parent": context}
    if not isinstance(context, Mapping):
        raise InvalidField(
            f"data.{EMBEDDED} is a dict of metadata or a ref, not {type(context).__name__}. Nothing was stored."
        )
    for name in context:
        if not isinstance(name, str) or not name.startswith("_"):
            raise InvalidField(f"data.{EMBEDDED}: {name!r} is no name of metadata. Nothing was stored.")
    return dict(context)
