"""Calling what others have written, which may fail, hang, or not end when it is told to."""

import asyncio
import contextlib
import threading
from asyncio import AbstractEventLoop, Future
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from shmctx.errors import EventTimeout

T = TypeVar("T")
UNWIND = 1.0  # seconds that a cancelled coroutine has for its cleaning up


async def within(seconds: float | None, awaitable: Awaitable[T], what: str) -> T:
    """Await in a task of its own, at most `seconds` (None: no limit). EventTimeout says `what` took too long.

    What does not end when it is cancelled is left alone after UNWIND: the caller goes on even so.
    """
    task = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        late = not task.done()
        task.cancel()
    if late:
        task.add_done_callback(_heard)
        await asyncio.wait({task}, timeout=UNWIND)
        raise EventTimeout(f"{what} took longer than {seconds:g} s.")
    return task.result()


def _heard(task: "asyncio.Future[Any]") -> None:
    """What it raises after it was given up is of no interest, and asyncio is not to complain that nobody looked."""
    if not task.cancelled():
        task.exception()


async def in_thread(function: Callable[[], T]) -> T:
    """Call a function that blocks, in a thread that nobody waits for at the end of the process if it hangs."""
    loop = asyncio.get_running_loop()
    future: Future[T] = loop.create_future()
    threading.Thread(target=_call, args=(function, loop, future), name="shmctx checkpoint", daemon=True).start()
    return await future


def _call(function: Callable[[], Any], loop: AbstractEventLoop, future: "Future[Any]") -> None:
    result, error = None, None
    try:
        result = function()
    except BaseException as raised:  # noqa: BLE001  (it is the caller's to handle)
        error = raised
    with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
        loop.call_soon_threadsafe(_settle, future, result, error)


def _settle(future: "Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.done():  # the caller gave up
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
