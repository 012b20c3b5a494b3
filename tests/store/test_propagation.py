"""The current context: with, async with, decorators, tasks, threads, generators."""

import asyncio
import contextvars

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


def test_to_thread_brings_the_context(stores):
    async def main():
        return await asyncio.to_thread(shmctx.current)

    with stores.open().span("x") as context:
        assert asyncio.run(main()) is context


def test_a_task_group_s_tasks_inherit_and_do_not_leak(stores):
    """Neither into each other, nor into the task that made the group, not even when one of them fails."""
    store = stores.open()
    refs = {}

    async def child(name, turn):
        with store.span(name):
            await turn.wait()
            refs[name] = store.put("leaf")
            if name == "fails":
                raise ZeroDivisionError

    async def grouped(parent):
        turn = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for name in ("a", "b", "fails"):
                group.create_task(child(name, turn))
            await asyncio.sleep(0)
            assert shmctx.current() is parent
            turn.set()

    async def main():
        with store.span("parent") as parent:
            with pytest.raises(ExceptionGroup):
                await grouped(parent)
            assert shmctx.current() is parent
        return parent

    parent = asyncio.run(main())
    assert set(refs) == {"a", "b", "fails"}
    for name, ref in refs.items():
        own = store[store[ref].parent_ref]
        assert (own.event_name, own.parent_ref) == (name, parent.ref)


def test_a_callback_runs_in_the_context_it_was_scheduled_in(stores):
    store = stores.open()

    async def main():
        loop = asyncio.get_running_loop()
        found = loop.create_future()
        with store.span("x") as context:
            loop.call_later(0, lambda: found.set_result(shmctx.current()))
        assert await found is context

    asyncio.run(main())


def test_one_span_object_in_two_tasks_at_once(stores):
    """Entered a, b and left a, b: each task gets its own former context back."""
    store = stores.open()
    span = store.span("shared")

    async def task(entered, others):
        async with span as own:
            entered.set()
            await others.wait()
            assert shmctx.current() is own
        return shmctx.current()

    async def main():
        a, b = asyncio.Event(), asyncio.Event()
        with store.span("parent") as parent:
            assert await asyncio.gather(task(a, b), task(b, a)) == [parent, parent]

    asyncio.run(main())


def test_nested_events_inherit_what_stands_and_nothing_of_the_moment(stores):
    store = stores.open()
    standing = {"agent_id": "a", "session": {"id": "s", "k": 1}, "correlation_id": "corr_own", "_custom": [1]}

    @store.span("middle")
    async def handle():
        await asyncio.sleep(0)
        return shmctx.current(), store[store.put("leaf")]

    async def main():
        with store.span("top", event_id="evt_own", timestamp=1.0, tags=["t"], **standing) as top:
            return top, *await asyncio.create_task(handle())

    chain = asyncio.run(main())
    for depth, context in enumerate(chain):
        assert context.depth == depth
        assert (context.agent_id, context.session, context.correlation_id) == ("a", {"id": "s", "k": 1}, "corr_own")
        assert (context.root_event_id, context.custom) == ("evt_own", {"_custom": [1]})
    assert [context.parent_event_id for context in chain] == [None, "evt_own", chain[1].event_id]
    assert len({context.event_id for context in chain}) == len({context.ref for context in chain}) == 3
    assert chain[0].timestamp == 1.0 < min(context.timestamp for context in chain[1:])
    assert [context.tags for context in chain] == [["t"], None, None]


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
