"""When shmctx is left alone: after what makes every next call likely to fail, or to take long, too."""

import time


class Breaker:
    """A pause after each trip, twice as long as the one before; a call that goes well ends the doubling.

    The circuit breaker of M. Nygard, Release It! (2007). Any thread may use it: a race costs one call too many.
    """

    def __init__(self, pause: float, longest: float) -> None:
        """`pause`, `longest`: seconds, after the first trip and at most."""
        self._first = self._next = pause
        self._longest = longest
        self._until = 0.0

    def ready(self) -> bool:
        """Whether a call may be made."""
        return time.monotonic() >= self._until

    def trip(self) -> None:
        """A call failed, or took too long."""
        self._until = time.monotonic() + self._next
        self._next = min(self._next * 2, self._longest)

    def worked(self) -> None:
        """A call went well."""
        self._next = self._first
