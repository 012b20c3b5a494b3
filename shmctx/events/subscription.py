"""Subscription: the events that come, filtered, at a rate that somebody can watch."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, Self, TypeVar, cast

from shmctx import drafts
from shmctx.errors import InvalidField
from shmctx.event import Event
from shmctx.events.text import Text
from shmctx.follow import Follower
from shmctx.store import Store

T = TypeVar("T")

_FOLLOWED = ("event_name", "agent_id", "session_id", "correlation_id", "errors")
_OTHER = ("text", "since", "until", "after")


class Rate:
    """At most so many a second, and as many at once: a bucket of tokens that fills with the time."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        if type(per_second) not in (int, float) or not 0 < per_second < math.inf:
            raise InvalidField(f"max_rate is a number of events a second, not {per_second!r}.")
        self._per_second = per_second
        self._clock = clock
        self._most = max(1.0, per_second)
        self._tokens = self._most
        self._filled = clock()

    def take(self) -> bool:
        """Whether one more may come now."""
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._filled) * self._per_second)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Subscription(Generic[T]):
    """Iterator and async iterator of events as `shown` makes them. Made by Monitor.subscribe; for one thread or task.

    Nobody waits for it: what comes faster than its rate is dropped here, and `dropped` counts it. Raises ColdError
    where the database has to be read and cannot be; nothing is lost then, and the next call tries again.
    """

    def __init__(
        self,
        store: Store,
        shown: Callable[[Event], T],
        wanted: Mapping[str, Any],
        max_rate: float | None = None,
        timeout: float | None = None,
    ) -> None:
        """`wanted`: as Monitor.subscribe takes it; `after` may be a Follower's position too."""
        unknown = wanted.keys() - {*_FOLLOWED, *_OTHER}
        if unknown:
            raise InvalidField(f"subscribe() has no filter {', '.join(sorted(unknown))}.")
        self.dropped = 0
        """Events that fitted and came faster than the rate."""
        self._shown = shown
        self._rate = None if max_rate is None else Rate(max_rate)
        self._text = None if wanted.get("text") is None else Text(wanted["text"], store.store_id)
        self._since_ns = drafts.limit_ns("since", wanted.get("since"))
        self._until_ns = drafts.limit_ns("until", wanted.get("until"))
        followed: Any = {name: wanted.get(name) for name in _FOLLOWED}
        self.follower: Follower = store.follow(
            since=_start(store, wanted), timeout=timeout, **followed
        )
        """What it reads from: its `position`, and what it `missed`."""

    def _wants(self, event: Event) -> bool:
        if self._since_ns is not None and event.time_ns < self._since_ns:
            return False
        if self._until_ns is not None and event.time_ns >= self._until_ns:
            return False
        if self._text is not None and not self._text.is_in(event):
            return False
        if self._rate is None or self._rate.take():
            return True
        self.dropped += 1
        return False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while True:
            event = next(self.follower)
            if self._wants(event):
                return self._shown(event)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while True:
            event = await anext(self.follower)
            if self._wants(event):
                return self._shown(event)

    def close(self) -> None:
        """End the iteration, also one that waits in another thread or task. Idempotent."""
        self.follower.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


def _start(store: Store, wanted: Mapping[str, Any]) -> str | int | None:
    """Where to begin to follow: behind a ref, at the first context since a time, or now."""
    after = wanted.get("after")
    if after is not None or wanted.get("since") is None:
        return cast(str | int | None, after)
    head = store.follow().position
    first = store.query(since=wanted["since"], limit=1)
    return first[0].position if first else head
