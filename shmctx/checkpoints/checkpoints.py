"""Checkpoints: the states of an application's participants, taken together, and given back at its next start."""

import asyncio
import contextvars
import time
from asyncio import CancelledError, Task
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import msgspec

from shmctx.checkpoints import choosing, restoring, stored, taking
from shmctx.checkpoints.participants import Capture, Participant, Participants, Restore, Stage
from shmctx.checkpoints.restoring import Restored
from shmctx.checkpoints.stored import RESTORED, TAKEN, Checkpoint
from shmctx.checkpoints.taking import Draft, Failures
from shmctx.drafts import identity
from shmctx.errors import InvalidField, ShmctxError, StoreClosed
from shmctx.event import Event
from shmctx.events import EventRouter, Failure
from shmctx.events.failing import error_data
from shmctx.events.names import ERROR_EVENT
from shmctx.events.results import logger
from shmctx.follow import Following
from shmctx.propagation import bound
from shmctx.store import Store

T = TypeVar("T")


class Checkpoints(AbstractAsyncContextManager["Checkpoints"]):
    """The checkpoints of one application: `async with checkpoints, router:`.

    Entering restores what the last run left, or takes a first checkpoint where there is none; then one is taken every
    `interval` seconds, and one at the end. A checkpoint is a durable event of the store, `checkpoint:taken`.
    """

    restored: Restored | None = None
    """The report of the last restore."""

    def __init__(
        self,
        source: Store | EventRouter,
        name: str = "main",
        *,
        interval: float | None = None,
        keep: int = 5,
        timeout: float | None = 30.0,
    ) -> None:
        """`source`: with a router, failures are also told by its event:error, and what its handlers have not finished
        counts as not captured. `name`: of the application, one process at a time. `keep`: how many of the newest are
        pinned. `timeout`: seconds for one participant to capture or restore (None: no limit).
        """
        self._router = source if isinstance(source, EventRouter) else None
        self._store = source.store if isinstance(source, EventRouter) else source
        if type(keep) is not int or keep < 1:
            raise InvalidField(f"keep is a number of checkpoints from 1, not {keep!r}.")
        if interval is not None and not interval > 0:
            raise InvalidField(f"interval is a number of seconds, not {interval!r}.")
        if not name:
            raise InvalidField("The name of an application's checkpoints is not empty.")
        identity("name", stored.correlation_of(name), self._store.store_id)
        self.name = name
        self._interval = interval
        self._keep = keep
        self._timeout = timeout
        self._participants = Participants()
        self._dropped: set[str] = set()
        self._held: Failures = {}
        self._newest: Checkpoint | None = None
        self._settled = False
        self._gap: tuple[Checkpoint, int] | None = None
        self._lock = asyncio.Lock()
        self._timer: Task[None] | None = None

    # ---- participants ----

    def register(
        self,
        name: str,
        capture: Capture,
        restore: Restore,
        *,
        stage: int = Stage.STATE,
        timeout: float | None = None,
        thread: bool = False,
    ) -> None:
        """Add a participant: `capture()` returns its state, anything that JSON holds; `restore(state)` takes it back.

        Functions or coroutine functions. `stage`: when it is restored, see Stage. `timeout`: instead of that of all.
        `thread`: run them in a thread; a function that blocks is not stopped by its timeout otherwise.
        """
        limit = self._timeout if timeout is None else timeout
        self._participants.add(Participant(name, capture, restore, stage=stage, timeout=limit, thread=thread))
        self._dropped.discard(name)

    def unregister(self, name: str) -> None:
        """Forget a participant; the next checkpoint has no state of it."""
        self._participants.remove(name)
        self._held.pop(name, None)
        self._dropped.add(name)

    # ---- taking ----

    async def take(self, reason: str = "demand") -> Checkpoint:
        """Take a checkpoint now, and return it when it is durable.

        A participant that fails is told in its `errors`, and keeps the state that it had in the checkpoint before.
        Raises RingFull, ColdError (the one before holds then), NotDurable (it is stored, and not committed yet).
        """
        async with self._lock:
            await self._load()
            started = time.perf_counter()
            position = self._reached()
            captured = await taking.capture(one for one in self._participants if one.name not in self._held)
            took = round((time.perf_counter() - started) * 1e3, 3)
            base = self._draft(self._newest, reason, position, took)
            draft = await asyncio.to_thread(taking.drawn_up, base, captured, stored.piece_size(self._store.finder()))
            checkpoint = await _to_its_end(self._put(draft))
        await self._tell(checkpoint.ref, TAKEN, captured.failures)
        return checkpoint

    async def _load(self) -> None:
        if self._newest is None:
            self._newest = await self._store.aio.run(
                lambda finder: stored.newest(finder, self._store.store_id, self.name)
            )

    def _reached(self) -> int:
        """The position up to which all events have been handled."""
        with self._store.follow() as follower:
            position = follower.position
        under_way = self._router.under_way if self._router else ()
        return min([position, *(context.position for context in under_way)])

    def _draft(self, source: Checkpoint | None, reason: str, position: int, duration_ms: float) -> Checkpoint:
        """The next checkpoint, with the states of `source`, before anything captured is laid over them."""
        kept, released = taking.keeping(self._newest, self._keep)
        return Checkpoint(
            ref="",
            application=self.name,
            time_ns=0,
            reason=reason,
            position=position,
            duration_ms=duration_ms,
            states=taking.carried(source, self._dropped),
            errors=taking.told(self._held),
            kept=kept,
            released=released,
        )

    async def _put(self, draft: Draft) -> Checkpoint:
        """Store the next checkpoint, durably; then it is the newest, and pinned."""
        fields: dict[str, Any] = {"correlation_id": stored.correlation_of(self.name)}
        for name, failed in draft.checkpoint.errors.items():
            message = f"{name}: {failed.error_message}"
            fields |= {"error": True, "error_type": failed.error_type, "error_message": message}
        former = self._newest
        ref = await self._store.aio.put(TAKEN, data=draft.data, durable=True, **fields)
        time_ns = (await self._store.aio.resolve(ref)).time_ns
        self._newest = msgspec.structs.replace(draft.checkpoint, ref=ref, time_ns=time_ns)
        await asyncio.to_thread(self._repin, self._newest, former)
        return self._newest

    def _repin(self, newest: Checkpoint, former: Checkpoint | None) -> None:
        """Pin the newest, and no longer what came to be too old; once, also what a process left that died in here."""
        pinned, released = [newest.ref], list(newest.released)
        if not self._settled:
            pinned += newest.kept
            released += former.released if former else ()
            self._settled = True
        for ref in pinned:
            choosing.pin(self._store, ref)
        for ref in released:
            choosing.unpin(self._store, ref)

    async def _tell(self, ref: str, event_name: str, failures: Failures) -> None:
        """Tell of participants that failed: in the program's log, and to handlers of error events."""
        for name, error in failures.items():
            logger.error("Participant %s failed at %s (%s)", name, event_name, ref, exc_info=error)
            if self._router is None:
                continue
            data = error_data(event_name, Failure(name, error), [ref])
            try:
                with bound(await self._store.aio.resolve(ref)):
                    await self._router.emit(ERROR_EVENT, data)
            except ShmctxError as refused:  # RouterClosed, at the end of the application
                logger.debug("The failure of participant %s is not told by an event: %s", name, refused)

    # ---- restoring ----

    async def restore(self, ref: str | None = None) -> Restored:
        """Give the participants their states back: those of the checkpoint that was chosen, else of the newest.

        Stage by stage, one participant after the other; one that fails is told, and the others are restored. `ref`: of
        another checkpoint, which becomes the newest. Raises ContextNotFound, InvalidField, ColdError.
        """
        async with self._lock:
            await self._load()
            reached = self._reached()
            checkpoint = await _to_its_end(self._taken_up(ref))
            if checkpoint is None:
                self.restored = Restored(fresh=tuple(one.name for one in self._participants))
                return self.restored
            self._gap = checkpoint, reached
            report, self._held = await restoring.restore(self._store, checkpoint, self._participants)
            self.restored = report
            data = {**msgspec.to_builtins(report), "checkpoint": checkpoint.ref}
            told = await self._store.aio.put(RESTORED, data=data, correlation_id=stored.correlation_of(self.name))
        await self._tell(told, RESTORED, self._held)
        return report

    async def _taken_up(self, ref: str | None) -> Checkpoint | None:
        """The checkpoint to restore; one that is not the newest is stored once more, and is the newest then."""
        aio = self._store.aio
        choice = None
        if ref is None:
            choice = await aio.run(lambda finder: stored.chosen(finder, self._store.store_id, self.name))
            ref = choice[1] if choice else None
        if ref is not None and (self._newest is None or ref != self._newest.ref):
            wanted = await self._named(ref)
            await aio.pin(wanted.ref, durable=False)  # its states are about to be referred to
            base = self._draft(wanted, "restored", wanted.position, 0.0)
            again = await self._put(Draft(base))
            if wanted.ref not in again.kept:
                await aio.unpin(wanted.ref, durable=False)
        if choice is not None and self._newest is not None:
            await asyncio.to_thread(choosing.obeyed, self._store, choice[0].ref, self._newest.ref)
        return self._newest

    async def _named(self, ref: str) -> Checkpoint:
        checkpoint = await self._store.aio.run(lambda finder: stored.named(finder, ref))
        if checkpoint.application != self.name:
            raise InvalidField(f"{ref} is a checkpoint of {checkpoint.application!r}, not of {self.name!r}.")
        return checkpoint

    async def choose(self, ref: str) -> None:
        """Have the next start use this checkpoint, whatever is taken until then. Durable.

        Raises ContextNotFound, InvalidField, CheckpointDamaged, ColdError.
        """
        checkpoint = await self._named(ref)
        await asyncio.to_thread(choosing.choose, self._store, checkpoint.ref)

    async def list(self, limit: int | None = None) -> list[Checkpoint]:
        """The checkpoints that the store has, newest first."""
        return await self._store.aio.run(
            lambda finder: stored.listed(finder, self._store.store_id, self.name, limit)
        )

    async def since_last(self, participant: str | None = None, **following: Unpack[Following]) -> AsyncIterator[Event]:
        """The events between the checkpoint that was restored and that restore, oldest first; all events since the
        newest checkpoint, where nothing was restored; none where there is none.

        `participant`: from where its own state was captured, which is earlier if it failed since. `following`: filters,
        as in `Store.follow`. Events whose handlers had not ended when the checkpoint was taken, and those put while it
        was, are among them: they may be in the states already.
        """
        await self._load()
        gap = self._gap or (self._newest and (self._newest, self._reached()))
        if not gap:
            return
        checkpoint, end = gap
        state = checkpoint.states.get(participant) if participant is not None else None
        following = {**following, "since": state.position if state else checkpoint.position, "timeout": 0}
        own = stored.correlation_of(self.name)
        async with self._store.follow(**following) as follower:
            async for event in follower:
                if event.context.position >= end:
                    return
                if event.context.correlation_id != own:
                    yield event

    # ---- the life of an application ----

    async def __aenter__(self) -> Self:
        await self.restore()
        if self._newest is None:
            await self.take("start")
        if self._interval is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.create_task(self._take_often(self._interval), context=contextvars.Context())
        return self

    async def _take_often(self, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            try:
                await self.take("interval")
            except StoreClosed:
                return
            except Exception:  # noqa: BLE001  (the next one may succeed)
                logger.exception("No checkpoint of %s was taken", self.name)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._timer is not None:
            async with self._lock:  # not while it takes one
                self._timer.cancel()
            self._timer = None
        try:
            await self.take("shutdown")
        except ShmctxError as failure:
            if error is None:
                raise
            logger.error("No checkpoint of %s was taken at its end: %s", self.name, failure)


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Await what must not be left half done: a cancellation is heard when it has ended."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except CancelledError:
        await asyncio.wait({task})
        raise
