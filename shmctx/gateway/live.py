"""Live: one follower in the process, fanned out to everybody who looks on.

Clients that want the same (filters, fields, rate) share a topic: its events are filtered, encoded and joined into
messages once. Each client has a queue of messages with a bound; who is too slow is told what was missed.
"""

import asyncio
import contextlib
import time
from collections import deque

import msgspec

from shmctx.errors import ColdError, StoreClosed
from shmctx.event import Event
from shmctx.follow import Follower
from shmctx.gateway.errors import logger
from shmctx.gateway.limits import Limits
from shmctx.gateway.tally import Tally
from shmctx.gateway.wanted import Batch, Message, Sieve, Stretch, Wanted
from shmctx.refs import make_ref
from shmctx.store import Store

GATHER = 0.02  # seconds that events gather before a message goes out
_RETRY = 1.0  # seconds until a database that could not be read is asked again
_encode = msgspec.json.encode


class Topic:
    """What some clients want alike."""

    def __init__(self, store: Store, wanted: Wanted) -> None:
        self.wanted = wanted
        self.sieve = Sieve(store, wanted)
        self.feeds: set[Feed] = set()
        self._batch = Batch()

    def take(self, event: Event) -> bool:
        """Whether the event gathers here now."""
        if not self.sieve.lets(event):
            return False
        self.sieve.put(event, self._batch)
        if self._batch.is_full:
            self.flush()
        return True

    def flush(self) -> None:
        """Hand out what has gathered."""
        message = self._batch.message()
        if message is not None:
            for feed in self.feeds:
                feed.offer(message)


class Feed:
    """One client's messages. Made by Hub.feed; for one task."""

    def __init__(self, hub: "Hub", topic: Topic) -> None:
        self._hub = hub
        self._limits = hub.limits
        self.topic = topic
        self._queue: deque[Message] = deque()
        self._events = self._bytes = 0
        self._lost: Stretch | None = None
        self._something = asyncio.Event()
        self.ended = False

    def offer(self, message: Message) -> None:
        """Queue a message, or remember that the client missed it: until it has taken what waits for it."""
        full = self._events + message.events > self._limits.queued or self._bytes > self._limits.queued_bytes
        if self._lost is not None or (full and self._queue):
            first = message.stretch[0] if self._lost is None else self._lost[0]
            self._lost = first, message.stretch[1]
            self._hub.tally.missed += message.events
            return
        self._queue.append(message)
        self._events += message.events
        self._bytes += len(message.text)
        self._something.set()

    def tell(self, message: Message) -> None:
        """Queue what is no event, whatever waits."""
        self._queue.append(message)
        self._something.set()

    async def next(self, patience: float) -> Message | None:
        """The next message; None after `patience` seconds without one, and where there will be none (`ended`)."""
        if not self._queue and self._lost is None and not self.ended:
            self._something.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._something.wait()
        if self._queue:
            message = self._queue.popleft()
            self._events -= message.events
            self._bytes -= len(message.text) if message.events else 0
            return message
        if self._lost is not None:
            lost, self._lost = self._lost, None
            return self._hub.missed(*lost)
        return None

    def want(self, wanted: Wanted) -> None:
        """Go on with other filters. Raises InvalidField; then nothing has changed."""
        self._hub.move(self, wanted)

    def end(self) -> None:
        """Nothing comes any more."""
        self.ended = True
        self._something.set()

    def close(self) -> None:
        """The client is gone."""
        self._hub.leave(self)


class Source:
    """A follower, and the topics it is read for. Runs while there are any."""

    def __init__(self, store: Store, *, errors: bool) -> None:
        self._store = store
        self._errors = errors
        self.topics: dict[Wanted, Topic] = {}
        self._follower: Follower | None = None
        self._task: asyncio.Task[None] | None = None
        self._flushing: asyncio.TimerHandle | None = None

    def topic(self, wanted: Wanted) -> Topic:
        """The topic of what is wanted; what has gathered there goes to those before."""
        found = self.topics.get(wanted)
        if found is None:
            found = Topic(self._store, wanted)
            self.topics[wanted] = found
        if self._follower is None:
            self._follower = self._store.follow(errors=True if self._errors else None)
            self._task = asyncio.create_task(self._run(self._follower))
        found.flush()
        return found

    @property
    def position(self) -> int | None:
        """Whatever lies before it was handed out; None while nobody looks on."""
        return None if self._follower is None else self._follower.position

    def leave(self, topic: Topic, feed: Feed) -> None:
        """One less; the last one ends it."""
        topic.feeds.discard(feed)
        if not topic.feeds and self.topics.get(topic.wanted) is topic:
            del self.topics[topic.wanted]
        if not self.topics:
            self.stop()

    def stop(self) -> None:
        """End the follower."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._task is not None:
            self._task.cancel()
        if self._follower is not None:
            self._follower.close()
        self._task = self._follower = None

    async def _run(self, follower: Follower) -> None:
        while True:
            try:
                async for event in follower:
                    self._hand_out(event)
            except ColdError as error:
                logger.warning("Following waits for the database: %s", error)
                await asyncio.sleep(_RETRY)
            except StoreClosed:
                for topic in self.topics.values():
                    for feed in topic.feeds:
                        feed.end()
                return
            else:
                return

    def _hand_out(self, event: Event) -> None:
        gathers = False
        for topic in self.topics.values():
            gathers |= topic.take(event)
        if gathers and self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(GATHER, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        for topic in self.topics.values():
            topic.flush()


class Hub:
    """Everybody who looks on, in one event loop."""

    def __init__(self, store: Store, limits: Limits, tally: Tally) -> None:
        self.limits = limits
        self.tally = tally
        self._store = store
        self._sources = {errors: Source(store, errors=errors) for errors in (False, True)}
        self._feeds: set[Feed] = set()

    @property
    def clients(self) -> int:
        """How many they are."""
        return len(self._feeds)

    def _source(self, wanted: Wanted) -> Source:
        return self._sources[bool(wanted.errors)]

    def feed(self, wanted: Wanted) -> Feed:
        """Look on from now on. Raises InvalidField."""
        feed = Feed(self, self._source(wanted).topic(wanted))
        feed.topic.feeds.add(feed)
        self._feeds.add(feed)
        return feed

    def position(self, wanted: Wanted) -> int | None:
        """Where a feed that begins now would begin, if anybody reads for it; None: at the head."""
        return self._source(wanted).position

    def move(self, feed: Feed, wanted: Wanted) -> None:
        """Have a feed go on with other filters. Raises InvalidField."""
        Sieve(self._store, wanted)
        former = feed.topic
        former.flush()
        feed.topic = self._source(wanted).topic(wanted)
        feed.topic.feeds.add(feed)
        if feed.topic is not former:
            self._source(former.wanted).leave(former, feed)

    def leave(self, feed: Feed) -> None:
        """A client is gone."""
        self._feeds.discard(feed)
        self._source(feed.topic.wanted).leave(feed.topic, feed)

    def missed(self, first: int, end: int) -> Message:
        """What to tell of positions that somebody was too slow for."""
        store_id = self._store.store_id
        stretch = {"first": make_ref(store_id, first), "end": make_ref(store_id, end)}
        return Message(_encode({"missed": stretch}).decode())

    async def stop(self) -> None:
        """Nobody looks on any more."""
        self.end()
        for source in self._sources.values():
            source.stop()

    def end(self) -> None:
        """Tell everybody that this was all."""
        for feed in self._feeds:
            feed.end()


def ping() -> Message:
    """A sign of life, for who waits long."""
    return Message(_encode({"ping": time.time()}).decode())
