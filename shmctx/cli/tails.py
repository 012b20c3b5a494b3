"""Where `shmctx tail` reads: the ring of this machine, or a gateway."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

from shmctx.cli.main import complain
from shmctx.cli.readers import Remote, gateway
from shmctx.cli.stores import View, view
from shmctx.context import Context
from shmctx.drafts import limit_ns
from shmctx.errors import ColdError, RecordDamaged
from shmctx.event import Event
from shmctx.events.monitor import Monitor
from shmctx.events.subscription import Subscription
from shmctx.hot._core import CONTEXT, FIRST_POSITION, Ring
from shmctx.refs import make_ref

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

LOOK_AROUND = 1.0  # seconds without a context between looks at whoever reads our output
_RECORDS, _BYTES = 1024, 4 << 20  # of one scan, at most
_GRANULES_PER_CONTEXT = 4  # the first guess; the walk goes further back if it was too low


class Coming(Protocol[R_co]):
    """What comes: to iterate again and again, each time until nothing came for a while."""

    @property
    def dropped(self) -> int:
        """How many came faster than the rate."""

    def __iter__(self) -> Iterator[R_co]: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Tail(Protocol):
    """The end of a store as of one moment, and what comes behind it."""

    def first(self, count: int, given: dict[str, Any]) -> Sequence[Context]:
        """The newest contexts that fit, oldest first."""

    def events(self, contexts: Sequence[Context]) -> list[Event]:
        """The same with their data."""

    def coming(self, shown: Callable[[Event], R], given: dict[str, Any], rate: float | None) -> Coming[R]:
        """What is put from that moment on and fits."""


@contextlib.contextmanager
def tailed(name: str, *, follow: bool) -> Iterator[Tail]:
    """The end of a store of this machine, or of the one that --url names. Raises SegmentError, GatewayError."""
    with gateway() as remote:
        if remote is not None:
            yield RemoteTail(remote)
            return
        with view(name, waiting=follow) as found:
            yield LocalTail(found)


# ---- of this machine ----


class LocalTail:
    """The end of a ring."""

    def __init__(self, found: View) -> None:
        self._found = found
        self._head = found.attachment.ring.positions()[1]

    def first(self, count: int, given: dict[str, Any]) -> Sequence[Context]:
        """As Tail.first; without filters from the ring alone, which needs no database."""
        if not given:
            return list(_contexts(self._found, newest(self._found.attachment.ring, self._head, count)))
        store = self._found.store
        wanted = {name: value for name, value in given.items() if name != "after"}
        behind = store.resolve(given["after"]).position if "after" in given else 0
        events = Monitor(store).events(limit=count, newest_first=True, **wanted)
        return [event.context for event in reversed(events) if event.context.position > behind]

    def events(self, contexts: Sequence[Context]) -> list[Event]:
        """As Tail.events."""
        return self._found.store.events(contexts)

    def coming(self, shown: Callable[[Event], R], given: dict[str, Any], rate: float | None) -> Coming[R]:
        """As Tail.coming."""
        return Subscription(self._found.store, shown, {**given, "after": self._head}, rate, LOOK_AROUND)


def _contexts(found: View, positions: list[int]) -> Iterator[Context]:
    for position in positions:
        try:
            context = found.store.get(make_ref(found.store.store_id, position))
        except (RecordDamaged, ColdError) as error:
            complain(error.message, error.hint)
            continue
        if isinstance(context, Context):  # else it was no context, or is gone
            yield context


def newest(ring: Ring, head: int, count: int) -> list[int]:
    """Positions of the last `count` contexts before `head`, oldest first; fewer if the ring has fewer.

    A ring can be walked forwards only, from any granule: the walk starts a little before the head, and further back
    until it has met enough.
    """
    header = ring.header()
    gap = header["base"] - header["gap_start"]
    window = count * _GRANULES_PER_CONTEXT
    while True:
        window = min(window, header["capacity"])
        start = head - window
        if start < header["base"]:  # the older side of the gap between generations
            start = max(start - gap, FIRST_POSITION)
        positions = [record[0] for record in _scan(ring, start, head) if record[1] == CONTEXT]
        if len(positions) >= count or window == header["capacity"] or start == FIRST_POSITION:
            return positions[-count:] if count else []
        window *= 4


def _scan(ring: Ring, start: int, head: int) -> Iterator[tuple[int, int]]:
    while start < head:
        start, records, _ = ring.scan(start, head, _RECORDS, _BYTES)
        yield from ((record[0], record[1]) for record in records)


# ---- behind a gateway ----


class RemoteTail:
    """The end of a store behind a gateway."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._head = remote.client.newest()

    def first(self, count: int, given: dict[str, Any]) -> Sequence[Context]:
        """As Tail.first. Refs sort by age."""
        wanted = {name: value for name, value in given.items() if name != "after"}
        behind = self._remote.resolve(given["after"]).ref if "after" in given else ""
        found = self._remote.query(limit=count, newest_first=True, **wanted)
        return [context for context in reversed(found) if behind < context.ref <= self._head]

    def events(self, contexts: Sequence[Context]) -> list[Event]:
        """As Tail.events."""
        return self._remote.with_data(list(contexts))

    def coming(self, shown: Callable[[Event], R], given: dict[str, Any], rate: float | None) -> Coming[R]:
        """As Tail.coming."""
        wanted = {name: value for name, value in given.items() if name not in ("after", "since", "until")}
        follower = self._remote.client.follow(since=self._head, timeout=LOOK_AROUND, rate=rate, **wanted)
        since, until = (limit_ns(name, given.get(name)) for name in ("since", "until"))
        return _RemoteComing(follower, shown, since, until)


class _RemoteComing(Generic[R]):
    """What a gateway tells of, shown; its times are looked at here."""

    def __init__(self, follower: Any, shown: Callable[[Event], R], since: int | None, until: int | None) -> None:
        self._follower = follower
        self._shown = shown
        self._since, self._until = since or 0, until

    @property
    def dropped(self) -> int:
        """As Coming.dropped."""
        return int(self._follower.dropped)

    def __iter__(self) -> Iterator[R]:
        for event in self._follower:
            if event.time_ns >= self._since and (self._until is None or event.time_ns < self._until):
                yield self._shown(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._follower.close()
