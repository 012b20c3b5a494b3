"""Calling shmctx on behalf of an application that must not notice: nothing raised, nothing waited for twice."""

import time
from types import TracebackType
from typing import Any, Literal, Self, get_args

import msgspec

from shmctx.errors import (
    ContextNotFound,
    EventInvalid,
    InvalidField,
    PayloadTooLarge,
    RecordDamaged,
    SegmentCorrupt,
    SegmentMismatch,
    SegmentMissing,
    StoreClosed,
)
from shmctx.settings import Settings, environment
from shmctx.transfer.shadow.breaker import Breaker
from shmctx.transfer.shadow.report import Report
from shmctx.transfer.shadow.tally import CallTally, SideTally, Tally

Mode = Literal["off", "shadow", "primary"]
"""off: the old side alone. shadow: shmctx beside it, compared. primary: reads come from shmctx."""

_OF_ONE_EVENT = (ContextNotFound, EventInvalid, InvalidField, PayloadTooLarge, RecordDamaged)
"""What is wrong with one event says nothing about the next."""
_OF_THE_STORE = (SegmentCorrupt, SegmentMismatch, SegmentMissing, StoreClosed)


class Shadowing(msgspec.Struct, frozen=True, kw_only=True):
    """How an application's old form and shmctx run side by side."""

    mode: Mode = "off"
    shadow_patience: float = 0.05
    """Seconds. In shadow mode, a call to shmctx that takes longer is followed by a pause, and so is an error."""
    primary_patience: float = 2.0
    """The same in primary mode, where a put also waits so long for space in a full ring."""
    pause: float = 0.1
    """Seconds for which shmctx is left alone first; each time twice as long as before, until a call goes well."""
    longest_pause: float = 30.0
    """Seconds."""
    compare_every: int = 1
    """Of how many writes one is read back and compared; reads always are, in shadow mode."""
    examples: int = 20
    """Differences that the report shows in full."""

    @property
    def patience(self) -> float:
        """Seconds that a call may take in this mode."""
        return self.primary_patience if self.mode == "primary" else self.shadow_patience

    def store_settings(self, settings: Settings | None = None) -> Settings:
        """The settings (default: the defaults) of a store that nobody waits for longer than this mode allows."""
        limit = self.patience
        space = limit if self.mode == "primary" else 0.0
        return msgspec.structs.replace(
            settings or Settings(),
            put_timeout=space,
            lock_timeout=limit,
            attach_timeout=limit,
            durable_timeout=self.primary_patience,
        )


def configured(**settings: Any) -> Shadowing:
    """The mode that SHMCTX_SHADOW says (off, shadow or primary; off without it), and these settings. Raises
    InvalidField."""
    mode = environment().shadow or "off"
    if mode not in get_args(Mode):
        raise InvalidField(f"SHMCTX_SHADOW is {mode!r}.", hint=f"It is one of {', '.join(get_args(Mode))}.")
    return Shadowing(**{"mode": mode, **settings})


def lost(error: Exception | None) -> bool:
    """Whether the next call needs another store."""
    return isinstance(error, _OF_THE_STORE)


class Guard:
    """The mode of one pair of sides, its figures, and the way to call shmctx."""

    def __init__(self, shadowing: Shadowing) -> None:
        self.shadowing = shadowing
        self.mode = shadowing.mode
        self.tally = Tally(shadowing.examples)
        self._breaker = Breaker(shadowing.pause, shadowing.longest_pause)
        self._written = 0

    def ready(self, calls: CallTally) -> bool:
        """Whether shmctx may be called now; counted where not."""
        if self._breaker.ready():
            return True
        self.tally.left_alone(calls)
        return False

    def trial(self, side: SideTally, *, slow: bool = False) -> "Trial":
        """`with guard.trial(side): ...` counts and times what happens to shmctx, and lets no error out.

        `slow`: nobody waits for it, so that it may take long.
        """
        return Trial(self, side, slow=slow)

    def turn(self) -> bool:
        """Whether this write is one to compare."""
        self._written += 1
        return self._written % self.shadowing.compare_every == 0

    def ended(self, seconds: float, error: Exception | None) -> None:
        """A call ended: leave shmctx alone for a while, or not."""
        if (error is not None and not isinstance(error, _OF_ONE_EVENT)) or seconds > self.shadowing.patience:
            self._breaker.trip()
        elif error is None:
            self._breaker.worked()

    def report(self) -> Report:
        """The figures of this process so far."""
        return self.tally.report(self.mode)


class Trial:
    """One stretch of calls to shmctx. `error` is what ended it early, None if nothing did."""

    __slots__ = ("_began", "_guard", "_side", "_slow", "error")

    def __init__(self, guard: Guard, side: SideTally, *, slow: bool) -> None:
        self._guard = guard
        self._slow = slow
        self._side = side
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        self._began = time.perf_counter_ns()
        return self

    def __exit__(self, _: object, error: BaseException | None, at: TracebackType | None) -> bool:
        """True swallows the error. Interrupts and cancellation are meant for the application, and go on."""
        took = time.perf_counter_ns() - self._began
        if error is not None and not isinstance(error, Exception):
            return False
        self.error = error
        self._side.add(took, error)
        self._guard.ended(0.0 if self._slow else took / 1e9, error)
        return True
