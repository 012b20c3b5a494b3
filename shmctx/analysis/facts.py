"""What one context says about itself: how long it was handled and by whom, its fields, its session."""

from collections.abc import Iterable
from typing import Any

from shmctx.context import Context

DURATION, HANDLERS, HANDLER = "_duration_ms", "_handlers", "_handler"
"""What the event router annotates: milliseconds of all handlers together and of each by its name, and who failed."""

MS = 1_000_000  # nanoseconds


def fields(context: Context) -> dict[str, Any]:
    """Optional and custom fields under their wire names, with what was annotated over what was put."""
    found = (context.more or {}) | (context.noted or {})
    return {name if name.startswith("_") else f"_{name}": value for name, value in found.items()}


def duration_ns(context: Context) -> int | None:
    """How long all handlers took together, in ns; None where nobody annotated it, or not as a duration."""
    duration = milliseconds(_noted(context, DURATION))
    return None if duration is None else round(duration * MS)


def handlers(context: Context) -> dict[str, float]:
    """Milliseconds by the handler's name; what is no duration is left out."""
    noted = _noted(context, HANDLERS)
    if not isinstance(noted, dict):
        return {}
    durations = ((str(name), milliseconds(value)) for name, value in noted.items())
    return {name: duration for name, duration in durations if duration is not None}


def _noted(context: Context, name: str) -> Any:
    """An annotation. What was put under its name counts for nothing: children inherit that."""
    return None if context.noted is None else context.noted.get(name)


def failed_handler(context: Context) -> str | None:
    """The handler whose failure the context's error is; None where it is not told."""
    name = _noted(context, HANDLER)
    return name if isinstance(name, str) else None


def milliseconds(value: object) -> float | None:
    """The value, if it is a duration: a number from 0 to 30 years. Anybody may annotate anything."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        return None
    return float(value)


def session_ids(contexts: Iterable[Context]) -> list[str]:
    """Ids of the sessions that contexts belong to, each once, in order; every session's record is read once."""
    seen: dict[int, str | None] = {}
    for context in contexts:
        position = context.session_position
        if position is not None and position not in seen:
            seen[position] = context.session_id
    return list(dict.fromkeys(name for name in seen.values() if name is not None))
