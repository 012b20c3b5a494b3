"""When an agent's process is started again, and how long it takes until then."""

import math
from typing import Literal, get_args

import msgspec

from shmctx.errors import InvalidField

When = Literal["never", "on-failure", "always"]


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """A policy. Pauses grow as long as runs are short: `delay`, twice that, ... up to `longest` seconds."""

    when: When = "on-failure"
    """on-failure: after an exit code that is not 0, or a signal that the supervisor did not send."""
    limit: int | None = 5
    """Restarts in a row at most; None: no limit."""
    delay: float = 0.5
    """Seconds before the first restart in a row."""
    longest: float = 30.0
    """Seconds."""
    steady: float = 60.0
    """A run of that many seconds is none of those in a row: the count begins anew behind it."""

    def __post_init__(self) -> None:
        """Raise InvalidField for a policy that cannot be meant."""
        if self.when not in get_args(When):
            raise InvalidField(f"restart is one of {', '.join(get_args(When))}, not {self.when!r}.")
        if self.limit is not None and not (type(self.limit) is int and self.limit >= 0):
            raise InvalidField(f"limit is a number of restarts from 0, or None, not {self.limit!r}.")
        for name in ("delay", "longest", "steady"):
            seconds = getattr(self, name)
            if not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
                raise InvalidField(f"{name} is a number of seconds from 0, not {seconds!r}.")

    def pause(self, *, failed: bool, in_a_row: int) -> float | None:
        """Seconds until the next restart after `in_a_row` others; None for no restart."""
        if self.when == "never" or (self.when == "on-failure" and not failed):
            return None
        if self.limit is not None and in_a_row >= self.limit:
            return None
        return min(self.delay * 2.0 ** min(in_a_row, 60), self.longest)
