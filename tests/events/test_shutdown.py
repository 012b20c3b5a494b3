"""shutdown: nothing new from outside, what runs finishes or is cancelled, what it emits meanwhile goes through."""

import asyncio
import threading

import pytest
from running import run

import shmctx
from shmctx.errors import RouterClosed
from shmctx.events import EventRouter


def test_a_router_that_was_left_takes_no_events_and_stores_none(store, router):
    router.on("x")(lambda: 1)

    async def main():
        async with router:
            assert await router.emit("x") == [1]
        with pytest.raises(RouterClosed):
            await router.emit("x")
        with pytest.raises(RouterClosed):
            router.wait_for("x", timeout=1)
        assert await router.shutdown()

    run(main())
    assert len(store) == 1


def test_running_handlers_finish_and_what_they_emit_goes_through(store, router):
    begun, go_on = asyncio.Event(), asyncio.Event()

    @router.on("work")
    async def work():
        begun.set()
        await go_on.wait()
        nested = await router.emit("nested")
        spawned = await asyncio.create_task(router.emit("nested"))
        return [*nested, *spawned]

    @router.on("nested")
    async def nested():
        await asyncio.sleep(0)
        return "nested"

    async def main():
        working = asyncio.create_task(router.emit("work"))
        await begun.wait()
        closing = asyncio.create_task(router.shutdown())
        await asyncio.sleep(0)
        with pytest.raises(RouterClosed, match="shutting down"):
            await router.emit("work")
        assert not closing.done()
        go_on.set()
        assert await closing is True
        return await working

    results = run(main())
    assert results.errors == []
    assert results == [["nested", "nested"]]
    assert [context.event_name for context in store.query()] == ["work", "nested", "nested"]


def test_an_event_that_a_handler_leaves_behind_is_waited_for(store, router):
    """Emitted in a task of its own, which outlives the handler."""
    go_on = asyncio.Event()
    tasks = []

    @router.on("starts")
    async def starts():
        tasks.append(asyncio.create_task(router.emit("late")))
        await asyncio.sleep(0)

    @router.on("late")
    async def late():
        await go_on.wait()
        return "late"

    async def main():
        await router.emit("starts")
        closing = asyncio.create_task(router.shutdown())
        await asyncio.sleep(0)
        assert not closing.done()
        go_on.set()
        assert await closing is True
        return await tasks[0]

    assert run(main()) == ["late"]


@pytest.mark.parametrize("others", [0, 2])
def test_handlers_that_do_not_end_are_cancelled_and_the_emitter_goes_on(store, router, others):
    """A cancelled handler has failed; the task that emitted is not cancelled."""
    begun = asyncio.Event()

    async def hangs():
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await router.emit("cleaned:up")

    router.on("x")(hangs)
    for _ in range(others):
        router.on("x")(lambda: "fine")

    async def emitter():
        results = await router.emit("x")
        await asyncio.sleep(0)  # would raise, were the task cancelled
        assert asyncio.current_task().cancelling() == 0
        return results

    async def main():
        emitting = asyncio.create_task(emitter())
        await begun.wait()
        assert await router.shutdown(0.05) is False
        return await emitting

    results = run(main())
    (failure,) = results.errors
    assert (failure.handler, type(failure.error)) == ("hangs", RouterClosed)
    assert store[results.ref].error_type == "RouterClosed"
    assert {context.event_name for context in store.children(results.ref)} == {"cleaned:up", "event:error"}


@pytest.mark.parametrize("how", ["nested", "gathered", "spawned"])
def test_the_whole_chain_of_a_hanging_handler_ends(store, router, how):
    """Whatever lies between the outermost handler and the one that hangs: none of them goes on."""
    begun = asyncio.Event()
    went_on = []

    @router.on("outer")
    async def outer():
        if how == "nested":
            await router.emit("inner")
        elif how == "gathered":
            await asyncio.gather(router.emit("inner"), router.emit("inner"))
        else:
            await asyncio.create_task(router.emit("inner"))
        went_on.append("outer")

    router.on("outer")(lambda: None)

    @router.on("inner")
    async def inner():
        begun.set()
        await asyncio.Event().wait()
        went_on.append("inner")

    async def main():
        emitting = asyncio.create_task(router.emit("outer"))
        await begun.wait()
        assert await router.shutdown(0.05) is False
        return await emitting

    results = run(main())
    assert [failure.handler for failure in results.errors] == ["outer"]
    assert went_on == []
    assert not router._life.running


def test_who_is_cancelled_by_others_too_stays_cancelled(router):
    begun = asyncio.Event()

    @router.on("x")
    async def hangs():
        begun.set()
        await asyncio.Event().wait()

    async def main():
        emitting = asyncio.create_task(router.emit("x"))
        await begun.wait()
        closing = asyncio.create_task(router.shutdown(0))
        emitting.cancel()
        await closing
        with pytest.raises(asyncio.CancelledError):
            await emitting

    run(main())


def test_a_handler_that_ignores_its_cancellation_does_not_hold_the_shutdown_up(router, caplog, monkeypatch):
    monkeypatch.setattr("shmctx.events.lifecycle._UNWIND", 0.05)
    begun, go_on = asyncio.Event(), asyncio.Event()

    @router.on("x")
    async def stubborn():
        begun.set()
        while not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                continue
        return "ended after all"

    async def main():
        emitting = asyncio.create_task(router.emit("x"))
        await begun.wait()
        assert await router.shutdown(0.01) is False
        assert not emitting.done()
        go_on.set()
        return await emitting

    assert run(main()) == ["ended after all"]
    assert "does not end" in caplog.text


def test_a_handler_may_shut_its_own_router_down(store, router):
    @router.on("stop")
    async def stop():
        return await router.shutdown()

    assert run(router.emit("stop")) == [True]
    with pytest.raises(RouterClosed):
        run(router.emit("stop"))


def test_shutting_down_twice_at_once(router):
    begun, go_on = asyncio.Event(), asyncio.Event()

    @router.on("x")
    async def work():
        begun.set()
        await go_on.wait()

    async def main():
        emitting = asyncio.create_task(router.emit("x"))
        await begun.wait()
        both = asyncio.gather(router.shutdown(), router.shutdown())
        await asyncio.sleep(0)
        go_on.set()
        assert await both == [True, True]
        await emitting

    run(main())


def test_what_runs_in_another_thread_s_loop_is_waited_for_and_stopped(router):
    begun = threading.Event()

    @router.on("x")
    async def hangs():
        begun.set()
        await asyncio.Event().wait()

    found = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(router.emit("x"))))
    thread.start()

    async def main():
        assert await asyncio.to_thread(begun.wait, 20)
        assert await router.shutdown(0.05) is False

    run(main())
    thread.join(20)
    assert type(found[0].errors[0].error) is RouterClosed


def test_other_routers_and_the_store_are_not_affected(store, router):
    other = EventRouter(store)
    other.on("x")(lambda: "other")

    @router.on("x")
    async def handler():
        closing = asyncio.create_task(other.shutdown())
        await closing
        with pytest.raises(RouterClosed):
            await other.emit("x")  # from outside of it, though inside of a handler
        return store.put("y")

    results = run(router.emit("x"))
    assert results.errors == []
    assert store[results[0]].parent_ref == results.ref
    assert run(router.emit("z")) == []


def test_who_waits_for_an_event_is_told(router):
    async def main():
        waiting = router.wait_for("x", timeout=None)
        await router.shutdown()
        with pytest.raises(RouterClosed):
            await waiting

    run(main())


def test_an_exception_leaves_the_router_closed(router):
    async def main():
        with pytest.raises(ZeroDivisionError):
            async with router:
                raise ZeroDivisionError
        with pytest.raises(shmctx.ShmctxError):
            await router.emit("x")

    run(main())
