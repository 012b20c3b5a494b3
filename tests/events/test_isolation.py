"""A coroutine in a contextvars.Context of its own behaves as in a task, apart from being one."""

import asyncio
import contextvars

import pytest
from running import run

from shmctx.events.isolation import isolated, within

variable = contextvars.ContextVar("variable", default=0)


def alone(coroutine):
    return isolated(contextvars.copy_context(), coroutine)


def test_results_errors_and_variables():
    async def counts():
        for n in range(1, 4):
            variable.set(n)
            await asyncio.sleep(0)
            assert variable.get() == n
        return n

    async def fails():
        await asyncio.sleep(0)
        raise StopAsyncIteration("its own")

    async def main():
        variable.set(10)
        assert await alone(counts()) == 3
        assert await asyncio.gather(alone(counts()), alone(counts())) == [3, 3]
        with pytest.raises(StopAsyncIteration, match="its own"):
            await alone(fails())
        assert variable.get() == 10

    run(main())


def test_tasks_that_it_makes_inherit_its_variables():
    async def inner():
        return variable.get()

    async def outer():
        variable.set(5)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(inner())
        return task.result()

    assert run(alone(outer())) == 5


def test_cancellation_and_timeouts_arrive():
    ended = []

    async def hangs():
        variable.set(7)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(variable.get())

    async def survives():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            asyncio.current_task().uncancel()
            await asyncio.sleep(0)
            return "survived"

    async def main():
        with pytest.raises(TimeoutError):
            await within(0.01, alone(hangs()), "hangs")
        task = asyncio.create_task(alone_of(survives()))
        await asyncio.sleep(0)
        task.cancel()
        assert await task == "survived"

    async def alone_of(coroutine):
        return await alone(coroutine)

    run(main())
    assert ended == [7]


def test_closing_closes_what_is_inside():
    ended = []

    async def hangs():
        variable.set(7)
        try:
            await asyncio.sleep(100)
        finally:
            ended.append(variable.get())

    async def outer():
        await alone(hangs())

    async def main():
        coroutine = outer()
        coroutine.send(None)
        coroutine.close()

    run(main())
    assert ended == [7]
    assert variable.get() == 0
