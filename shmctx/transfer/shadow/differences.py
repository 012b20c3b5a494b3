"""Where two forms of the same thing differ, by field."""

from collections.abc import Mapping
from typing import Any

ABSENT = "(absent)"
"""Stands for a field that one side does not have."""

OF_EVERY_CONTEXT = frozenset({
    "_ref", "_event_id", "_event_name", "_event_timestamp", "_correlation_id", "_root_event_id", "_event_depth",
})  # fmt: skip
"""Fields that shmctx tells of every context: not a difference where the old form leaves them out."""

Differences = dict[str, tuple[Any, Any]]
"""Field -> (old, shmctx)."""


def of_contexts(old: Mapping[str, Any], new: Mapping[str, Any]) -> Differences:
    """Between two contexts under wire names. A field that is None is a field that is left out."""
    found: Differences = {}
    for name in {**old, **new}:
        mine, theirs = old.get(name), new.get(name)
        if mine is theirs or same(mine, theirs) or (mine is None and name in OF_EVERY_CONTEXT):
            continue
        found[name] = (_shown(mine), _shown(theirs))
    return found


def of_data(old: Mapping[str, Any], new: Mapping[str, Any] | None) -> Differences:
    """Between two events' data: fields of the top level, as `data.NAME`; here None and left out are two things."""
    theirs = new or {}
    return {
        f"data.{name}": (old.get(name, ABSENT), theirs.get(name, ABSENT))
        for name in {**old, **theirs}
        if name not in old or name not in theirs or not same(old[name], theirs[name])
    }


def _shown(value: Any) -> Any:
    return ABSENT if value is None else value


def same(mine: Any, theirs: Any) -> bool:
    """Equal, as JSON sees it: a tuple is a list, a number is not true."""
    if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
        return mine.keys() == theirs.keys() and all(same(value, theirs[key]) for key, value in mine.items())
    if isinstance(mine, list | tuple) and isinstance(theirs, list | tuple):
        return len(mine) == len(theirs) and all(map(same, mine, theirs))
    return isinstance(mine, bool) == isinstance(theirs, bool) and bool(mine == theirs)
