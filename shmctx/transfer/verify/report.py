"""What a verification found."""

from collections import Counter

import msgspec

COUNTED = ("contexts", "events", "lines", "log_segments", "sessions", "annotations", "payloads", "quarantined")
LISTED = 100
"""Findings of one kind that are listed; all are counted."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that was found."""

    kind: str
    where: str
    """A ref, a file, a table."""
    detail: str


class Findings:
    """Findings counted by kind, the first of each listed."""

    def __init__(self, limit: int = LISTED) -> None:
        self.counts: Counter[str] = Counter()
        self.listed: list[Finding] = []
        self._limit = limit

    def add(self, kind: str, where: str, detail: str) -> None:
        """One more, unless the very same is listed."""
        if self.counts[kind] <= self._limit and Finding(kind, where, detail) in self.listed:
            return
        self.counts[kind] += 1
        if self.counts[kind] <= self._limit:
            self.listed.append(Finding(kind, where, detail))

    def adopt(self, other: "Findings") -> None:
        """Add what others are."""
        for finding in other.listed:
            self.add(finding.kind, finding.where, finding.detail)
        self.counts += other.counts - Counter(finding.kind for finding in other.listed)


class Comparison(msgspec.Struct):
    """A store beside the original that it was made from."""

    events: int = 0
    """Of the original."""
    equal: int = 0
    differing: int = 0
    missing: int = 0
    repeated: int = 0
    """Of the equal ones, those that the original has more than once."""
    without_id: int = 0
    """With neither an id nor a time, so that there is nothing to find them by: not compared."""
    bad_lines: int = 0
    besides: int = 0
    """Contexts of the store that the original does not have."""


class Report(msgspec.Struct, kw_only=True):
    """What a verification looked at and found. Problems are what should not be; notes are what somebody may want to
    know: parents that are in no log, rows from before there were checksums, what the next leader tidies up."""

    database: str
    log: str = ""
    name: str = ""
    """The segment that was looked at, if any."""
    ok: bool = True
    counts: dict[str, int] = {}
    problem_counts: dict[str, int] = {}
    problems: list[Finding] = []
    """The first of each kind."""
    note_counts: dict[str, int] = {}
    notes: list[Finding] = []
    against: Comparison | None = None
    seconds: float = 0.0


class Notebook:
    """A report while it is written."""

    def __init__(self, limit: int = LISTED) -> None:
        self._limit = limit
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTED, 0))
        self.problems = Findings(limit)
        self.notes = Findings(limit)

    def problem(self, kind: str, where: str, detail: str) -> None:
        """Something that should not be."""
        self.problems.add(kind, where, detail)

    def note(self, kind: str, where: str, detail: str) -> None:
        """Something worth knowing."""
        self.notes.add(kind, where, detail)

    def scratch(self) -> "Notebook":
        """An empty one, for what has to be looked at again before it is believed."""
        return Notebook(self._limit)

    def adopt(self, other: "Notebook") -> None:
        """Take over what another one holds."""
        self.counts.update(other.counts)
        self.problems.adopt(other.problems)
        self.notes.adopt(other.notes)

    @property
    def has_problems(self) -> bool:
        """Whether anything is wrong so far."""
        return bool(self.problems.counts)

    def finish(self, report: Report) -> Report:
        """Fill a report in."""
        report.counts = dict(self.counts)
        report.problem_counts, report.problems = dict(self.problems.counts), self.problems.listed
        report.note_counts, report.notes = dict(self.notes.counts), self.notes.listed
        report.ok = not report.problem_counts
        return report
