"""Registration: patterns, priorities, what a handler is called with, what it gives back."""

import asyncio
import contextvars
import functools
import threading

import pytest
from running import run

import shmctx
from shmctx.events import Event, Priority
from shmctx.events.handlers import _MAX_PLANS


@pytest.mark.parametrize(
    "pattern,matching,others",
    [
        ("agent:spawn", ["agent:spawn"], ["agent:spawned", "agent:Spawn", "x:agent:spawn", "agent:*"]),
        ("agent:*", ["agent:", "agent:spawn", "agent:a:b"], ["agent", "agents:spawn", "Agent:spawn"]),
        ("*", ["x", "a:b", ""], []),
        ("?:x", ["a:x"], [":x", "ab:x"]),
        ("[ab]:*", ["a:1", "b:2"], ["c:3"]),
    ],
)
def test_patterns(router, pattern, matching, others):
    router.on(pattern)(lambda event_name: event_name)
    for name in matching:
        assert run(router.emit(name)) == [name]
    for name in others:
        assert run(router.emit(name)) == []


def test_one_handler_of_several_patterns_is_called_once(router):
    router.on("a:*", "*:b")(lambda event_name: event_name)
    assert [run(router.emit(name)) for name in ("a:b", "a:c", "c:b", "c")] == [["a:b"], ["a:c"], ["c:b"], []]


def test_handlers_may_come_and_go_between_events(router):
    def first():
        return 1

    def second():
        return 2

    router.on("x")(first)
    assert run(router.emit("x")) == [1]
    router.on("*")(second)
    assert run(router.emit("x")) == [1, 2]
    assert router.off(first) == 1
    assert run(router.emit("x")) == [2]
    assert router.off(first) == 0


def test_results_come_in_order_of_priority_whoever_ends_first(router):
    """Lower numbers first; of equal priority, who registered first."""
    ended = []

    def of(name, pauses):
        async def handler():
            for _ in range(pauses):
                await asyncio.sleep(0)
            ended.append(name)
            return name

        return handler

    router.on("x", priority=Priority.LOW)(of("low", 0))
    router.on("x")(of("normal", 1))
    router.on("x")(of("normal too", 0))
    router.on("x", priority=Priority.HIGHEST)(of("highest", 5))
    assert run(router.emit("x")) == ["highest", "normal", "normal too", "low"]
    assert ended[-1] == "highest"


def test_functions_run_in_order_of_priority(router):
    called = []
    for priority in (30, -1, 20):
        router.on("x", priority=priority)(functools.partial(called.append, priority))
    run(router.emit("x"))
    assert called == [-1, 20, 30]


def test_handlers_begin_in_order_of_priority_even_if_some_wait(router):
    begun = []

    async def waits():
        begun.append("waits")
        await asyncio.sleep(0)
        begun.append("waited")

    router.on("x", priority=1)(waits)
    router.on("x", priority=2)(lambda: begun.append("function"))
    router.on("x", priority=3)(waits)
    run(router.emit("x"))
    assert begun == ["waits", "function", "waits", "waited", "waited"]


def test_coroutine_handlers_run_at_the_same_time(router):
    barrier = asyncio.Barrier(3)
    for _ in range(3):
        router.on("x")(barrier.wait)
    assert sorted(run(router.emit("x"))) == [0, 1, 2]


SERVICE = object()


@pytest.mark.parametrize(
    "handler,expected",
    [
        (lambda: "nothing", "nothing"),
        (lambda data: data, "data"),
        (lambda payload: payload, "data"),
        (lambda payload, ctx: (payload, ctx), "data context"),
        (lambda data, context: (data, context), "data context"),
        (lambda context, data: (data, context), "data context"),
        (lambda context: context, "context"),
        (lambda context, payload: (payload, context), "data context"),
        (lambda *, context: context, "context"),
        (lambda *, data, context: (data, context), "data context"),
        (lambda event: event, "event"),
        (lambda event_name: event_name, "name"),
        (lambda data, retries=3: (data, retries), "data 3"),
        (lambda data, retries=3, context=None: (data, retries, context), "data 3 context"),
        (lambda *both: both, "data context"),
        (lambda data, *others: (data, others), "data ()"),
        (lambda data, **others: (data, others), "data {}"),
        (lambda service: service, "service"),
        (lambda data, service: (data, service), "data service"),
        (lambda data, *, service: (data, service), "data service"),
        (lambda data, service=None: (data, service), "data service"),
        (lambda payload, service, ctx: (payload, service, ctx), "data service context"),
        (functools.partial(lambda fixed, data: (fixed, data), 3), "3 data"),
    ],
)
def test_what_a_handler_is_called_with(router, handler, expected):
    router.registry.register("service", SERVICE)
    router.on("x")(handler)
    results = run(router.emit("x", {"a": 1}))
    known = {
        "nothing": "nothing",
        "data": {"a": 1},
        "context": results.context,
        "event": Event(results.context, {"a": 1}),
        "name": "x",
        "service": SERVICE,
        "3": 3,
        "()": (),
        "{}": {},
    }
    wanted = [known[word] for word in expected.split()]
    assert results.errors == []
    assert (list(results[0]) if isinstance(results[0], tuple) else results) == wanted


def test_methods_and_callable_objects_are_handlers(router):
    class Agent:
        def method(self, data):
            return "method", data

        async def coroutine(self, data):
            return "coroutine", data

        async def __call__(self, data):
            return "object", data

    agent = Agent()
    for handler in (agent.method, agent.coroutine, agent):
        router.on("x")(handler)
    assert run(router.emit("x", {"a": 1})) == [("method", {"a": 1}), ("coroutine", {"a": 1}), ("object", {"a": 1})]


def test_a_function_that_hides_its_signature_gets_the_data(router):
    """ContextVar.get takes a default."""
    router.on("x")(contextvars.ContextVar("unset").get)
    assert run(router.emit("x", {"a": 1})) == [{"a": 1}]


def test_a_function_that_returns_an_awaitable_is_awaited(router):
    async def coroutine(n):
        await asyncio.sleep(0)
        return n, shmctx.current().event_name

    router.on("x")(lambda data: coroutine(data["n"]))
    assert run(router.emit("x", {"n": 1})) == [(1, "x")]


def test_a_thread_handler_runs_elsewhere_with_the_context(store, router):
    @router.on("x", thread=True)
    def handler(data, context):
        assert threading.current_thread() is not threading.main_thread()
        return store.put("inner"), context

    results = run(router.emit("x"))
    ref, context = results[0]
    assert context is results.context
    assert store[ref].parent_ref == results.ref


@pytest.mark.parametrize(
    "register",
    [
        lambda router: router.on()(print),
        lambda router: router.on("")(print),
        lambda router: router.on(3)(print),
        lambda router: router.on("x")(3),
        lambda router: router.on("x", thread=True)(asyncio.sleep),
    ],
)
def test_what_cannot_be_registered(router, register):
    with pytest.raises(shmctx.InvalidField):
        register(router)
    assert router.handlers == []


def test_handlers_have_names_of_their_own(router):
    def handler():
        return None

    for _ in range(3):
        router.on("x")(handler)
    assert [each.name for each in router.handlers] == ["handler", "handler#2", "handler#3"]
    assert run(router.emit("x")) == [None, None, None]


def test_event_names_without_end_do_not_fill_the_memory(router):
    router.on("n:*")(lambda event_name: event_name)

    async def main():
        for n in range(_MAX_PLANS + 10):
            assert await router.emit(f"n:{n}") == [f"n:{n}"]

    run(main())
    assert len(router._handlers.plans) <= _MAX_PLANS


def test_emit_first_stops_at_the_first_result(router):
    called = []

    def of(name, result, priority):
        async def handler():
            called.append(name)
            await asyncio.sleep(0)
            if result is ZeroDivisionError:
                raise result
            return result

        router.on("x", priority=priority)(handler)

    of("third", 0, 3)
    of("second", None, 2)
    of("first", ZeroDivisionError, 1)
    of("fourth", "not asked", 4)
    assert run(router.emit_first("x")) == 0
    assert called == ["first", "second", "third"]
    assert run(router.emit_first("y")) is None


def test_handlers_cannot_spoil_each_other_s_data(store, router):
    @router.on("x")
    def spoils(data):
        data["a"] = "spoiled"
        data["new"] = 1

    @router.on("x")
    def reads(data):
        return data

    given = {"a": 1}
    results = run(router.emit("x", given))
    assert results == [None, {"a": 1}]
    assert given == {"a": 1}
    assert store.event(results.ref).data == {"a": 1}
