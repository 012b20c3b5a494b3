"""Impact: what came after a context, through it."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from shmctx.analysis.facts import duration_ns, session_ids
from shmctx.context import Context


class Impact(msgspec.Struct):
    """What a context caused, directly or not. Times in ns since 1970."""

    ref: str
    event_name: str
    events: int
    """How many; the context itself is not among them."""
    errors: int
    """How many of them say that something went wrong."""
    levels: int
    """Steps to the one that is furthest away; 0 if there is none."""
    by_name: dict[str, int]
    """Events by their name, most first."""
    by_agent: dict[str, int]
    sessions: list[str]
    correlations: list[str]
    begin_ns: int
    """The context's own time."""
    end_ns: int
    """When the last of them ended, handlers included; at least the context's own end."""
    failed: list[str]
    """Refs of those with an error, oldest first."""

    @property
    def span_seconds(self) -> float:
        """From the context to the end of what it caused."""
        return (self.end_ns - self.begin_ns) / 1e9


def impact(context: Context, below: Iterable[Context]) -> Impact:
    """The impact of a context, given its descendants (`store.descendants(ref)`)."""
    below = list(below)
    failed = [effect.ref for effect in below if effect.error_text is not None]
    return Impact(
        ref=context.ref,
        event_name=context.event_name,
        events=len(below),
        errors=len(failed),
        levels=_levels(context, below),
        by_name=_counted(effect.event_name for effect in below),
        by_agent=_counted(effect.agent_id for effect in below if effect.agent_id is not None),
        sessions=session_ids(below),
        correlations=list(dict.fromkeys(effect.correlation_id for effect in below)),
        begin_ns=context.time_ns,
        end_ns=max(each.time_ns + (duration_ns(each) or 0) for each in (context, *below)),
        failed=failed,
    )


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _levels(context: Context, below: list[Context]) -> int:
    """Levels of effects, by breadth: the context may be part of a ring."""
    effects: dict[object, list[Context]] = {}
    for effect in below:
        effects.setdefault(effect.parent_identity, []).append(effect)
    level, row = 0, [context]
    while row := [effect for cause in row for effect in effects.pop(cause.identity, ())]:
        level += 1
    return level
