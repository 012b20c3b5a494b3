"""Handlers that raise, hang, or emit in a loop; and what is told of it."""

import asyncio
import logging
import threading

import pytest
from running import run

import shmctx
from shmctx.errors import DepthExceeded, EventTimeout
from shmctx.events import EventRouter
from shmctx.events.failing import MAX_CHAIN


@pytest.fixture
def told(router):
    """The error events, as (data, context)."""
    events = []
    router.on("event:error")(lambda data, context: events.append((data, context)))
    return events


def error_fields(context):
    return context.error, context.error_type, context.error_message, context.custom.get("_handler")


def test_a_failing_handler_does_not_hinder_the_others(store, router, told):
    def fails(data):
        raise ValueError(f"no {data['what']}")

    async def fails_later():
        await asyncio.sleep(0)
        raise KeyError("later")

    router.on("x", priority=1)(fails)
    router.on("x", priority=2)(lambda: "fine")
    router.on("x", priority=3)(fails_later)
    results = run(router.emit("x", {"what": "luck"}))
    assert results == ["fine"]
    assert [failure.handler for failure in results.errors] == ["fails", "fails_later"]
    assert [type(failure.error) for failure in results.errors] == [ValueError, KeyError]
    stored = store[results.ref]
    assert error_fields(stored) == (True, "ValueError", "no luck", "fails")
    assert stored.custom["_handlers"].keys() == {each.name for each in router.handlers if each.patterns == ("x",)}
    (first, context), (second, _) = told
    assert first == {
        "event": "x",
        "handler": "fails",
        "error_type": "ValueError",
        "error_message": "no luck",
        "chain": [results.ref],
    }
    assert second["handler"] == "fails_later"
    assert context.parent_ref == results.ref
    assert context.correlation_id == results.context.correlation_id


def test_a_failure_is_logged_and_told_even_if_nobody_handles_it(store, router, caplog):
    @router.on("x")
    def fails():
        return 1 / 0

    results = run(router.emit("x"))
    (error,) = store.children(results.ref)
    assert error.event_name == "event:error"
    assert store.event(error.ref).data["error_type"] == "ZeroDivisionError"
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("shmctx", logging.ERROR)
    assert "fails" in record.message
    assert results.ref in record.message


def test_an_error_event_names_the_chain_it_came_from(store, router, told):
    @router.on("level")
    async def level(data):
        await router.emit("level", {"left": data["left"] - 1}) if data["left"] else 1 / 0

    with store.span("outside") as outside:
        results = run(router.emit("level", {"left": 2}))
    second, third = (context.ref for context in store.descendants(results.ref) if context.event_name == "level")
    assert [data["chain"] for data, _ in told] == [[outside.ref, results.ref, second, third]]


def test_a_long_chain_is_told_as_far_as_it_may_be(store, router, told):
    @router.on("x")
    def fails():
        raise ValueError

    ref = store.put("start")
    refs = [ref] + [ref := store.put("link", parent=ref) for _ in range(MAX_CHAIN + 5)]
    results = run(router.emit("x", parent=refs[-1]))
    ((data, _),) = told
    assert data["chain"] == [*refs[-MAX_CHAIN:], results.ref]


def test_a_failing_error_handler_is_logged_and_annotated_and_never_recursive(store, router, caplog):
    @router.on("event:error")
    async def fails_too():
        raise LookupError("too")

    @router.on("x")
    def fails():
        raise ValueError("x")

    results = run(router.emit("x"))
    (error,) = store.descendants(results.ref)
    assert error_fields(error) == (True, "LookupError", "too", "fails_too")
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


def test_error_handlers_that_emit_what_fails_do_not_begin_again(store, router):
    calls = []

    @router.on("event:error")
    async def repeats(data):
        calls.append(data["handler"])
        return await router.emit("x")

    @router.on("x")
    def fails():
        raise ValueError("x")

    results = run(router.emit("x"))
    assert calls == ["fails"]
    assert [context.event_name for context in store.descendants(results.ref)] == ["event:error", "x"]


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    "error,message",
    [
        (ValueError("\ud800 alone"), "\\ud800 alone"),
        (ValueError("x" * 100_000), "x" * 2000),
        (Unprintable(), "<Unprintable without a text>"),
        (ValueError(), ""),
    ],
    ids=["lone surrogate", "long", "unprintable", "empty"],
)
def test_every_error_can_be_stored(router, told, error, message, caplog):
    caplog.set_level(logging.CRITICAL, "shmctx")  # a log need not be able to hold it

    @router.on("x")
    def fails():
        raise error

    results = run(router.emit("x"))
    assert router.store[results.ref].error_message == message
    assert told[0][0]["error_message"] == message


@pytest.mark.parametrize("others", [0, 1])
def test_a_handler_that_hangs_is_ended_by_the_router_s_limit(store, others):
    router = EventRouter(store, handler_timeout=0.05)
    ended = []

    @router.on("x")
    async def hangs():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(shmctx.current().event_name)

    for _ in range(others):
        router.on("x")(lambda: "fine")
    results = run(router.emit("x"))
    assert list(results) == ["fine"] * others
    assert [(failure.handler, type(failure.error)) for failure in results.errors] == [("hangs", EventTimeout)]
    assert ended == ["x"]
    assert error_fields(store[results.ref])[1:] == ("EventTimeout", "Handler hangs took longer than 0.05 s.", "hangs")


def test_a_thread_that_hangs_is_not_waited_for(store):
    router = EventRouter(store, handler_timeout=0.05)
    release = threading.Event()

    @router.on("x", thread=True)
    def hangs():
        release.wait(20)

    async def main():
        try:
            return await router.emit("x")
        finally:
            release.set()

    (failure,) = run(main()).errors
    assert isinstance(failure.error, EventTimeout)


def test_a_handler_s_own_timeout_is_its_own_error(store):
    router = EventRouter(store, handler_timeout=20)

    @router.on("x")
    async def gives_up():
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    (failure,) = run(router.emit("x")).errors
    assert type(failure.error) is TimeoutError


@pytest.mark.parametrize("others", [0, 1])
def test_a_handler_that_is_cancelled_by_itself_has_failed(store, router, others):
    @router.on("x")
    async def awaits_what_was_cancelled():
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    for _ in range(others):
        router.on("x")(lambda: "fine")
    results = run(router.emit("x"))
    assert list(results) == ["fine"] * others
    assert store[results.ref].error_type == "CancelledError"


@pytest.mark.parametrize("handlers", [1, 3])
def test_a_cancelled_emitter_cancels_its_handlers(store, router, handlers, told):
    begun, ended, all_begun = [], [], asyncio.Barrier(handlers + 1)

    async def hangs(context):
        begun.append(context.ref)
        try:
            await all_begun.wait()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(shmctx.current().ref)
            raise

    for _ in range(handlers):
        router.on("x")(hangs)

    async def main():
        task = asyncio.create_task(router.emit("x"))
        await all_begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert ended == begun
    assert error_fields(store[begun[0]])[:2] == (True, "CancelledError")
    assert told == []


def test_a_time_limit_of_the_emitter_holds(store, router):
    @router.on("x")
    async def hangs():
        await asyncio.Event().wait()

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await router.emit("x")
        assert asyncio.current_task().cancelling() == 0

    run(main())


@pytest.mark.parametrize("spawn", [False, True])
def test_handlers_that_emit_in_a_loop_are_stopped(store, spawn, told):
    """In each other's handlers, or in tasks of their own."""
    router = EventRouter(store, max_depth=5)

    @router.on("ping")
    async def ping():
        results = await (asyncio.create_task(router.emit("pong")) if spawn else router.emit("pong"))
        return [*results.errors, *results]

    @router.on("pong")
    async def pong():
        results = await (asyncio.create_task(router.emit("ping")) if spawn else router.emit("ping"))
        return [*results.errors, *results]

    results = run(router.emit("ping"))
    names = [context.event_name for context in store.descendants(results.ref)]
    assert names == ["pong", "ping", "pong", "ping", "event:error"]
    found = results
    while isinstance(found, list) and found:
        found = found[0]
    assert isinstance(found.error, DepthExceeded)
    assert "5 handlers" in str(found.error)


def test_a_chain_may_be_deeper_than_handlers_may_lie_in_each_other(store):
    """The limit is for loops, not for long conversations."""
    router = EventRouter(store, max_depth=3)

    @router.on("message")
    async def message(context):
        return context.depth

    async def main():
        ref = None
        for depth in range(10):
            results = await router.emit("message", parent=ref)
            assert results == [depth]
            ref = results.ref

    run(main())


def test_the_default_depth_fits_the_interpreter_s_stack(store, router):
    @router.on("down")
    async def down(data):
        results = await router.emit("down", {"n": data["n"] + 1})
        return (results + [failure.error for failure in results.errors])[0]

    (error,) = run(router.emit("down", {"n": 0}))
    assert isinstance(error, DepthExceeded)


def test_results_are_worth_more_than_their_annotation(stores, store, router, caplog):
    @router.on("x")
    def closes():
        store.close()
        return 1

    assert run(router.emit("x")) == [1]
    assert "not stored" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_program_is_no_handler_s_failure(store, router, error):
    @router.on("x")
    async def ends():
        raise error

    with pytest.raises(error):
        asyncio.run(router.emit("x"))
    (context,) = store.query(event_name="x")
    assert context.error_type == error.__name__
