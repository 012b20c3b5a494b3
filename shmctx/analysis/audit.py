"""The audit trail of a correlation: who did what when, in order, and what is missing in between."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from shmctx.analysis.facts import duration_ns, session_ids
from shmctx.context import Context

LONG_GAP = 60.0
"""Seconds without an event from which a trail says so."""


class Entry(msgspec.Struct):
    """One event of the trail."""

    number: int
    """From 1."""
    time_ns: int
    """Since 1970."""
    gap_ns: int
    """Since the entry before it; negative where the clock went back."""
    ref: str
    event_id: str
    event_name: str
    cause: str | None
    """The event id of the parent."""
    agent_id: str | None
    client_id: str | None
    user_id: str | None
    tenant_id: str | None
    duration_ns: int | None
    error: str | None
    response_ref: str | None
    notes: list[str]
    """What a reader should look at: `cause missing`, `clock went back`, `long gap`, `id used before`."""


class Trail(msgspec.Struct):
    """The entries of a correlation in the order in which they were stored, and what they add up to."""

    entries: list[Entry]
    begin_ns: int
    """The earliest time; 0 without entries."""
    end_ns: int
    """The latest end, durations included."""
    agents: dict[str, int]
    """Events by agent, most first."""
    users: list[str]
    sessions: list[str]
    errors: int
    missing: list[str]
    """Event ids of causes that are not among the entries: events that expired, were forgotten, or lie elsewhere."""


def audit_trail(contexts: Iterable[Context], *, long_gap: float = LONG_GAP) -> Trail:
    """The audit trail of the contexts of a correlation. `long_gap` in seconds."""
    ordered = sorted(contexts, key=lambda context: context.position)
    known = {context.identity for context in ordered}
    met: set[str] = set()
    missing: dict[str, None] = {}
    entries: list[Entry] = []
    for context in ordered:
        entry = _entry(context, entries[-1] if entries else None)
        if context.parent_identity is not None and context.parent_identity not in known:
            missing[str(entry.cause)] = None
            entry.notes.append("cause missing")
        if entry.gap_ns < 0:
            entry.notes.append("clock went back")
        elif entry.gap_ns >= long_gap * 1e9:
            entry.notes.append("long gap")
        if entry.event_id in met:
            entry.notes.append("id used before")
        met.add(entry.event_id)
        entries.append(entry)
    return Trail(
        entries,
        min((entry.time_ns for entry in entries), default=0),
        max((entry.time_ns + (entry.duration_ns or 0) for entry in entries), default=0),
        dict(Counter(entry.agent_id for entry in entries if entry.agent_id is not None).most_common()),
        list(dict.fromkeys(entry.user_id for entry in entries if entry.user_id is not None)),
        session_ids(ordered),
        sum(entry.error is not None for entry in entries),
        list(missing),
    )


def _entry(context: Context, before: Entry | None) -> Entry:
    return Entry(
        number=before.number + 1 if before else 1,
        time_ns=context.time_ns,
        gap_ns=context.time_ns - before.time_ns if before else 0,
        ref=context.ref,
        event_id=context.event_id,
        event_name=context.event_name,
        cause=context.parent_event_id,
        agent_id=context.agent_id,
        client_id=context.client_id,
        user_id=context.user_id,
        tenant_id=context.tenant_id,
        duration_ns=duration_ns(context),
        error=context.error_text,
        response_ref=context.response_ref,
        notes=[],
    )
