"""What has expired: which contexts, by the classes of Retention, and how they leave.

A round visits the stretches of positions (table `span`) in which something may have expired, removes what has, and
notes when the next of what is left will: a stretch is not looked at again before that. Sessions, large fields and files
of the log that nothing needs any more follow, then the free pages of the database. Every step is one short transaction,
and a round that dies is begun again where its work ended, because that is what the tables say.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from shmctx.cold import rows
from shmctx.cold.rows import RECORD_IN_ERROR
from shmctx.names import matcher
from shmctx.settings import Retention

_DAY_NS = 86_400_000_000_000
_EVER = 1 << 62
"""More ns than anything is old."""

_ARRIVED = """(SELECT a.time_ns FROM arrival AS a WHERE a.last >= r.position AND a.first =
    (SELECT max(first) FROM arrival WHERE first <= r.position))"""
"""When what another system had logged was moved in: its age counts from then."""
_CANDIDATES = f"""
SELECT r.position, max(r.time_ns, coalesce({_ARRIVED}, 0)), (SELECT value FROM text WHERE id = r.event_name),
    r.depth, r.log_place,
    {RECORD_IN_ERROR} OR EXISTS (SELECT 1 FROM annotation AS a WHERE a.target = r.position AND a.error IS NOT NULL),
    coalesce(k.pinned, 0), coalesce(k.often, 0)
FROM record AS r LEFT JOIN kept AS k ON k.position = r.position
WHERE r.position > ? AND r.position < ? ORDER BY r.position LIMIT ?"""
_DUE = "SELECT first FROM span WHERE first > ? AND {when} ORDER BY first LIMIT 1"


class Report(msgspec.Struct, kw_only=True):
    """What a round removed, or would remove. Bytes are those on disk."""

    contexts: int = 0
    classes: dict[str, int] = {}
    """Contexts by the class that kept them longest: default, error, deep, read, or a pattern of event names."""
    events: int = 0
    """Contexts with event data: lines of the log."""
    sessions: int = 0
    payloads: int = 0
    payload_bytes: int = 0
    quarantined: int = 0
    log_segments: int = 0
    log_bytes: int = 0
    database_bytes: int = 0
    """Free pages given back to the file system; a checkpoint shows them as a smaller file. An estimate if dry."""


class Candidate(NamedTuple):
    """A context with what decides how long it is kept."""

    position: int
    time_ns: int
    event_name: str
    depth: int
    log_place: int | None
    failed: int
    pinned: int
    often: int


class Expired(NamedTuple):
    """A context to remove, and the class that it was in."""

    position: int
    log_place: int | None
    kind: str


class Plan:
    """How long which context is kept. `older_ns`: the age from which nothing is kept but what is pinned."""

    def __init__(self, retention: Retention, older_ns: int | None = None) -> None:
        self._retention = retention
        self._most = _EVER if older_ns is None else older_ns
        self._patterns = [(name, matcher(name), self._ns(days)) for name, days in retention.events.items()]
        limits = [retention.default_days, retention.error_days, retention.deep_days, retention.read_days]
        self.shortest_ns = min(self._most, *(self._ns(days) for days in (*limits, *retention.events.values())))
        self.capped = older_ns is not None

    @staticmethod
    def _ns(days: float | None) -> int:
        return _EVER if days is None else min(int(days * _DAY_NS), _EVER)

    @property
    def quarantine_ns(self) -> int:
        """How long what fits no table is kept."""
        return min(self._most, self._ns(self._retention.quarantine_days))

    def keep(self, found: Candidate) -> tuple[int, str]:
        """(ns from its event on, class) for which a context is kept."""
        if found.pinned:
            return _EVER, "pinned"
        kept = self._by_name(found.event_name)
        retention = self._retention
        if found.failed:
            kept = max(kept, (self._ns(retention.error_days), "error"), key=_length)
        if found.depth > retention.deep_depth:
            kept = max(kept, (self._ns(retention.deep_days), "deep"), key=_length)
        if found.often:
            kept = max(kept, (self._ns(retention.read_days), "read"), key=_length)
        return min(kept[0], self._most), kept[1]

    def _by_name(self, event_name: str) -> tuple[int, str]:
        for name, fits, length in self._patterns:
            if fits(event_name):
                return length, name
        return self._ns(self._retention.default_days), "default"


def _length(kept: tuple[int, str]) -> int:
    return kept[0]


class Stretch:
    """One stretch of positions on its way through a round, some contexts at a time."""

    def __init__(self, connection: sqlite3.Connection, plan: Plan, first: int, now_ns: int) -> None:
        self.first = first
        self.end = first + rows.SPAN
        self.done = False
        self.due_ns: int | None = None
        """When the first of the contexts that stay expires; None: none of them ever does."""
        self.kept = 0
        self._db = connection
        self._plan = plan
        self._now_ns = now_ns
        self._after = first - 1

    def expired(self, most: int) -> list[Expired]:
        """What has expired among the next contexts, of which it looks at so many."""
        found = [Candidate(*row) for row in self._db.execute(_CANDIDATES, (self._after, self.end, most))]
        self.done = len(found) < most
        expired = []
        for candidate in found:
            self._after = candidate.position
            length, kind = self._plan.keep(candidate)
            due_ns = candidate.time_ns + length
            if length < _EVER and due_ns <= self._now_ns:
                expired.append(Expired(candidate.position, candidate.log_place, kind))
                continue
            self.kept += 1
            if length < _EVER and (self.due_ns is None or due_ns < self.due_ns):
                self.due_ns = due_ns
        return expired


def stretches(connection: sqlite3.Connection, plan: Plan, now_ns: int) -> Iterator[Stretch]:
    """The stretches in which something may have expired, oldest first, each once."""
    when = "min_ns <= ?" if plan.capped else "coalesce(due_ns, min_ns + ?) <= ?"
    values = (now_ns - plan.shortest_ns,) if plan.capped else (plan.shortest_ns, now_ns)
    first = -1
    while True:
        row = connection.execute(_DUE.format(when=when), (first, *values)).fetchone()
        if row is None:
            return
        first = row[0]
        yield Stretch(connection, plan, first, now_ns)


def count(report: Report, expired: Sequence[Expired]) -> Counter[int]:
    """Add expired contexts to a report; returns how many lines of which segments of the log were theirs."""
    lines = Counter(rows.log_place(found.log_place)[0] for found in expired if found.log_place is not None)
    report.contexts += len(expired)
    report.events += lines.total()
    report.classes = dict(Counter(report.classes) + Counter(found.kind for found in expired))
    return lines
