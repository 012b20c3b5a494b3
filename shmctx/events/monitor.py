"""Monitor: the events of a store for people who look on, past ones and those that come."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from shmctx import filters
from shmctx.cold.questions import Steps
from shmctx.event import Event
from shmctx.events import looking
from shmctx.events.selection import selector
from shmctx.events.subscription import Subscription
from shmctx.events.text import Text
from shmctx.finder import Finder
from shmctx.store import Store

Fields = str | Sequence[str]
DEFAULT_FIELDS = "monitoring"


class Filters(filters.Filters, total=False):
    """What a monitor looks for: what Store.query takes, and a text."""

    text: str | None
    """In names, ids, custom fields and data, whatever the case of its letters."""


class Monitor:
    """Looks on at one store. Any thread may use it; it writes nothing and holds up nobody."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def aio(self) -> "AsyncMonitor":
        """The same queries, awaitable."""
        return AsyncMonitor(self)

    def events(self, pattern: str | None = None, /, **wanted: Unpack[Filters]) -> list[Event]:
        """Events that fit all that is given, with their data, oldest first.

        `pattern` is `event_name`, such as `agent:*`; `wanted` as in Store.query, and `text`. A text beside other
        filters is looked for in what these leave. Raises InvalidField, ContextNotFound, ColdError.
        """
        return self.store.run(self.steps(_with_name(pattern, wanted)))

    def query(
        self, pattern: str | None = None, /, *, fields: Fields = DEFAULT_FIELDS, **wanted: Unpack[Filters]
    ) -> list[dict[str, Any]]:
        """As `events`, but of each event the fields asked for: a bundle or a list, see selection.selector."""
        select = selector(fields)
        return [select(event) for event in self.events(pattern, **wanted)]

    def subscribe(
        self,
        pattern: str | None = None,
        /,
        *,
        fields: Fields = DEFAULT_FIELDS,
        max_rate: float | None = None,
        timeout: float | None = None,
        **wanted: Unpack[Filters],
    ) -> Subscription[dict[str, Any]]:
        """The events that come and fit, as `query` shows them: to iterate, also by `async for`. See Subscription.

        `since` (a time) and `after` (a ref) begin in the past; `errors` as in Store.follow. `max_rate`: events a
        second; what is more is dropped and counted. `timeout`: seconds without an event after which the iteration ends.
        Raises InvalidField, ContextNotFound, ColdError.
        """
        named = _with_name(pattern, wanted)
        return Subscription(self.store, selector(fields), named, max_rate=max_rate, timeout=timeout)

    def steps(self, wanted: Mapping[str, Any]) -> Callable[[Finder], Steps[list[Event]]]:
        """What `events` asks of a finder."""
        given: Any = dict(wanted)
        searched = given.pop("text", None)
        text = None if searched is None else Text(searched, self.store.store_id)

        def search(finder: Finder) -> Steps[list[Event]]:
            query = yield from filters.wanted(finder, self.store.store_id, given)
            return (yield from looking.events(finder, query, text))

        return search


class AsyncMonitor:
    """The awaitable face of a Monitor. Files are read in a thread."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    async def events(self, pattern: str | None = None, /, **wanted: Unpack[Filters]) -> list[Event]:
        """As Monitor.events."""
        return await self._monitor.store.aio.run(self._monitor.steps(_with_name(pattern, wanted)))

    async def query(
        self, pattern: str | None = None, /, *, fields: Fields = DEFAULT_FIELDS, **wanted: Unpack[Filters]
    ) -> list[dict[str, Any]]:
        """As Monitor.query."""
        select = selector(fields)
        return [select(event) for event in await self.events(pattern, **wanted)]


def _with_name(pattern: str | None, wanted: Filters) -> dict[str, Any]:
    return {**wanted} if pattern is None else {**wanted, "event_name": pattern}
