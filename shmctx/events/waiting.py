"""Waiting for an event: of this router, or of any process."""

import asyncio
from collections.abc import Callable
from typing import Any

from shmctx.errors import EventTimeout
from shmctx.event import Event
from shmctx.events.names import checked_pattern
from shmctx.follow import Follower
from shmctx.names import matcher
from shmctx.store import Store

Where = Callable[[Event], Any]


class Waiter:
    """One future and the event that it waits for."""

    def __init__(self, fits: Callable[[str], object], where: Where | None, future: "asyncio.Future[Event]") -> None:
        self.fits = fits
        self.where = where
        self.future = future

    def tell(self, event: Event) -> None:
        """Offer an event. In the future's loop."""
        if self.future.done():
            return
        try:
            if self.where is None or self.where(event):
                self.future.set_result(event)
        except Exception as error:  # noqa: BLE001  (the caller's own function: the caller gets its error)
            self.future.set_exception(error)


class Waiters:
    """Who waits for events of a router."""

    def __init__(self) -> None:
        self._waiting: list[Waiter] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def tell(self, event: Event) -> None:
        """An event was stored: offer it to all who wait."""
        for waiter in list(self._waiting):
            if waiter.fits(event.event_name):
                loop = waiter.future.get_loop()
                if loop is asyncio.get_running_loop():
                    waiter.tell(event)
                elif not loop.is_closed():
                    loop.call_soon_threadsafe(waiter.tell, event)

    def add(
        self, pattern: str, where: Where | None, timeout: float | None, store: Store | None
    ) -> "asyncio.Future[Event]":
        """Begin to wait, now and not when the future is awaited: for events of this router, or for those that any
        process puts into `store`. EventTimeout after `timeout` seconds.
        """
        loop = asyncio.get_running_loop()
        fits = matcher(checked_pattern(pattern))
        waiter = Waiter(fits if store is None else lambda _: False, where, loop.create_future())
        if store is not None:
            pump = loop.create_task(_pump(store.follow(event_name=pattern), waiter))
            waiter.future.add_done_callback(lambda _: pump.cancel())
        if timeout is not None:
            timer = loop.call_later(timeout, _expire, waiter.future, pattern, timeout)
            waiter.future.add_done_callback(lambda _: timer.cancel())
        self._waiting.append(waiter)
        waiter.future.add_done_callback(lambda _: self._waiting.remove(waiter))
        return waiter.future

    def close(self, error: Exception) -> None:
        """Nothing comes any more."""
        for waiter in list(self._waiting):
            loop = waiter.future.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_give_up, waiter.future, error)


def _expire(future: "asyncio.Future[Event]", pattern: str, timeout: float) -> None:
    _give_up(future, EventTimeout(f"No event {pattern} came within {timeout:g} s."))


def _give_up(future: "asyncio.Future[Event]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


async def _pump(follower: Follower, waiter: Waiter) -> None:
    """Offer what a follower delivers."""
    try:
        with follower:
            async for event in follower:
                waiter.tell(event)
                if waiter.future.done():
                    return
        _give_up(waiter.future, EventTimeout("No event comes any more: the store was closed."))
    except Exception as error:  # noqa: BLE001  (who waits gets it)
        _give_up(waiter.future, error)
