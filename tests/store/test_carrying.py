"""Carrying the current context: generators of both kinds, threads, executors."""

import asyncio
import contextvars
import functools
import gc
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

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


# ---- generators as decorated functions ----


def test_a_decorated_generator_is_inside_while_its_body_runs_and_outside_at_each_yield(stores):
    store = stores.open()

    @store.span("generator")
    def numbers():
        """Some numbers."""
        inside = [shmctx.current()]
        got = yield 1
        inside.append(shmctx.current())
        with store.span("nested") as nested:
            yield got
            assert shmctx.current() is nested
        inside.append(shmctx.current())
        return inside

    with store.span("caller") as caller:
        generator = numbers()
        assert len(store) == 1  # the body has not begun
        assert next(generator) == 1
        assert shmctx.current() is caller
        assert generator.send("sent") == "sent"
        assert shmctx.current() is caller
        with pytest.raises(StopIteration) as end:
            next(generator)
        assert shmctx.current() is caller

    first, *others = end.value.value
    assert first.event_name == "generator"
    assert first.parent_ref == caller.ref
    assert others == [first, first]
    assert numbers.__doc__ == "Some numbers."


def test_two_generators_in_turn_keep_their_own_contexts(stores):
    store = stores.open()

    @store.span("generator")
    def refs():
        while True:
            yield shmctx.current().ref

    first, second = refs(), refs()
    taken = [(next(first), next(second)) for _ in range(3)]

    assert len(set(taken)) == 1
    assert taken[0][0] != taken[0][1]
    assert shmctx.current() is None


def test_what_is_thrown_into_a_decorated_generator_reaches_its_body(stores):
    store = stores.open()
    seen = []

    @store.span("generator")
    def careful():
        try:
            yield 1
        except KeyError as error:
            seen.append((error, shmctx.current().event_name))
            yield 2
        finally:
            seen.append(shmctx.current().event_name)

    error = KeyError("x")
    generator = careful()
    next(generator)
    assert generator.throw(error) == 2
    generator.close()
    assert seen == [(error, "generator"), "generator"]

    failing = careful()
    next(failing)
    with pytest.raises(ZeroDivisionError):
        failing.throw(ZeroDivisionError())
    assert shmctx.current() is None


def test_a_body_that_yields_when_it_is_closed_is_an_error_as_without_decorator(stores):
    @stores.open().span("generator")
    def stubborn():
        try:
            yield 1
        except GeneratorExit:
            yield 2

    generator = stubborn()
    next(generator)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        generator.close()


def test_a_generator_closed_in_another_context_neither_raises_nor_leaks(stores):
    store = stores.open()
    closing = []

    @store.span("generator")
    def numbers():
        try:
            yield 1
        finally:
            closing.append(shmctx.current().event_name)

    with store.span("here") as here:
        generator = numbers()
        next(generator)
        elsewhere = contextvars.Context()
        elsewhere.run(generator.close)
        assert elsewhere.run(shmctx.current) is None
        assert shmctx.current() is here
    assert closing == ["generator"]


def test_a_decorated_async_generator_is_inside_while_its_body_runs(stores):
    store = stores.open()

    @store.span("generator")
    async def numbers():
        own = shmctx.current()
        got = yield own
        await asyncio.sleep(0)
        assert shmctx.current() is own
        try:
            yield got
        except KeyError:
            assert shmctx.current() is own
            yield "caught"

    async def main():
        with store.span("caller") as caller:
            generator = numbers()
            own = await anext(generator)
            assert shmctx.current() is caller
            assert await generator.asend("sent") == "sent"
            assert await generator.athrow(KeyError()) == "caught"
            assert shmctx.current() is caller
            assert [item async for item in generator] == []
            assert shmctx.current() is caller
        return caller, own

    caller, own = asyncio.run(main())
    assert (own.event_name, own.parent_ref) == ("generator", caller.ref)


@pytest.mark.parametrize("end", ["aclose in another task", "collected", "loop ends"])
def test_an_abandoned_async_generator_ends_in_its_own_context(stores, end):
    """Its clean-up awaits, so whoever finalises it has to come back; nobody is told of an error, nothing leaks."""
    store = stores.open()
    closing, complaints, kept = [], [], []
    closed = asyncio.Event()

    @store.span("generator")
    async def numbers():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            closing.append(shmctx.current().event_name)
            closed.set()

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        with store.span("caller") as caller:
            generator = numbers()
            await anext(generator)
            if end == "loop ends":
                kept.append(generator)
                return
            if end == "collected":
                del generator
                gc.collect()
                await closed.wait()
            else:
                await asyncio.create_task(generator.aclose())
            assert shmctx.current() is caller

    asyncio.run(asyncio.wait_for(main(), LIMIT))
    assert closing == ["generator"]
    assert complaints == []
    assert shmctx.current() is None


def test_a_coroutine_that_is_closed_elsewhere_neither_raises_nor_leaks(stores):
    store = stores.open()

    @store.span("call")
    async def work(waiting):
        await waiting

    loop = asyncio.new_event_loop()
    try:
        coroutine = work(loop.create_future())
        contextvars.Context().run(coroutine.send, None)
        with store.span("here") as here:
            coroutine.close()
            assert shmctx.current() is here
    finally:
        loop.close()


def test_a_decorator_takes_methods_partials_and_callable_objects(stores):
    store = stores.open()

    class Callable:
        async def __call__(self):
            await asyncio.sleep(0)
            return shmctx.current().event_name

        async def method(self):
            return await self()

    async def given(value):
        await asyncio.sleep(0)
        return shmctx.current().event_name, value

    async def main():
        span = store.span("x")
        return [
            await span(Callable())(),
            await span(Callable().method)(),
            await span(functools.partial(functools.partial(given), 1))(),
            span(len)("abc"),
        ]

    assert asyncio.run(main()) == ["x", "x", ("x", 1), 3]
    assert [context.event_name for context in store.query()] == ["x"] * 4


# ---- threads and executors ----


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


def test_an_executor_of_processes_is_refused_with_the_way_that_works():
    with ProcessPoolExecutor(1) as pool, pytest.raises(TypeError, match="give other processes its ref"):
        shmctx.propagating(pool)


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
