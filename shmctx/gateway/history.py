"""What a live client missed while it was away, and the seam at which the present begins."""

from collections.abc import AsyncIterator

from shmctx.event import Event
from shmctx.gateway.live import Feed, Hub
from shmctx.gateway.wanted import Batch, Message, Sieve, Wanted
from shmctx.store import Store


class History:
    """The events from a ref on, until they are those that the hub hands out; then `feed` is there.

    Every event comes once, either here or there: the feed begins at the hub's position of that moment, and only what
    lies before it is told here. A slow client is waited for, so history is never missed.
    """

    def __init__(self, store: Store, hub: Hub, wanted: Wanted, since: str) -> None:
        """Raises InvalidField, ContextNotFound."""
        self.feed: Feed | None = None
        self._hub = hub
        self._wanted = wanted
        self._sieve = Sieve(store, wanted)
        self._follower = store.follow(since=since, timeout=0, **wanted.followed())
        self._batch = Batch()

    async def messages(self) -> AsyncIterator[Message]:
        """What came since, in messages. Raises ColdError."""
        with self._follower:
            async for message in self._before(None):
                yield message
            self.feed = self._hub.feed(self._wanted)
            begin = self._hub.position(self._wanted) or 0
            while self._follower.position < begin:  # the rest, which the hub has handed out before the feed began
                async for message in self._before(begin):
                    yield message
        rest = self._batch.message()
        if rest is not None:
            yield rest

    async def _before(self, end: int | None) -> AsyncIterator[Message]:
        """Up to the ring's head of this moment, or to a position; None: to what the hub has yet to hand out, which
        moves on meanwhile."""
        async for event in self._follower:
            present = self._hub.position(self._wanted) if end is None else end
            if present is not None and event.context.position >= present:
                return
            message = self._gather(event)
            if message is not None:
                yield message

    def _gather(self, event: Event) -> Message | None:
        if self._sieve.lets(event):
            self._sieve.put(event, self._batch)
        return self._batch.message() if self._batch.is_full else None
