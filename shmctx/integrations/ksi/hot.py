"""What KSI calls hot storage: mappings over the ring. They hold nothing themselves, so all processes see the same."""

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, TypeVar

from shmctx import records
from shmctx.context import HEX_CORRELATION, HEX_EVENT, HEX_PARENT, Context, Identity
from shmctx.hot import extent
from shmctx.hot._core import AGENT_LINK, CONTEXT, CORRELATION_LINK, PARENT_LINK
from shmctx.hot.shapes import RecordTuple
from shmctx.integrations.ksi import forms
from shmctx.integrations.ksi.forms import Wire
from shmctx.refs import alias_of, resolve_native
from shmctx.store import Store

V = TypeVar("V")
_ALL = 1 << 40


class View(Mapping[str, V]):
    """A live mapping over the ring. A look-up goes through the ring's index; `len` and iteration read all of it."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store
        self._since = 0

    @abstractmethod
    def _key(self, context: Context) -> str | None:
        """Under which key a context is found."""

    @abstractmethod
    def _mark(self, stored: Context, position: int) -> Hashable:
        """What tells keys apart before anybody spells them; None where there is no key."""

    @abstractmethod
    def _under(self, key: str, since: int) -> list[Context]:
        """What is under a key, from a position on, oldest first."""

    def _records(self) -> Iterator[RecordTuple]:
        finder = self._store().finder()
        return finder.scan(max(self._since, extent.first_whole(finder.ring)))

    def __iter__(self) -> Iterator[str]:
        """Keys, in the order in which their first context was put."""
        contexts = filter(None, map(self._store().finder().context, self._records()))
        keys = map(self._key, contexts)
        return iter(dict.fromkeys(key for key in keys if key is not None))

    def __len__(self) -> int:
        marks: set[Hashable] = set()
        for position, kind, _, _, payload in self._records():
            if kind == CONTEXT:
                with contextlib.suppress(*records.NOT_DECODABLE):
                    marks.add(self._mark(records.decode_context(payload), position))
        return len(marks - {None})

    def clear(self) -> None:
        """Show only what comes from now on. Nothing leaves the store, where other processes look too."""
        self._since = extent.head(self._store().finder().ring)

    def update(self, given: Mapping[str, Any]) -> None:
        """Show again what was given, as far as the ring has it: all from the oldest of it on."""
        oldest = (found[0].position for key in given if (found := self._under(key, 0)))
        self._since = min(oldest, default=self._since)

    def _identity(self, key: object) -> Identity | None:
        return forms.identity(key, self._store().store_id)


class _ById(View[Wire]):
    """One context under each key."""

    def _mark(self, stored: Context, position: int) -> Hashable:
        return position if stored.event is None else (stored.event, stored.form & HEX_EVENT)

    def _at(self, event_id: object, since: int) -> list[Context]:
        """The newest context that has this event id, if the ring has it."""
        identity, finder = self._identity(event_id), self._store().finder()
        position = finder.hot_alias(identity) if isinstance(identity, str) else identity
        context = finder.hot(position) if position is not None and position >= since else None
        return [] if context is None else [context]


class ContextsByRef(_ById):
    """Contexts by ref: `ctx_<event id>`, or the store's own where a context brought no id."""

    def _key(self, context: Context) -> str:
        return forms.ref_of(context)

    def _under(self, key: str, since: int) -> list[Context]:
        if key.__class__ is not str or not key.startswith("ctx_"):
            return []
        return self._at(key if resolve_native(key) else alias_of(key), since)

    def __getitem__(self, ref: str) -> Wire:
        for context in self._under(ref, self._since):
            return forms.wire(context)
        raise KeyError(ref)


class Events(_ById):
    """Events, each with its context, by event id."""

    def _key(self, context: Context) -> str:
        return context.event_id

    def _under(self, key: str, since: int) -> list[Context]:
        return self._at(key, since)

    def __getitem__(self, event_id: str) -> Wire:
        for context in self._under(event_id, self._since):
            return forms.event(self._store().events([context])[0])
        raise KeyError(event_id)

    def update(self, given: Mapping[str, Any]) -> None:
        """As of every view; events that the store does not have at all are put."""
        super().update(given)
        store = self._store()
        for event_id, event in given.items():
            if store.get(event_id) is None:
                bare = {name: value for name, value in event.items() if name not in forms.ADDED}
                forms.put(store, bare, event["_ksi_context"])


class Groups(View[list[str]]):
    """Event ids by what their contexts have in common, in the order in which they were put."""

    _link: int
    """Which chains of the ring's index lead to them."""

    def _under(self, key: str, since: int) -> list[Context]:
        found = self._identity(key)
        if found is None:
            return []
        found = key if self._link == AGENT_LINK else found
        finder = self._store().finder()
        positions = reversed(finder.ring.find(self._link, found, since, _ALL))
        contexts = (context for position in positions if (context := finder.hot(position)) is not None)
        return [context for context in contexts if self._key(context) == key]  # the index only hints

    def __getitem__(self, key: str) -> list[str]:
        found = [context.event_id for context in self._under(key, self._since)]
        if not found:
            raise KeyError(key)
        return found


class ByCorrelation(Groups):
    """Event ids by conversation."""

    _link = CORRELATION_LINK

    def _key(self, context: Context) -> str:
        return context.correlation_id

    def _mark(self, stored: Context, position: int) -> Hashable:
        return position if stored.correlation is None else (stored.correlation, stored.form & HEX_CORRELATION)


class ByAgent(Groups):
    """Event ids by agent."""

    _link = AGENT_LINK

    def _key(self, context: Context) -> str | None:
        return context.agent_id

    def _mark(self, stored: Context, _: int) -> Hashable:
        return stored.agent_id


class ByParent(Groups):
    """Event ids by the event that caused them."""

    _link = PARENT_LINK

    def _key(self, context: Context) -> str | None:
        return context.parent_event_id

    def _mark(self, stored: Context, _: int) -> Hashable:
        return None if stored.parent is None else (stored.parent, stored.form & HEX_PARENT)


class HotStorage:
    """The events that the ring holds, of all processes. Mappings as in KSI's InMemoryHotStorage."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self.events = Events(store)
        self.contexts_by_ref = ContextsByRef(store)
        self.events_by_correlation = ByCorrelation(store)
        self.events_by_agent = ByAgent(store)
        self.event_chains = ByParent(store)

    def get_event(self, event_id: str) -> Wire | None:
        """The event with its context under `_ksi_context`, if the ring has it."""
        return self.events.get(event_id)

    def get_context(self, ref: str) -> Wire | None:
        """The context of `ctx_<event id>`, if the ring has it."""
        return self.contexts_by_ref.get(ref)

    def get_events_by_correlation(self, correlation_id: str) -> list[Wire]:
        """The events of a conversation that the ring has, oldest first."""
        return self._events(self.events_by_correlation.get(correlation_id, []))

    def get_event_chain(self, event_id: str) -> list[Wire]:
        """The event and all that it caused, generation by generation, as far as the ring has it."""
        met = dict.fromkeys([event_id])
        waiting = [event_id]
        for current in waiting:  # grows
            new = [child for child in self.event_chains.get(current, []) if child not in met]
            met |= dict.fromkeys(new)
            waiting += dict.fromkeys(new)
        return self._events(waiting)

    def _events(self, event_ids: list[str]) -> list[Wire]:
        return [event for event_id in event_ids if (event := self.events.get(event_id)) is not None]
