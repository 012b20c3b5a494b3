"""EventRouter: an event is stored, then its handlers are called, each in the event's context."""

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from shmctx.context import Context
from shmctx.errors import DepthExceeded, InvalidField, RouterClosed
from shmctx.event import Event
from shmctx.events import failing
from shmctx.events.emission import Emission, current_emission
from shmctx.events.handlers import Handler, Handlers, Priority
from shmctx.events.lifecycle import Lifecycle
from shmctx.events.metadata import METADATA, separated
from shmctx.events.middleware import Middleware, Run, through
from shmctx.events.names import ERROR_EVENT
from shmctx.events.registry import Registry
from shmctx.events.results import Results
from shmctx.events.templates import Template, Validator, check
from shmctx.events.waiting import Waiters, Where
from shmctx.follow import Follower, Following
from shmctx.store import Store

F = TypeVar("F", bound=Callable[..., Any])
M = TypeVar("M", bound=Middleware)


class EventRouter(AbstractAsyncContextManager["EventRouter"]):
    """Emits events into a store and calls who registered for them.

    Handlers run in the event's context (`shmctx.current()`), each in contextvars of its own: nothing leaks to its
    siblings or back to the emitter, and what it emits becomes a child of the event.
    """

    def __init__(
        self,
        store: Store,
        *,
        max_depth: int = 64,
        handler_timeout: float | None = None,
        shutdown_timeout: float | None = 30.0,
    ) -> None:
        """`max_depth`: how many handlers may lie around an emit, those included that have ended and left a task behind
        that emits. `handler_timeout`: seconds that one handler may take (one that neither awaits nor has thread=True
        cannot be stopped). `shutdown_timeout`: seconds, None for no limit.
        """
        self.store = store
        self.registry = Registry(self._registry_changed)
        self._max_depth = max_depth
        self._handler_timeout = handler_timeout
        self._shutdown_timeout = shutdown_timeout
        self._handlers = Handlers(self.registry)
        self._middleware: tuple[Middleware, ...] = ()
        self._waiters = Waiters()
        self._life = Lifecycle()
        self._running = self._life.running
        self._loop: asyncio.AbstractEventLoop | None = None

    def _registry_changed(self) -> None:
        self._handlers.forget_plans()

    # ---- what is registered ----

    def on(self, *patterns: str, priority: int = Priority.NORMAL, thread: bool = False) -> Callable[[F], F]:
        """Register a function for events: `@router.on("agent:*")`. Patterns as in fnmatch, case-sensitive.

        Lower priorities run first. A coroutine function runs with the others at the same time, a function inline, or
        in a worker thread with `thread=True`. It takes (data), (data, context), or parameters called data, context,
        event, event_name or as a registered object. Data is a copy of its own, without metadata.
        """
        if not patterns:
            raise InvalidField("on() needs an event name or pattern.")

        def register(function: F) -> F:
            self._handlers.add(function, patterns, priority=priority, thread=thread)
            return function

        return register

    def off(self, function: Callable[..., Any]) -> int:
        """Forget a function; returns how many registrations it had."""
        return self._handlers.remove(function)

    @property
    def handlers(self) -> list[Handler]:
        """All handlers, in the order in which they run."""
        return list(self._handlers)

    def middleware(self, function: M) -> M:
        """Register a coroutine function `(event, call_next)` around the handling of every event, the first outermost.

        It awaits `call_next(event)`, once or not at all, and may change the data that handlers get and the results.
        """
        self._middleware = (*self._middleware, function)
        return function

    def template(
        self,
        event_name: str,
        *,
        required: Mapping[str, Any] | None = None,
        optional: Mapping[str, Any] | None = None,
        validators: Mapping[str, Validator] | None = None,
        extra: bool = True,
    ) -> None:
        """Declare the data of an event, or of all that match a pattern; emit raises EventInvalid where it does not fit.

        `required`, `optional`: types by field. `validators`: by field, refusing with False or an error. `extra`:
        whether fields that are not declared may be there.
        """
        self._handlers.add_template(
            Template(event_name, required=required, optional=optional, validators=validators, extra=extra)
        )

    # ---- emitting ----

    def emit(
        self, event_name: str, data: Mapping[str, Any] | None = None, **fields: Any
    ) -> Coroutine[Any, Any, Results]:
        """Store an event, a child of the current one, call its handlers, and return their results.

        `fields`: what `store.put` takes. Metadata inside data (wire names, `_ksi_context`) counts as fields. A handler
        that fails does not hinder the others: it is in the results' `errors`, annotated, and told by `event:error`.

        Nothing is stored on EventInvalid, DepthExceeded, RouterClosed, and what put raises.
        """
        return self._emit(Emission.run, event_name, data, fields)

    async def emit_first(self, event_name: str, data: Mapping[str, Any] | None = None, **fields: Any) -> Any:
        """As emit, but one handler after the other, until one returns something else than None: that, or None."""
        results = await self._emit(Emission.run_until_result, event_name, data, fields)
        return next((result for result in results if result is not None), None)

    def emit_threadsafe(
        self, event_name: str, data: Mapping[str, Any] | None = None, **fields: Any
    ) -> "concurrent.futures.Future[Results]":
        """Emit from another thread, or from code that cannot await: a future of the results.

        The event is a child of the calling thread's current one, and its handlers run in the event loop of the handler
        that this is called in, else in the one that entered the router (`async with router`). Do not wait for the
        future in that loop's own thread. Raises RouterClosed if there is no such loop.
        """
        enclosing = current_emission()
        loop = self._loop if enclosing is None else enclosing.task.get_loop()
        if loop is None or loop.is_closed():
            raise RouterClosed("No event loop runs this router. Nothing was stored.", hint="Use `async with router:`.")
        return asyncio.run_coroutine_threadsafe(self.emit(event_name, data, **fields), loop)

    @property
    def under_way(self) -> list[Context]:
        """The events whose handlers are running, without those that their handlers emitted."""
        return [emission.results.context for emission in list(self._running)]

    def _begin(self, event_name: str, data: Mapping[str, Any] | None, fields: dict[str, Any]) -> Emission:
        """Check and store an event."""
        if self._life.closing:
            self._life.admit()
        try:
            plan = self._handlers.plans[event_name]
        except (KeyError, TypeError):
            plan = self._handlers.plan(event_name)
        # Without data it is an event all the same, with a line in the log.
        clean, fields = ({}, fields) if data is None else self._clean(data, fields)
        if plan.templates:
            check(plan.templates, event_name, clean)
        enclosing = current_emission()
        if enclosing is not None and enclosing.depth + 1 >= self._max_depth and event_name != ERROR_EVENT:
            raise DepthExceeded(
                f"{event_name} was emitted inside {enclosing.depth + 1} handlers, each of which handles what the one "
                f"before emitted; the last is of {enclosing.event_name} ({enclosing.results.ref}). Nothing was stored."
            )
        try:
            scope = self.store.enter(event_name, clean, **fields)
        except InvalidField as error:
            raise self.registry.explained(error, clean) from None
        emission = Emission(
            event_name, clean, scope, plan, enclosing=enclosing, limit=self._handler_timeout, owner=self._life
        )
        if emission.outermost:
            self._running.add(emission)
        if self._waiters:
            self._waiters.tell(emission.event)
        return emission

    @staticmethod
    def _clean(data: Mapping[str, Any], fields: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """A copy of the data without metadata, and the fields with it."""
        if data.__class__ is not dict and not isinstance(data, Mapping):
            raise InvalidField(f"data is a dict, not {type(data).__name__}. Nothing was stored.")
        if METADATA.isdisjoint(data):
            return dict(data), fields
        clean, found = separated(data)
        return clean, found | fields

    async def _emit(self, run: Run, event_name: str, data: Mapping[str, Any] | None, fields: dict[str, Any]) -> Results:
        """Store an event, call its handlers, then store and tell what became of them."""
        emission = self._begin(event_name, data, fields)
        try:
            try:
                if self._middleware:
                    await through(self._middleware, emission, run)
                elif emission.plan.steps:
                    await run(emission)
            except BaseException as error:
                if not emission.absorbs(error):
                    raise
            finally:
                emission.annotate(self.store)
            if emission.results.errors:
                await failing.tell(self.emit, self.store, emission)
            return emission.results
        finally:
            if emission.outermost:
                self._life.leave(emission)

    # ---- waiting and following ----

    def wait_for(
        self, pattern: str, *, timeout: float | None, where: Where | None = None, everywhere: bool = False
    ) -> "asyncio.Future[Event]":
        """The next event that fits, from now on: `reply = router.wait_for(...)`, emit something, `await reply`.

        `where(event)`: what else must hold. `everywhere`: events of all processes that use the store, not only of this
        router. EventTimeout after `timeout` seconds (None: no limit), RouterClosed at shutdown.
        """
        if self._life.closing:
            self._life.admit()
        return self._waiters.add(pattern, where, timeout, self.store if everywhere else None)

    def follow(self, **following: Unpack[Following]) -> Follower:
        """The events of all processes, from any position on: as `store.follow`."""
        return self.store.follow(**following)

    # ---- the end ----

    async def shutdown(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109  (as everywhere here)
        """Take no new events from outside; let running handlers finish, and what they emit go through.

        After `timeout` seconds (default: the router's shutdown_timeout) handlers are cancelled, which counts as their
        failure. Returns whether all finished by themselves. The store stays open.
        """
        finished = await self._life.shutdown(self._shutdown_timeout if timeout is None else timeout)
        self._waiters.close(RouterClosed("The router was shut down; no event of it comes any more."))
        return finished

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.shutdown()
