"""emit: the event is stored, its handlers run in its context, and nothing leaks."""

import asyncio
import contextvars
import threading

import pytest
from running import run

import shmctx
from shmctx.events import Event, EventRouter


def test_an_event_is_stored_before_its_handlers_run_and_is_current_in_them(store, router):
    seen = []

    @router.on("agent:spawn")
    async def spawned(data, context):
        seen.append((data, context, shmctx.current(), store.event(context.ref)))

    async def main():
        results = await router.emit("agent:spawn", {"agent": "a-7"}, agent_id="a-7", _trial=4)
        assert shmctx.current() is None
        return results

    results = run(main())
    ((data, context, current, stored),) = seen
    assert data == {"agent": "a-7"}
    assert current is context
    assert stored == Event(context, {"agent": "a-7"})
    assert results.context is context
    assert results.ref == context.ref
    assert (context.agent_id, context.custom, context.depth) == ("a-7", {"_trial": 4}, 0)


def test_an_event_without_handlers_is_stored_and_not_annotated(store, router):
    results = run(router.emit("nobody:listens", {"a": 1}))
    assert results == []
    assert store.event(results.ref).data == {"a": 1}
    assert store[results.ref].noted is None


def test_an_event_without_data_has_a_line_in_the_log_all_the_same(store, router):
    @router.on("x")
    def handler(data):
        return data

    results = run(router.emit("x"))
    assert results == [{}]
    assert store.event(results.ref).data == {}


def test_nested_emits_become_children(store, router):
    @router.on("level")
    async def handler(data, context):
        if data["left"]:
            (inner,) = await router.emit("level", {"left": data["left"] - 1})
            assert shmctx.current() is context
            return [context, *inner]
        return [context]

    ((first, second, third),) = run(router.emit("level", {"left": 2}, agent_id="a", session={"id": "s"}, _trial=1))
    assert [context.depth for context in (first, second, third)] == [0, 1, 2]
    assert second.parent_ref == first.ref
    assert third.parent_ref == second.ref
    assert {context.correlation_id for context in (first, second, third)} == {first.correlation_id}
    assert third.root_event_id == first.event_id
    assert (third.agent_id, third.session_id, third.custom) == ("a", "s", {"_trial": 1})
    assert len({first.event_id, second.event_id, third.event_id}) == 3
    assert store[third.ref].parent_ref == second.ref


def test_children_of_gather_and_of_task_groups(store, router):
    @router.on("leaf")
    async def leaf(context):
        await asyncio.sleep(0)
        return context

    @router.on("gathers")
    async def gathers():
        return [result for (result,) in await asyncio.gather(*(router.emit("leaf") for _ in range(3)))]

    @router.on("groups")
    async def groups():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(router.emit("leaf")) for _ in range(3)]
        return [task.result()[0] for task in tasks]

    for name in ("gathers", "groups"):
        results = run(router.emit(name))
        assert {leaf.parent_ref for leaf in results[0]} == {results.ref}
        assert {leaf.depth for leaf in results[0]} == {1}
        assert len(store.children(results.ref)) == 3


def test_siblings_do_not_see_each_other_s_context(router):
    """Handlers of one event, all inside at the same time: each is in the event's context, whatever the others enter."""
    inside = asyncio.Barrier(3)

    async def body(data, context):
        assert shmctx.current() is context
        with router.store.span("inner") as inner:
            await inside.wait()
            assert shmctx.current() is inner
            await inside.wait()
        assert shmctx.current() is context
        return inner.parent_ref

    for _ in range(3):
        router.on("x")(body)
    results = run(router.emit("x"))
    assert results.errors == []
    assert list(results) == [results.ref] * 3


@pytest.mark.parametrize("handlers", [1, 2])
def test_what_a_handler_does_to_contextvars_stays_in_it(router, handlers):
    variable = contextvars.ContextVar("variable", default="unset")

    async def asynchronous():
        seen = variable.get()
        variable.set("changed")
        router.store.span("never left").__enter__()
        await asyncio.sleep(0)
        assert variable.get() == "changed"
        return seen

    def synchronous():
        seen = variable.get()
        variable.set("changed")
        router.store.span("never left").__enter__()
        return seen

    for _ in range(handlers):
        router.on("asynchronous")(asynchronous)
        router.on("synchronous")(synchronous)

    async def main():
        variable.set("the emitter's")
        for name in ("asynchronous", "synchronous"):
            results = await router.emit(name)
            assert list(results) == ["the emitter's"] * handlers
            assert variable.get() == "the emitter's"
            assert shmctx.current() is None

    run(main())


def test_concurrent_emits_of_many_tasks_stay_apart(store, router):
    @router.on("outer")
    async def outer(data):
        await asyncio.sleep(0)
        (inner,) = await router.emit("inner", {"n": data["n"]})
        return inner

    @router.on("inner")
    async def inner(data, context):
        await asyncio.sleep(0)
        return data["n"], context.parent_ref, context.agent_id

    async def main():
        return await asyncio.gather(*(router.emit("outer", {"n": n}, agent_id=f"a-{n}") for n in range(50)))

    for n, results in enumerate(run(main())):
        assert results[0] == (n, results.ref, f"a-{n}")


def test_emits_from_threads_with_loops_of_their_own(store, router):
    @router.on("x")
    async def handler(data, context):
        await asyncio.sleep(0)
        return data["n"], context.depth

    results = {}

    def work(n):
        with store.span("thread"):
            results[n] = [asyncio.run(router.emit("x", {"n": n}))[0] for _ in range(20)]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results == {n: [(n, 1)] * 20 for n in range(4)}


def test_emit_threadsafe_emits_a_child_of_the_calling_thread_s_event(store, router):
    @router.on("blocking", thread=True)
    def blocking(data, context):
        assert threading.current_thread() is not threading.main_thread()
        assert shmctx.current() is context
        return router.emit_threadsafe("inner", {"from": "thread"}).result(10)

    @router.on("inner")
    async def inner(data, context):
        assert threading.current_thread() is threading.main_thread()
        await asyncio.sleep(0)
        return data, context.parent_ref

    results = run(router.emit("blocking"))
    assert results.errors == []
    assert results[0][0] == ({"from": "thread"}, results.ref)


def test_emit_threadsafe_from_a_plain_thread_uses_the_loop_that_entered_the_router(router):
    @router.on("x")
    async def handler():
        return threading.current_thread() is threading.main_thread()

    async def main():
        with pytest.raises(shmctx.ShmctxError, match="async with"):
            router.emit_threadsafe("x")
        async with router:
            return await asyncio.to_thread(lambda: router.emit_threadsafe("x").result(10))

    assert run(main()) == [True]


def test_context_and_annotation_survive_in_the_database(stores, store, router):
    @router.on("x")
    async def handler():
        return await router.emit("y")

    results = run(router.emit("x", {"a": 1}))
    store.close()
    shmctx.unlink(stores.name)
    again = stores.open(rehydrate=False)
    assert again.get_bytes(results.ref) is None
    cold = again[results.ref].custom
    assert cold["_handlers"].keys() == {"handler"}
    assert 0 <= cold["_handlers"]["handler"] <= cold["_duration_ms"]
    assert again.event(results.ref).data == {"a": 1}
    assert again[results[0].ref].parent_ref == results.ref


def test_an_event_is_annotated_once(store, router):
    """However many handlers it has."""
    for _ in range(3):
        router.on("x")(lambda: None)
    annotated = []

    class Watched:
        def __getattr__(self, name):
            return getattr(store, name)

        def note(self, context, fields):
            annotated.append((context.ref, set(fields)))
            store.note(context, fields)

    router.store = Watched()
    results = run(router.emit("x"))
    assert annotated == [(results.ref, {"_duration_ms", "_handlers"})]
    assert len(store[results.ref].custom["_handlers"]) == 3


def test_two_routers_share_a_store(store, router):
    other = EventRouter(store)

    @router.on("x")
    async def first():
        return (await other.emit("y"))[0]

    @other.on("y")
    async def second(context):
        return context.parent_ref

    results = run(router.emit("x"))
    assert list(results) == [results.ref]
