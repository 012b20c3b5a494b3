"""Awaiting something in a contextvars.Context of its own, or within a time limit."""

import asyncio
import types
from collections.abc import Awaitable, Coroutine, Generator
from contextvars import Context
from typing import Any, TypeVar

from shmctx.errors import EventTimeout

T = TypeVar("T")


@types.coroutine
def isolated(context: Context, coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Await a coroutine so that what it does to contextvars stays in `context`, as a task would, without a task.

    A coroutine is resumed by send and throw; here each of them runs inside the context.
    """
    run, step, value = context.run, coroutine.send, None
    while True:
        try:
            yielded = run(step, value)
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            step, value = coroutine.send, (yield yielded)
        except GeneratorExit:
            run(coroutine.close)
            raise
        except BaseException as error:  # noqa: BLE001  (it is the coroutine's to handle)
            step, value = coroutine.throw, error


async def awaited(awaitable: Awaitable[T]) -> T:
    """Any awaitable as a coroutine."""
    return await awaitable


async def within(seconds: float | None, awaitable: Awaitable[T], what: str) -> T:
    """Await within a limit; None is no limit. Raises EventTimeout, which says `what` took too long."""
    try:
        async with asyncio.timeout(seconds) as limit:
            return await awaitable
    except TimeoutError:
        if not limit.expired():
            raise  # its own, not ours
        raise EventTimeout(f"{what} took longer than {seconds:g} s.") from None
