"""Counting and timing while both sides run. Any thread may count."""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from shmctx.transfer.shadow import report

_STEPS = 8
"""Buckets in each doubling of a duration."""
_SHIFT = _STEPS.bit_length() - 1


class Durations:
    """A histogram of nanoseconds whose buckets grow with what they count, as HdrHistogram's do."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = self._total = self._longest = 0

    def add(self, ns: int) -> None:
        """Count one duration."""
        scale = max(ns.bit_length() - 1 - _SHIFT, 0)
        self._buckets[(scale << _SHIFT) + (ns >> scale)] += 1
        self.count += 1
        self._total += ns
        self._longest = max(self._longest, ns)

    def timings(self) -> report.Timings:
        """The figures, in microseconds."""
        if not self.count:
            return report.Timings()
        mean = self._total / self.count
        found = (mean, self._quantile(0.5), self._quantile(0.99), self._longest)
        return report.Timings(*(round(ns / 1000, 3) for ns in found))

    def _quantile(self, part: float) -> float:
        """The middle of the bucket in which that part of all durations is reached."""
        left = part * self.count
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                break
        scale = max((bucket >> _SHIFT) - 1, 0)
        lowest = (bucket - (scale << _SHIFT)) << scale
        return min(lowest + ((1 << scale) - 1) / 2, self._longest)


class SideTally:
    """One side's calls."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._durations = Durations()
        self._errors: dict[str, report.Failures] = {}

    def add(self, ns: int, error: BaseException | None) -> None:
        """Count a call that took so long, and the error it ended with."""
        with self._lock:
            self._durations.add(ns)
            if error is not None:
                kind = type(error).__name__
                known = self._errors.get(kind)
                self._errors[kind] = report.Failures(known.count + 1 if known else 1, str(error))

    def side(self) -> report.Side:
        """The figures so far; the lock is held."""
        return report.Side(self._durations.count, dict(self._errors), self._durations.timings())


class timed:  # noqa: N801  (read as a word: `with timed(tally):`)
    """Counts a call of the application's own: `with timed(tally): ...`. Errors go their way."""

    __slots__ = ("_began", "_tally")

    def __init__(self, tally: SideTally) -> None:
        self._tally = tally

    def __enter__(self) -> Self:
        self._began = time.perf_counter_ns()
        return self

    def __exit__(self, _: object, error: BaseException | None, at: TracebackType | None) -> None:
        self._tally.add(time.perf_counter_ns() - self._began, error)


class CallTally:
    """The same calls to both sides."""

    def __init__(self, lock: threading.Lock) -> None:
        self.old, self.new = SideTally(lock), SideTally(lock)
        self.left_alone = self.fallbacks = 0

    def calls(self) -> report.Calls:
        """The figures so far; the lock is held."""
        return report.Calls(self.old.side(), self.new.side(), self.left_alone, self.fallbacks)


class Tally:
    """Everything that is counted in one process."""

    def __init__(self, examples: int) -> None:
        self._lock = threading.Lock()
        self.writes, self.reads = CallTally(self._lock), CallTally(self._lock)
        self.checks, self.opening = SideTally(self._lock), SideTally(self._lock)
        self._began = time.monotonic()
        self._room = examples
        self._examples: list[report.Example] = []
        self._fields: Counter[str] = Counter()
        self._compared = self._missing = self._equal = 0

    def left_alone(self, calls: CallTally) -> None:
        """A call was made to the old side alone."""
        with self._lock:
            calls.left_alone += 1

    def fell_back(self) -> None:
        """The old side answered a read because shmctx could not."""
        with self._lock:
            self.reads.fallbacks += 1

    def missing(self) -> None:
        """An event of the old side is not in the store."""
        with self._lock:
            self._missing += 1

    def compared(self, event_id: str, different: Mapping[str, tuple[Any, Any]]) -> None:
        """Two forms of an event were compared: its fields that differ, as (old, shmctx)."""
        with self._lock:
            self._compared += 1
            self._equal += not different
            self._fields.update(different.keys())
            for field, (old, new) in different.items():
                if len(self._examples) < self._room:
                    self._examples.append(report.Example(event_id, field, old, new))

    def report(self, mode: str) -> report.Report:
        """All figures so far."""
        with self._lock:
            return report.Report(
                mode=mode,
                seconds=round(time.monotonic() - self._began, 3),
                writes=self.writes.calls(),
                reads=self.reads.calls(),
                checks=self.checks.side(),
                opening=self.opening.side(),
                compared=self._compared,
                equal=self._equal,
                missing=self._missing,
                mismatches=dict(self._fields.most_common()),
                examples=list(self._examples),
            )
