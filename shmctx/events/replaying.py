"""Replay: a recorded chain of events once more, with changes, in a correlation of its own, beside the original."""

import asyncio
import contextvars
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import msgspec

from shmctx.context import Context
from shmctx.errors import InvalidField
from shmctx.event import Event
from shmctx.events.isolation import isolated
from shmctx.events.router import EventRouter
from shmctx.propagation import set_scope
from shmctx.store import Store

REPLAY_OF = "_replay_of"
"""The custom field in which a replayed event names its original by ref."""

Changes = Mapping[str, Any] | Callable[[Event], Mapping[str, Any] | None]


class Pair(msgspec.Struct, frozen=True):
    """An original event and its replay; None for what has no counterpart."""

    original: Event | None
    replayed: Event | None

    @property
    def changed(self) -> dict[str, tuple[Any, Any]]:
        """Fields of the data that differ: (before, after), None where one of them has no such field."""
        before = (self.original and self.original.data) or {}
        after = (self.replayed and self.replayed.data) or {}
        return {
            name: (before.get(name), after.get(name))
            for name in before | after
            if name not in before or name not in after or before[name] != after[name]
        }


class Replay(msgspec.Struct, frozen=True):
    """What a replay did. `original` and `ref` are where the two chains begin; `pairs` are in order of the originals,
    then what is new in order of the replay.
    """

    original: str
    ref: str
    correlation_id: str
    pairs: list[Pair]

    @property
    def missing(self) -> list[Event]:
        """Originals that did not happen again."""
        return [pair.original for pair in self.pairs if pair.original and not pair.replayed]

    @property
    def added(self) -> list[Event]:
        """Events that the original chain did not have."""
        return [pair.replayed for pair in self.pairs if pair.replayed and not pair.original]

    @property
    def changed(self) -> list[Pair]:
        """Events that happened again with other data."""
        return [pair for pair in self.pairs if pair.original and pair.replayed and pair.changed]


async def replay(
    router: EventRouter, ref: str, *, changes: Changes | None = None, whole: bool = False, handlers: bool = True
) -> Replay:
    """Emit a recorded event again, with its agent, session and custom fields; the router's handlers do the rest.

    `changes`: fields over those of the first event's data, or a function of an event that gives its new data (None: as
    it was). `whole`: begin at the start of the chain that the event is in. `handlers=False`: call no handlers; put
    every recorded event of the chain again instead, with `changes`, if it is a function, asked about each.

    The replay has a correlation of its own; each event in it names its original as `_replay_of`. What handlers emit
    after their end, from tasks of their own, is not waited for. Raises ContextNotFound, and what emit raises.
    """
    if changes is not None and not callable(changes) and not isinstance(changes, Mapping):
        raise InvalidField(f"changes is a dict or a function, not {type(changes).__name__}. Nothing was stored.")
    aio = router.store.aio
    start = await aio.resolve(ref)
    if whole:
        start = [start, *await aio.ancestors(ref)][-1]
    recorded = await _chain(router.store, start)
    if handlers:
        fields = await asyncio.to_thread(_fields, start)
        context = contextvars.copy_context()
        context.run(set_scope, None)
        results = await isolated(
            context, router.emit(start.event_name, _changed(recorded[0], changes, first=True), **fields)
        )
        begun = results.context
    else:
        begun = await asyncio.to_thread(_put_again, router.store, recorded, changes)
    pairs = _paired(recorded, await _chain(router.store, begun))
    for pair in pairs:
        if pair.original and pair.replayed and pair.replayed.context.custom.get(REPLAY_OF) != pair.original.ref:
            await aio.annotate(pair.replayed.ref, **{REPLAY_OF: pair.original.ref})
    return Replay(start.ref, begun.ref, begun.correlation_id, pairs)


async def _chain(store: Store, start: Context) -> list[Event]:
    """An event and all that it caused; oldest first, but the event itself always first."""
    return await store.aio.events([start.ref, *await store.aio.descendants(start.ref)])


def _changed(event: Event, changes: Changes | None, *, first: bool) -> Mapping[str, Any] | None:
    """The data to emit in place of a recorded event's."""
    if changes is None:
        return event.data
    if callable(changes):
        data = changes(event)
        return event.data if data is None else data
    return {**(event.data or {}), **changes} if first else event.data


def _fields(context: Context) -> dict[str, Any]:
    """What a context was put with, apart from what makes it that event: ids, time, place in a chain."""
    known = {"agent_id": context.agent_id, "client_id": context.client_id, "session": context.session}
    return known | (context.more or {}) | {REPLAY_OF: context.ref}


def _put_again(store: Store, recorded: list[Event], changes: Changes | None) -> Context:
    """Put every event of a chain again, causes before effects; returns the first one's context."""
    set_scope(None)  # in the copy of contextvars that to_thread made
    made: dict[str, Context] = {}
    for event, cause in _walk(recorded):
        fields = _fields(event.context)
        if cause is not None:
            fields["parent"] = made[cause.ref]
        scope = store.enter(event.event_name, _changed(event, changes, first=cause is None), **fields)
        made[event.ref] = cast(Context, scope.context)
    return made[recorded[0].ref]


def _children(chain: Iterable[Event]) -> dict[Any, list[Event]]:
    found = defaultdict(list)
    for event in chain:
        found[event.context.parent_identity].append(event)
    return found


def _walk(chain: list[Event]) -> Iterator[tuple[Event, Event | None]]:
    """(event, its cause), each event once, causes first. Brought ids can form rings, or a second way to an event."""
    children = _children(chain[1:])
    met, waiting = {chain[0].ref}, [chain[0]]
    yield chain[0], None
    for cause in waiting:  # which grows
        for event in children.get(cause.context.identity, ()):
            if event.ref not in met:
                met.add(event.ref)
                waiting.append(event)
                yield event, cause


def _paired(recorded: list[Event], replayed: list[Event]) -> list[Pair]:
    """Which event repeats which: below a pair, children of one name, those with the same data first, then in order."""
    before, after = _children(recorded[1:]), _children(replayed[1:])
    found = {recorded[0].ref: replayed[0]}
    pairs = [(recorded[0], replayed[0])]
    for original, again in pairs:  # which grows
        left = [event for event in before.get(original.context.identity, ()) if event.ref not in found]
        free = list(after.get(again.context.identity, ()))
        for key in (lambda event: (event.event_name, msgspec.json.encode(event.data)), lambda event: event.event_name):
            left, free, matched = _matched(left, free, key)
            found |= {one.ref: other for one, other in matched}
            pairs += matched
    repeated = {event.ref for event in found.values()}
    return [Pair(event, found.get(event.ref)) for event in recorded] + [
        Pair(None, event) for event in replayed if event.ref not in repeated
    ]


def _matched(
    ones: list[Event], others: list[Event], key: Callable[[Event], Any]
) -> tuple[list[Event], list[Event], list[tuple[Event, Event]]]:
    """(ones without a counterpart, others without, pairs of equal key in their order)."""
    free = defaultdict(list)
    for event in reversed(others):
        free[key(event)].append(event)
    pairs = [(event, free[key(event)].pop()) for event in ones if free[key(event)]]
    taken = {event.ref for pair in pairs for event in pair}
    return (
        [event for event in ones if event.ref not in taken],
        [event for event in others if event.ref not in taken],
        pairs,
    )
