"""Generators, coroutines and other callables as decorated functions: in their own context, and only while they run."""

import asyncio
import contextvars
import functools
import gc

import pytest

import shmctx

LIMIT = 30  # seconds


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
