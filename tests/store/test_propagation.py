"""The current context: with, async with, decorators, tasks, threads, generators."""

import asyncio
import contextvars
import threading

import pytest

import shmctx


def test_a_span_is_current_inside_and_the_former_one_after(stores):
    store = stores.open()
    assert shmctx.current() is None
    with store.span("outer") as outer:
        assert shmctx.current() is outer
        with store.span("inner") as inner:
            assert shmctx.current() is inner
        assert shmctx.current() is outer
    assert shmctx.current() is None
    assert inner.parent_ref == outer.ref
    assert store[outer.ref] == outer
    assert store[inner.ref] == inner


def test_an_exception_leaves_the_span(stores):
    store = stores.open()
    with pytest.raises(ZeroDivisionError), store.span("x"):
        raise ZeroDivisionError
    assert shmctx.current() is None


def test_a_span_that_cannot_be_stored_changes_nothing(stores):
    store = stores.open()
    with store.span("outer") as outer:
        with pytest.raises(shmctx.InvalidField), store.span("inner", nosuch=1):
            pytest.fail("entered")
        assert shmctx.current() is outer


def test_a_decorator_stores_one_context_per_call(stores):
    store = stores.open()

    @store.span("call", agent_id="a")
    def work(levels):
        """Does the work."""
        assert shmctx.current().event_name == "call"
        return [shmctx.current().ref, *(work(levels - 1) if levels else ())]

    refs = work(3)
    assert work.__doc__ == "Does the work."
    assert [store[ref].depth for ref in refs] == [0, 1, 2, 3]
    assert len(store) == 4
    assert work(0)[0] not in refs
    assert shmctx.current() is None


def test_a_decorated_coroutine_is_inside_while_it_runs(stores):
    store = stores.open()

    @store.span("call")
    async def work():
        before = shmctx.current()
        await asyncio.sleep(0)
        assert shmctx.current() is before
        return before

    async def main():
        contexts = await asyncio.gather(work(), work())
        assert shmctx.current() is None
        return contexts

    first, second = asyncio.run(main())
    assert first.event_name == "call"
    assert first.ref != second.ref


def test_async_with(stores):
    store = stores.open()

    async def main():
        async with store.span("x") as context:
            await asyncio.sleep(0)
            assert shmctx.current() is context
        assert shmctx.current() is None

    asyncio.run(main())


def test_tasks_inherit_and_siblings_do_not_leak(stores):
    store = stores.open()

    async def child(name, started, others):
        inherited = shmctx.current()
        with store.span(name) as own:
            started.set()
            await others.wait()  # both are inside their spans now
            assert shmctx.current() is own
            ref = store.put("leaf")
        assert shmctx.current() is inherited
        return inherited, own, store[ref]

    async def main():
        with store.span("parent") as parent:
            a, b = asyncio.Event(), asyncio.Event()
            found = await asyncio.gather(child("a", a, b), child("b", b, a))
            task = asyncio.create_task(child("late", asyncio.Event(), a))
        assert shmctx.current() is None
        return parent, [*found, await task]  # it was made inside, and runs outside

    parent, found = asyncio.run(main())
    for inherited, own, leaf in found:
        assert inherited is parent
        assert own.parent_ref == parent.ref
        assert leaf.parent_ref == own.ref


def test_an_async_generator_closed_elsewhere_neither_raises_nor_leaks(stores):
    store = stores.open()

    async def numbers():
        with store.span("generator"):
            yield 1
            yield 2

    async def main():
        generator = numbers()
        with store.span("consumer") as consumer:
            await anext(generator)
            inside = shmctx.current()
        await asyncio.create_task(generator.aclose())  # another contextvars.Context than the one it entered
        return consumer, inside

    consumer, inside = asyncio.run(main())
    assert inside.parent_ref == consumer.ref
    assert shmctx.current() is None


def test_a_span_left_while_another_is_current_leaves_that_one_alone(stores):
    store = stores.open()

    def overlapping():
        first, second = store.span("first"), store.span("second")
        first.__enter__()
        inner = second.__enter__()
        first.__exit__(None, None, None)
        return inner, shmctx.current()

    inner, current = contextvars.copy_context().run(overlapping)
    assert current is inner
    assert shmctx.current() is None


def test_threads_begin_without_a_context_and_to_thread_brings_it(stores):
    store = stores.open()
    seen = []
    with store.span("x") as context:
        thread = threading.Thread(target=lambda: seen.append(shmctx.current()))
        thread.start()
        thread.join()

        async def main():
            return await asyncio.to_thread(shmctx.current)

        seen.append(asyncio.run(main()))

    assert seen == [None, context]


def test_bound_makes_a_context_of_another_process_current(stores, spawn):
    store = stores.open()
    with store.span("cause") as cause:
        pass
    agent = spawn(
        """
        import shmctx, sys
        with shmctx.attach(sys.argv[1]) as store, shmctx.bound(store[sys.argv[2]]) as current:
            assert shmctx.current() is current
            print(store.put("effect"))
        """,
        stores.name,
        cause.ref,
    )
    effect = store[agent.line()]
    agent.finish()

    assert (effect.parent_ref, effect.correlation_id) == (cause.ref, cause.correlation_id)
