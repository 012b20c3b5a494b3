"""A router's end: no new events from outside, what runs may finish, and is cancelled when it takes too long."""

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable

from shmctx.errors import RouterClosed
from shmctx.events.emission import Emission, current_emission
from shmctx.events.results import logger

_UNWIND = 1.0  # seconds that a cancelled handler has for its cleaning up


class Lifecycle:
    """What runs in a router, and whether anything may still begin. Emissions may run in several event loops."""

    def __init__(self) -> None:
        self.running: set[Emission] = set()
        """The outermost emissions; what their handlers emit and wait for is covered by them."""
        self.closing = False
        self.closed = False
        self._on_end: list[Callable[[], None]] = []

    def admit(self) -> None:
        """Raise RouterClosed unless an event may still be emitted here: while closing, in handlers only."""
        if self.closed:
            raise RouterClosed("The router is shut down. Nothing was stored.")
        enclosing = current_emission()
        while enclosing is not None and enclosing.owner is not self:
            enclosing = enclosing.enclosing
        if enclosing is None:
            raise RouterClosed("The router is shutting down and takes no new events. Nothing was stored.")

    def leave(self, emission: Emission) -> None:
        """An emission has ended."""
        self.running.discard(emission)
        for on_end in self._on_end:
            on_end()

    async def shutdown(self, seconds: float | None) -> bool:
        """Let what runs finish, at most `seconds`, then cancel it. Returns whether all finished by itself."""
        if self.closed:
            return True
        self.closing = True
        changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._on_end = [*self._on_end, lambda: _wake(loop, changed)]
        mine = _enclosing()  # a handler that shuts its own router down does not wait for itself
        try:
            if await self._emptied(mine, changed, seconds):
                return True
            for emission in self.running - mine:
                logger.warning("Shutdown cancels the handlers of %s (%s)", emission.event_name, emission.results.ref)
            _stop(loop, self.running - mine)
            if not await self._emptied(mine, changed, _UNWIND):
                for emission in self.running - mine:
                    logger.error("%s (%s) does not end", emission.event_name, emission.results.ref)
            return False
        finally:
            self.closed = True

    async def _emptied(self, apart_from: set[Emission], changed: asyncio.Event, seconds: float | None) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while self.running - apart_from:
                    changed.clear()
                    if self.running - apart_from:
                        await changed.wait()
        except TimeoutError:
            return not self.running - apart_from
        return True


def _enclosing() -> set[Emission]:
    found = set()
    emission = current_emission()
    while emission is not None:
        found.add(emission)
        emission = emission.enclosing
    return found


def _wake(loop: AbstractEventLoop, event: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(event.set)
    except RuntimeError:
        return  # the loop is closed: nobody waits


def _stop(here: AbstractEventLoop, emissions: Iterable[Emission]) -> None:
    """Cancel emissions, each in its own loop; all of one loop in one step, so that none sees another's cancellation
    before its own."""
    by_loop: dict[AbstractEventLoop, list[Emission]] = {}
    for emission in emissions:
        by_loop.setdefault(emission.task.get_loop(), []).append(emission)
    for loop, group in by_loop.items():
        if loop is here:
            _stop_all(group)
        else:
            try:
                loop.call_soon_threadsafe(_stop_all, group)
            except RuntimeError:
                continue  # it is closed, and they will not go on


def _stop_all(emissions: list[Emission]) -> None:
    for emission in emissions:
        emission.stop()
