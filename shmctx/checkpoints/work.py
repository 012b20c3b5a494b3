"""Queued work: events to be emitted later, in the contexts in which they were queued, over restarts too."""

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec

from shmctx.context import Context
from shmctx.errors import ContextNotFound
from shmctx.event import decode_data, encode_data
from shmctx.events import EventRouter
from shmctx.events.results import logger
from shmctx.propagation import bound, current

QUEUED_IN = "_queued_in"
"""The custom field of an emitted event whose original context is gone: the ref that it had."""


class Work(msgspec.Struct, frozen=True):
    """An event to be emitted."""

    event_name: str
    data: dict[str, Any] | None
    ref: str | None
    """Of the context in which it was queued."""


class WorkQueue:
    """A participant: `checkpoints.register("work", queue.capture, queue.restore, stage=Stage.QUEUED_WORK)`.

    What is being emitted belongs to the queue until its handlers have ended, so it is emitted again after a crash in
    between: at least once. For one event loop.
    """

    def __init__(self, router: EventRouter) -> None:
        self._router = router
        self._waiting: deque[Work] = deque()
        self._running: list[Work] = []
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """How many are not done."""
        return len(self._running) + len(self._waiting)

    def put(self, event_name: str, data: Mapping[str, Any] | None = None) -> None:
        """Queue an event, to be emitted as a child of the context that is current now. Raises InvalidField."""
        copied = None if data is None else decode_data(encode_data(data))
        context = current()
        self._waiting.append(Work(event_name, copied, context.ref if context else None))
        self._changed.set()

    async def run(self) -> None:
        """Emit one after the other, and wait for more, until cancelled. Several at once work beside each other.

        What emit raises (RouterClosed, RingFull, EventInvalid, ...) ends it; the event stays the first of the queue.
        """
        while True:
            while not self._waiting:
                self._changed.clear()
                await self._changed.wait()
            work = self._waiting.popleft()
            self._running.append(work)
            try:
                await self._emit(work)
            except BaseException:
                self._waiting.appendleft(work)
                raise
            finally:
                self._running.remove(work)
                self._changed.set()

    async def join(self) -> None:
        """Return when nothing is queued or running any more."""
        while self:
            self._changed.clear()
            await self._changed.wait()

    async def _emit(self, work: Work) -> None:
        original = await self._original(work.ref)
        fields = {} if original or work.ref is None else {QUEUED_IN: work.ref}
        where: AbstractContextManager[object] = bound(original) if original else nullcontext()
        with where:
            await self._router.emit(work.event_name, work.data, **fields)

    async def _original(self, ref: str | None) -> Context | None:
        if ref is None:
            return None
        try:
            return await self._router.store.aio.resolve(ref)
        except ContextNotFound:
            logger.warning("Queued work goes on without its context, which is gone: %s", ref)
            return None

    def capture(self) -> list[dict[str, Any]]:
        """All that is not done, in order."""
        built: list[dict[str, Any]] = msgspec.to_builtins([*self._running, *self._waiting])
        return built

    def restore(self, state: Any) -> None:
        """Queue again what was captured, before what is queued by now. Raises msgspec.ValidationError."""
        self._waiting.extendleft(reversed(msgspec.convert(state, list[Work])))
        self._changed.set()
