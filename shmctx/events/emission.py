"""One event on its way through its handlers: called in order, each in a contextvars.Context of its own, timed."""

import asyncio
import contextvars
from asyncio import CancelledError, Task
from collections.abc import Coroutine
from contextvars import ContextVar
from time import perf_counter_ns
from typing import Any, cast

from shmctx.context import Context
from shmctx.errors import RouterClosed, ShmctxError
from shmctx.event import Event
from shmctx.events.handlers import Call, Handler, Plan
from shmctx.events.isolation import awaited, isolated, within
from shmctx.events.names import ERROR_EVENT
from shmctx.events.results import Failure, Results, logger
from shmctx.propagation import Scope, current_scope, set_scope
from shmctx.store import Store

_FAILED = object()
"""Stands for the result of a handler that gave none."""

_emission: ContextVar["Emission | None"] = ContextVar("shmctx_emission", default=None)
current_emission = _emission.get
_set_emission = _emission.set


class Emission:
    """An event that was stored and now goes through its handlers.

    `enclosing` is the emission in whose handler this one was emitted; `depth` counts those around it. `outermost`: no
    other emission waits for this one in the same task.
    """

    # What few emissions set is left to the class: making one is on the path of every event.
    ended = stopped = False
    tags: list[str] | None = None
    interrupted: list[str] | None = None
    broken: BaseException | None = None
    enclosing: "Emission | None" = None
    depth = cancelling = 0
    outermost = True
    event_name: str
    scope: Scope

    def __init__(
        self,
        event_name: str,
        data: dict[str, Any],
        scope: Scope,
        plan: Plan,
        *,
        enclosing: "Emission | None",
        limit: float | None,
        owner: object,
    ) -> None:
        """`data`: clean of metadata, and nobody else's. `limit`: seconds that one handler may take. `owner`: whose
        shutdown ends it.
        """
        self.owner = owner
        self.event_name = event_name
        self.data: dict[str, Any] = data
        self.scope = scope
        self.plan = plan
        self.limit = limit
        self.results = Results(cast(Context, scope.context))
        self.timings: dict[str, float] = {}
        self.task = task = cast("Task[Any]", asyncio.current_task())
        self.tells_errors = event_name == ERROR_EVENT
        if enclosing is not None:
            self.enclosing = enclosing
            self.depth = enclosing.depth + 1
            self.outermost = enclosing.task is not task or enclosing.ended
            self.tells_errors |= enclosing.tells_errors
        self.cancelling = task.cancelling()
        self.started = perf_counter_ns()

    @property
    def event(self) -> Event:
        """The event, with the data that handlers get."""
        return Event(self.results.context, self.data)

    def context(self) -> contextvars.Context:
        """A copy of the caller's contextvars in which this event is the current one."""
        scope, emission = current_scope(), current_emission()
        set_scope(self.scope)  # set here and put back: entering the copy to set it there takes twice as long
        _set_emission(self)
        copied = contextvars.copy_context()
        set_scope(scope)
        _set_emission(emission)
        return copied

    def run(self) -> Coroutine[Any, Any, Any]:
        """Call every handler: those that may wait at the same time, begun in order of priority."""
        steps = self.plan.steps
        if len(steps) == 1:
            return self._call(*steps[0])
        return self._run_together() if self.plan.concurrent else self._run_in_turn(until_result=False)

    def run_until_result(self) -> Coroutine[Any, Any, Any]:
        """Call one handler after the other until one returns something else than None."""
        return self._run_in_turn(until_result=True)

    async def _run_in_turn(self, *, until_result: bool) -> None:
        for handler, call in self.plan.steps:
            result = await self._call(handler, call)
            if until_result and result is not _FAILED and result is not None:
                return

    async def _run_together(self) -> None:
        loop = self.task.get_loop()
        returned = await asyncio.gather(*(loop.create_task(self._call(*step)) for step in self.plan.steps))
        self.results[:] = [result for result in returned if result is not _FAILED]  # by priority, not as they ended

    async def _call(self, handler: Handler, call: Call) -> Any:
        started = perf_counter_ns()
        try:
            if handler.is_async and self.limit is None:
                result = await isolated(self.context(), call(self))
            else:
                result = await self._call_otherwise(handler, call)
        except Exception as error:  # noqa: BLE001  (told in the results, in the store and by event:error)
            return self._failed(handler, error)
        except CancelledError as error:
            task = cast("Task[Any]", asyncio.current_task())
            if task.cancelling() <= (self.cancelling if task is self.task else 0):
                return self._failed(handler, error)  # nobody cancelled us: it is the handler's own
            self.interrupted = [*(self.interrupted or ()), handler.name]
            raise
        finally:
            self.timings[handler.name] = (perf_counter_ns() - started) // 1000 / 1000
        self.results.append(result)
        return result

    async def _call_otherwise(self, handler: Handler, call: Call) -> Any:
        """Call a function that blocks, one that does not, or a coroutine function within a limit."""
        context = self.context()
        if handler.thread:
            result = self.task.get_loop().run_in_executor(None, context.run, call, self)
            return await within(self.limit, result, f"Handler {handler.name}")
        result = call(self) if handler.is_async else context.run(call, self)
        if not hasattr(result, "__await__"):
            return result
        coroutine = result if asyncio.iscoroutine(result) else awaited(result)
        return await within(self.limit, isolated(context, coroutine), f"Handler {handler.name}")

    def _failed(self, handler: Handler, error: BaseException) -> Any:
        self.results.errors.append(Failure(handler.name, error))
        logger.error("Handler %s failed on %s (%s)", handler.name, self.event_name, self.results.ref, exc_info=error)
        return _FAILED

    def stop(self) -> None:
        """The router's shutdown has waited long enough: cancel what runs. In the loop that runs it."""
        self.stopped = True
        self.task.cancel()

    def absorbs(self, error: BaseException) -> bool:
        """Whether what ended the handlers early ends here: the cancellation of the router's shutdown does, and the
        task that emitted goes on. As in asyncio.timeout, unless somebody else has cancelled the task too.
        """
        if not isinstance(error, CancelledError) or not self.stopped or self.task.uncancel() > self.cancelling:
            self.broken = error
            return False
        for name in self.interrupted or ():
            stopped = RouterClosed(f"Handler {name} was cancelled: the router's shutdown waited for it in vain.")
            self.results.errors.append(Failure(name, stopped))
        return True

    def annotate(self, store: Store) -> None:
        """Store what became known of the event: duration, handlers, error, tags. Once, if anything ran."""
        self.ended = True
        failures = self.results.errors
        if self.broken is not None:  # by cancellation, or by a middleware
            failures = [Failure((self.interrupted or ["middleware"])[0], self.broken)]
        if not self.timings and not self.tags and not failures:
            return
        duration = (perf_counter_ns() - self.started) // 1000 / 1000  # to the microsecond: more digits only take space
        notes: dict[str, Any] = {"_duration_ms": duration, "_handlers": self.timings}
        if failures:
            notes |= {"error": True, "_handler": failures[0].handler, **failures[0].fields}
        if self.tags:
            notes["tags"] = list(dict.fromkeys([*(self.results.context.tags or ()), *self.tags]))
        try:
            store.note(self.results.context, notes)
        except ShmctxError as error:  # the results are not worth less for it
            logger.error("What is known of %s (%s) is not stored: %s", self.event_name, self.results.ref, error)
