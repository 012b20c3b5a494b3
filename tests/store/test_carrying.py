"""Carrying the current context into threads, executors and whatever else starts without it."""

import asyncio
import contextvars
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import shmctx

LIMIT = 30  # seconds


def in_thread(function):
    """What a function returns in a thread of its own."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join(LIMIT)
    return found[0]


def test_a_carried_function_runs_in_the_context_it_was_carried_from(stores):
    store = stores.open()
    with store.span("x") as context:
        carried = shmctx.carry(shmctx.current)
    with store.span("y") as other:
        assert carried() is context
        assert shmctx.current() is other
    assert in_thread(carried) is context
    assert in_thread(shmctx.carry(shmctx.current)) is None
    assert contextvars.Context().run(carried) is context


def test_a_function_carried_from_nowhere_runs_in_no_context(stores):
    carried = shmctx.carry(shmctx.current)

    with stores.open().span("x") as context:
        assert carried() is None
        assert shmctx.current() is context


def test_many_threads_run_one_carried_function_at_once(stores):
    store = stores.open()
    together = threading.Barrier(4)

    def work(number):
        together.wait(LIMIT)
        with store.span(f"work:{number}"):
            together.wait(LIMIT)
            ref = store.put("leaf")
        return shmctx.current(), store[ref]

    with store.span("x") as context:
        carried = shmctx.carry(work)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(carried, range(4)))

    for number, (current, leaf) in enumerate(found):
        parent = store[leaf.parent_ref]
        assert current is context
        assert (parent.event_name, parent.parent_ref) == (f"work:{number}", context.ref)


def test_a_carried_coroutine_function_and_generator_run_there_too(stores):
    store = stores.open()

    async def ask():
        await asyncio.sleep(0)
        return shmctx.current()

    def generate():
        yield shmctx.current()

    with store.span("x") as context:
        asked, generated = shmctx.carry(ask), shmctx.carry(generate)
    assert asyncio.run(asked()) is context
    assert list(generated()) == [context]


def test_a_propagating_executor_runs_each_task_in_the_context_of_its_submission(stores):
    """One thread runs them all, so nothing of one may be left for the next."""
    store = stores.open()
    with shmctx.propagating(ThreadPoolExecutor(1)) as pool:
        futures = [pool.submit(shmctx.current)]
        with store.span("a") as a:
            futures.append(pool.submit(lambda value: (shmctx.current(), value), value=1))
        with store.span("b") as b:
            futures.append(pool.submit(shmctx.current))
            mapped = pool.map(lambda number: (shmctx.current(), number), [1, 2], timeout=LIMIT)
        futures.append(pool.submit(shmctx.current))
        results = [future.result(LIMIT) for future in futures]

    assert results == [None, (a, 1), b, None]
    assert list(mapped) == [(b, 1), (b, 2)]
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(shmctx.current)


def test_an_event_loop_takes_a_propagating_executor(stores):
    store = stores.open()

    async def main():
        loop = asyncio.get_running_loop()
        with store.span("x") as context, shmctx.propagating(ThreadPoolExecutor(1)) as pool:
            return context, await loop.run_in_executor(pool, shmctx.current)

    context, found = asyncio.run(main())
    assert found is context


def test_a_task_that_fails_fails_its_future_and_leaves_no_context(stores):
    store = stores.open()
    with shmctx.propagating(ThreadPoolExecutor(1)) as pool:
        with store.span("x"):
            failing = pool.submit(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            failing.result(LIMIT)
        assert pool.submit(shmctx.current).result(LIMIT) is None


def test_a_new_thread_inherits_only_where_the_interpreter_says_so(stores):
    """Free-threaded CPython 3.14 gives a new thread a copy of its starter's variables; others start it empty."""
    inherits = bool(getattr(sys.flags, "thread_inherit_context", False))

    with stores.open().span("x") as context:
        assert in_thread(shmctx.current) is (context if inherits else None)


def test_what_a_thread_enters_stays_in_that_thread(stores):
    store = stores.open()
    entered, leave = threading.Event(), threading.Event()

    def work():
        with store.span("thread"):
            entered.set()
            leave.wait(LIMIT)
            return shmctx.current().event_name

    with store.span("main") as main, ThreadPoolExecutor(1) as pool:
        future = pool.submit(shmctx.carry(work))
        assert entered.wait(LIMIT)
        assert shmctx.current() is main
        leave.set()
        assert future.result(LIMIT) == "thread"
