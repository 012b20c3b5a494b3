"""Middleware: around the handling of every event."""

import contextvars

import msgspec
import pytest
from running import run

import shmctx


def test_middleware_lies_around_the_handlers_in_order_of_registration(store, router):
    order = []

    def of(name):
        async def middleware(event, call_next):
            order.append(f"{name} before {event.event_name}")
            assert shmctx.current() is event.context
            results = await call_next(event)
            order.append(f"{name} after {results}")
            return results

        return router.middleware(middleware)

    of("outer")
    of("inner")
    router.on("x")(lambda: order.append("handler"))
    results = run(router.emit("x", {"a": 1}))
    assert order == ["outer before x", "inner before x", "handler", "inner after [None]", "outer after [None]"]
    assert results == [None]
    assert store[results.ref].custom["_handlers"].keys() == {"<lambda>"}


def test_handlers_get_the_data_that_middleware_passes_on_and_the_store_keeps_its_own(store, router):
    @router.middleware
    async def adds(event, call_next):
        return await call_next(msgspec.structs.replace(event, data={**event.data, "added": 1}))

    router.on("x")(lambda data: data)
    results = run(router.emit("x", {"a": 1}))
    assert results == [{"a": 1, "added": 1}]
    assert store.event(results.ref).data == {"a": 1}


def test_middleware_may_answer_itself_and_change_results(store, router):
    called = []
    router.on("*")(lambda: called.append(1))

    @router.middleware
    async def answers(event, call_next):
        return ["from the cache"] if event.event_name == "cached" else await call_next(event)

    @router.middleware
    async def returns_nothing(event, call_next):
        await call_next(event)

    assert run(router.emit("cached")) == ["from the cache"]
    assert called == []
    assert run(router.emit("x")) == [None]
    assert called == [1]


def test_what_middleware_raises_goes_to_the_emitter_and_into_the_store(store, router):
    called = []
    router.on("x")(lambda: called.append(1))

    @router.middleware
    async def denies(event, call_next):
        raise PermissionError(f"no {event.data['what']}")

    with pytest.raises(PermissionError, match="no entry"):
        run(router.emit("x", {"what": "entry"}))
    assert called == []
    (context,) = store.query()
    assert (context.error_type, context.error_message) == ("PermissionError", "no entry")
    assert context.custom["_handler"] == "middleware"
    assert run(router.shutdown()) is True


def test_failing_handlers_are_told_through_middleware(store, router):
    seen = []

    @router.middleware
    async def watches(event, call_next):
        results = await call_next(event)
        seen.append((event.event_name, [failure.handler for failure in results.errors]))
        return results

    @router.on("x")
    def fails():
        raise ValueError

    run(router.emit("x"))
    assert seen == [("x", ["fails"]), ("event:error", [])]


def test_what_middleware_does_to_contextvars_reaches_handlers_and_not_the_emitter(router):
    variable = contextvars.ContextVar("variable", default="unset")

    @router.middleware
    async def sets(event, call_next):
        variable.set("by middleware")
        return await call_next(event)

    @router.on("x")
    def reads():
        return variable.get()

    async def main():
        results = await router.emit("x")
        return results, variable.get()

    assert run(main()) == (["by middleware"], "unset")


def test_emit_first_goes_through_middleware_too(router):
    called = []

    @router.middleware
    async def watches(event, call_next):
        called.append("middleware")
        return await call_next(event)

    for result in (None, 1, 2):
        router.on("x")(lambda result=result: called.append(result) or result)
    assert run(router.emit_first("x")) == 1
    assert called == ["middleware", None, 1]
