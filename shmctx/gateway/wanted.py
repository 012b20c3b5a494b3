"""What a live client wants to see, and how it becomes messages."""

from typing import Any, NamedTuple

import msgspec

from shmctx import filters
from shmctx.cold import Query
from shmctx.event import Event
from shmctx.events.selection import selector
from shmctx.events.subscription import Rate
from shmctx.events.text import Text
from shmctx.store import Store

_BATCH, _BATCH_BYTES = 512, 1 << 18  # events and bytes from which a message goes out: clients take 1 MiB by default
_encode = msgspec.json.encode

Stretch = tuple[int, int]
"""Positions [first, end)."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a client wants to see. Equal ones share a topic."""

    correlation_id: str | None = None
    agent_id: str | None = None
    session_id: str | None = None
    event_name: str | None = None
    errors: bool | None = None
    text: str | None = None
    fields: str | tuple[str, ...] = "monitoring"
    rate: float | None = None

    def followed(self) -> dict[str, Any]:
        """The filters that Store.follow takes."""
        names = ("correlation_id", "agent_id", "session_id", "event_name", "errors")
        return {name: getattr(self, name) for name in names}


class Message(NamedTuple):
    """What goes to clients: JSON, and of events how many they are, their last ref and the positions they lie at."""

    text: str
    events: int = 0
    ref: str | None = None
    stretch: Stretch = (0, 0)


class Batch:
    """Events on their way into one message."""

    def __init__(self) -> None:
        self._encoded: list[bytes] = []
        self._bytes = self._first = self._last = 0
        self._ref = ""
        self.dropped = 0

    def add(self, event: Event, encoded: bytes) -> None:
        """One more."""
        position = event.context.position
        if not self._encoded:
            self._first = position
        self._encoded.append(encoded)
        self._bytes += len(encoded)
        self._ref, self._last = event.ref, position

    @property
    def is_full(self) -> bool:
        """Whether it should go out now."""
        return len(self._encoded) >= _BATCH or self._bytes >= _BATCH_BYTES

    def message(self) -> Message | None:
        """What has gathered, and begin again; None if nothing has."""
        if not self._encoded:
            return None
        dropped = b',"dropped":%d' % self.dropped if self.dropped else b""
        text = (b'{"events":[%b]%b}' % (b",".join(self._encoded), dropped)).decode()
        made = Message(text, len(self._encoded), self._ref, (self._first, self._last + 1))
        self._encoded, self._bytes, self.dropped = [], 0, 0
        return made


class Sieve:
    """Which events somebody wants, and what of each. Raises InvalidField for what cannot be wanted."""

    def __init__(self, store: Store, wanted: Wanted) -> None:
        self._store = store
        given: Any = wanted.followed()
        query: Query = store.run(lambda finder: filters.wanted(finder, store.store_id, given))
        self._query = None if query == Query() else query
        # What annotations put into error comes from a follower of its own, which has looked at that.
        self._fitting = None if self._query is None else msgspec.structs.replace(self._query, errors=None)
        self._errors = wanted.errors
        self._text = None if wanted.text is None else Text(wanted.text, store.store_id)
        self._select = selector(wanted.fields)
        self._rate = None if wanted.rate is None else Rate(wanted.rate)

    def lets(self, event: Event) -> bool:
        """Whether an event fits, whatever the rate."""
        query = self._fitting if self._errors else self._query
        if query is not None and not self._store.finder().fits(event.context, query):
            return False
        return self._text is None or self._text.is_in(event)

    def put(self, event: Event, batch: Batch) -> None:
        """Add what is wanted of an event that fits, unless it comes too fast."""
        if self._rate is not None and not self._rate.take():
            batch.dropped += 1
            return
        batch.add(event, _encode({"ref": event.ref, **self._select(event)}))
