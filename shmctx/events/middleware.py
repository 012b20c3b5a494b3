"""Middleware: functions around the handling of every event."""

from collections.abc import Awaitable, Callable
from typing import Any

from shmctx.event import Event
from shmctx.events.emission import Emission
from shmctx.events.isolation import awaited, isolated
from shmctx.events.results import Results

CallNext = Callable[[Event], Awaitable[Results]]
Middleware = Callable[[Event, CallNext], Awaitable[Any]]
"""`async def middleware(event, call_next)`: awaits `call_next(event)`, once or not at all, and may change what goes in
(`msgspec.structs.replace(event, data=...)`: handlers get it, what is stored stays) and what comes out."""


Run = Callable[[Emission], Awaitable[Any]]
"""Calls the handlers of an emission: Emission.run, or another way."""


async def through(middleware: tuple[Middleware, ...], emission: Emission, run: Run) -> None:
    """Run an emission's handlers inside all middleware, the first registered outermost.

    What a middleware returns replaces the results, if it is a list; what it raises goes to the emitter.
    """

    async def innermost(event: Event) -> Results:
        emission.data = {} if event.data is None else event.data
        await run(emission)
        return emission.results

    def wrapped(outer: Middleware, inner: CallNext) -> CallNext:
        async def call_next(event: Event) -> Results:
            returned = await outer(event, inner)
            if isinstance(returned, list) and returned is not emission.results:
                emission.results[:] = returned
            return emission.results

        return call_next

    call: CallNext = innermost
    for outer in reversed(middleware):
        call = wrapped(outer, call)
    await isolated(emission.context(), awaited(call(emission.event)))
