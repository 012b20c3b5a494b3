"""Following: the events of all processes, in the order in which they were put, from any position on.

The ring is a log, and a follower reads it as the leader does: by position, without a lock, asleep on the word that
every append moves. What is overwritten before it comes to it is in the database by then, and is read from there.
"""

import contextlib
import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol, Self, TypedDict

import msgspec

from shmctx import drafts
from shmctx.cold import Query
from shmctx.cold.questions import Steps
from shmctx.context import Context
from shmctx.errors import InvalidField, ReadOnly
from shmctx.event import Event
from shmctx.finder import Finder
from shmctx.hot import extent
from shmctx.hot._core import ANNOTATION, CONTEXT, FIRST_POSITION, SEALED
from shmctx.hot.shapes import RecordTuple
from shmctx.records import says_error

if TYPE_CHECKING:
    from pathlib import Path

    from shmctx.loopside import LoopSide

_LOOK_AROUND = 1.0  # seconds of sleep between looks at the segment's name
_SUCCESSION = 0.01  # the same while the segment is sealed and the next one not yet there
_RECORDS, _BYTES = 256, 1 << 20  # of one scan, at most: it holds the interpreter lock
_ROWS = 500  # of one question to the database


class Host(Protocol):
    """What is followed: a Store."""

    store_id: int

    def finder(self) -> Finder:
        """How to find contexts in the segment that is in use now. Raises StoreClosed."""


class Following(TypedDict, total=False):
    """What Store.follow takes."""

    since: str | int | None
    """None: from now on; "begin": all there is; a ref or event id: what came after it; a `Follower.position`."""
    event_name: str | None
    """A pattern as of fnmatch: `agent:*`."""
    agent_id: str | None
    session_id: str | None
    correlation_id: str | None
    errors: bool | None
    """True: only what is in error, when its context or the first annotation says so; False: what is not, so far."""
    catch_up: bool
    """Read from the database what was overwritten before the follower came to it (default), or pass over it."""
    timeout: float | None
    """Seconds without an event after which the iteration ends; None: never."""


class Follower:
    """Iterator and async iterator of Events. Made by Store.follow; for one thread or task at a time, except `close`.

    An iteration that ended by `timeout` can be taken up again, as that of a file that grows. Raises ColdError where the
    database has to be read and cannot be; nothing is lost then, and the next call tries again.
    """

    missed: list[tuple[int, int]]
    """Stretches [first, end) of positions that were overwritten before the follower came to them, in order; what the
    database had of them was delivered if `catch_up`. The caller may empty it."""
    damaged: list[tuple[int, int]]
    """Stretches in which the ring had no whole record, though nothing had been overwritten. As `missed`."""

    _closed = True  # until all is there

    def __init__(
        self,
        host: Host,
        database: "Path",
        *,
        since: str | int | None = None,
        event_name: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        correlation_id: str | None = None,
        errors: bool | None = None,
        catch_up: bool = True,
        timeout: float | None = None,
    ) -> None:
        self._host = host
        self._database = database
        self._wanted = Query(
            correlation=drafts.identity("correlation_id", correlation_id, host.store_id),
            agent_id=drafts.text("agent_id", agent_id),
            session_id=drafts.text("session_id", session_id),
            event_name=drafts.text("event_name", event_name),
            errors=errors,
        )
        self._whatever = msgspec.structs.replace(self._wanted, errors=None)
        self._told = 0, 0, 0  # a stretch [first, end) that the database told of, and the head then
        self._catch_up = catch_up
        self._timeout = timeout
        self._finder = host.finder()
        self._next = self._start(since)
        self._asked_for = extent.first_whole(self._finder.ring)  # what lies before is history, and not missed
        self._ready: deque[Event] = deque()
        self.missed, self.damaged = [], []
        self._sleeper = 0
        self._side: LoopSide | None = None
        self._closed = False

    def _start(self, since: str | int | None) -> int:
        """The position to begin at. Raises InvalidField, MalformedRef, ForeignRef, ContextNotFound."""
        ring = self._finder.ring
        head = extent.head(ring)
        if since is None:
            return head
        if since == "begin":
            return FIRST_POSITION
        if isinstance(since, str):
            found = self._finder.run(self._finder.locate(since))
            if found is None:
                raise self._finder.missing(since)
            position = found + 1
        else:
            position = since
        if type(position) is not int or not 0 <= position <= head:
            raise InvalidField(
                f"since: nothing has been put at {since!r} yet.",
                hint="Give a ref, a follower's position, 'begin', or None for what comes from now on.",
            )
        position = max(position, FIRST_POSITION)
        # Inside of a record, as the position after a ref always is: go on at its end.
        return ring.scan(position - 1, position, 1, 1)[0] if ring.live(position - 1) else position

    # ---- reading on ----

    @property
    def position(self) -> int:
        """Where to go on: `store.follow(since=...)` with it delivers the event after the last one, in any process."""
        return self._ready[0].context.position if self._ready else self._next

    def _advance(self) -> Steps[None]:
        """Read on by some records, or by one stretch that is not in the ring."""
        ring = self._finder.ring
        head = extent.head(ring)
        if self._next >= head:
            self._move_on()
            return
        start = self._next if ring.live(self._next) else max(self._next, min(extent.oldest(ring), head))
        end, records, skipped = ring.scan(start, head, _RECORDS, _BYTES)
        if start > self._next:  # that moment, or the rest of a record that began before it
            end = skipped[0][1] if skipped and skipped[0][0] == start else start
            yield from self._pass_over(self._next, end)
        elif skipped and skipped[0][0] == start:
            yield from self._pass_over(*skipped[0])
        else:
            if skipped:
                end = skipped[0][0]
                records = [record for record in records if record[0] < end]
            yield from self._deliver(records)
            self._next = end

    def _deliver(self, records: list[RecordTuple]) -> Steps[None]:
        """Make those ready that fit; what of their data is not in their records is looked for together."""
        finder = self._finder
        found: list[tuple[Context, Event | None]] = []
        for record in records:
            if record[1] == ANNOTATION and self._wanted.errors:
                context = yield from self._failed(record)
                if context is not None and finder.fits(context, self._whatever):
                    found.append((context, None))
            if record[1] != CONTEXT:
                continue
            context = finder.context(record)
            if context is None:  # its checksum fits, and it is no context
                _tell(self.damaged, record[0], record[0] + 1)
            elif finder.fits(context, self._whatever) and self._in_state(context):
                found.append((context, finder.data.at_hand(context, record[4])))
        elsewhere = [context for context, event in found if event is None]
        rest = iter((yield from finder.data.events(elsewhere)) if elsewhere else ())
        self._ready.extend(event or next(rest) for _, event in found)

    def _in_state(self, context: Context) -> bool:
        """Whether the error state is the one asked for; what annotations say comes when they come."""
        wanted = self._wanted.errors
        return wanted is None or (says_error(context.more) if wanted else not self._finder.in_error(context))

    def _failed(self, record: RecordTuple) -> Steps[Context | None]:
        """The context that an annotation puts into error, unless the database told of it."""
        context = yield from self._finder.failed_by(record)
        first, end, head = self._told
        told = context is not None and first <= context.position < end and record[0] < head
        return None if told else context

    def _pass_over(self, start: int, end: int) -> Steps[None]:
        """Tell a stretch without whole records, and deliver what the database has of it, some rows at a time."""
        history = start < self._asked_for
        if history:
            end = min(end, self._asked_for)
        else:
            _tell(self.damaged if self._finder.ring.live(start) else self.missed, start, end)
        if history or self._catch_up:
            head = extent.head(self._finder.ring)
            wanted = msgspec.structs.replace(self._wanted, after=start - 1, before=end, limit=_ROWS)
            rows = yield from self._finder.stored(wanted)
            self._ready.extend((yield from self._finder.data.events(rows)))
            if len(rows) == _ROWS:
                end = rows[-1].position + 1
            self._told = (self._told[0] if self._told[1] == start else start), end, head
        self._next = end

    def _move_on(self) -> None:
        """Go on with the next generation of the segment, where there is one and this one is read to its end."""
        finder = self._host.finder()
        if finder is not self._finder and extent.head(self._finder.ring) <= self._next:
            self._finder = finder
            # The former generation was drained before this one was made: what is not in it is not missed.
            self._asked_for = extent.first_whole(finder.ring)

    def _patience(self) -> tuple[float, int]:
        """When the iteration is to end (time.monotonic seconds), and the position that it is to reach even so."""
        if self._timeout is None:
            return math.inf, 0
        return time.monotonic() + self._timeout, extent.head(self._host.finder().ring)

    def _pause(self, deadline: float, reached: int) -> float | None:
        """Seconds to sleep before the next look; None: the time is over."""
        left = deadline - time.monotonic()
        if left <= 0 and self._next >= reached:
            return None
        return min(max(left, 0), _SUCCESSION if self._finder.ring.state() & SEALED else _LOOK_AROUND)

    # ---- the two faces ----

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        patience = None
        while not self._closed:
            if self._ready:
                return self._ready.popleft()
            patience = patience or self._patience()
            self._finder.run(self._advance())
            if self._ready:
                continue
            pause = self._pause(*patience)
            if pause is None:
                break
            self._sleep(pause)
        raise StopIteration

    def _sleep(self, seconds: float) -> None:
        ring = self._finder.ring
        head = extent.head(ring)
        self._sleeper = threading.get_ident()
        try:
            if head <= self._next and not self._closed:
                ring.wait_head(head, seconds)
        finally:
            self._sleeper = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        patience = None
        while not self._closed:
            if self._ready:
                return self._ready.popleft()
            patience = patience or self._patience()
            side = self._loop_side()
            await side.answered(self._advance())
            if self._ready:
                continue
            pause = self._pause(*patience)
            if pause is None:
                break
            ring = self._finder.ring
            head = extent.head(ring)
            if head <= self._next:
                await side.moved(ring, head, pause)
        raise StopAsyncIteration

    def _loop_side(self) -> "LoopSide":
        from shmctx.loopside import LoopSide

        if self._side is None or not self._side.is_current():
            if self._side is not None:
                self._side.stop()
            self._side = LoopSide(self._database, self._host.store_id)
        return self._side

    # ---- the end ----

    def close(self) -> None:
        """End the iteration, also one that waits in another thread or task. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._side is not None:
            self._side.stop()
        ring = self._finder.ring
        patience = time.monotonic() + _LOOK_AROUND
        with contextlib.suppress(ReadOnly):  # that sleeps in short steps
            while self._sleeper not in (0, threading.get_ident()) and time.monotonic() < patience:
                ring.request_drain()  # wakes whoever sleeps on the head; again, for who was only about to sleep
                time.sleep(0.001)

    __del__ = close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


def _tell(stretches: list[tuple[int, int]], start: int, end: int) -> None:
    """Add a stretch, or the next piece of the last one."""
    if stretches and stretches[-1][0] <= start <= stretches[-1][1]:
        start, end = stretches[-1][0], max(end, stretches[-1][1])
        stretches.pop()
    stretches.append((start, end))
