"""Decorators of handlers and of plain functions: demands, limits, tags, samples."""

import asyncio
import inspect
import threading
import time

import pytest
from running import run

import shmctx
from shmctx.errors import ContextRequired, EventTimeout
from shmctx.events import context_sampling, context_tags, context_timeout, requires_context


def plain(result=None):
    """Returns what it is given."""
    return result


async def coroutine(result=None):
    """Returns what it is given."""
    await asyncio.sleep(0)
    return result


FUNCTIONS = pytest.mark.parametrize("function", [plain, coroutine])


def call(function, *arguments):
    """The result of a function or coroutine function, in the current context."""
    result = function(*arguments)
    return run(result) if inspect.iscoroutine(result) else result


@FUNCTIONS
@pytest.mark.parametrize(
    "decorator", [requires_context(), context_timeout(20), context_tags(["a"]), context_sampling(1)]
)
def test_decorated_functions_stay_what_they_are(store, function, decorator):
    decorated = decorator(function)
    assert inspect.iscoroutinefunction(decorated) == inspect.iscoroutinefunction(function)
    assert (decorated.__name__, decorated.__doc__) == (function.__name__, "Returns what it is given.")
    assert inspect.signature(decorated) == inspect.signature(function)
    with store.span("x"):
        assert call(decorated, 7) == 7


@FUNCTIONS
def test_a_context_is_required(store, function):
    decorated = requires_context()(function)
    with pytest.raises(ContextRequired) as refused:
        call(decorated)
    assert refused.value.problems == ("there is no current context",)
    with store.span("x"):
        assert call(decorated, 1) == 1


@FUNCTIONS
def test_all_that_is_missing_is_listed(store, function):
    decorated = requires_context(fields=("agent_id", "_client_id", "session", "_trial"), max_age=60, min_depth=2)(
        function
    )
    with (
        store.span("x", agent_id="a", timestamp=time.time() - 3600) as context,
        pytest.raises(ContextRequired) as refused,
    ):
        call(decorated)
    client, session, trial, age, depth = refused.value.problems
    assert (client, session, trial) == ("_client_id is missing", "session is missing", "_trial is missing")
    assert "60 s" in age
    assert depth == "its depth is 0, less than 2"
    assert context.ref in str(refused.value)
    assert function.__name__ in str(refused.value)


@FUNCTIONS
def test_a_context_with_all_that_is_required(store, function):
    decorated = requires_context(fields=("agent_id", "_agent_id", "session", "_trial"), max_age=60, min_depth=1)(
        function
    )
    with store.span("outer", agent_id="a", session={"id": "s"}, _trial=0), store.span("inner"):
        assert call(decorated, 1) == 1


def test_a_context_of_a_clock_that_was_ahead_is_not_old(store):
    with store.span("x", timestamp=time.time() + 3600):
        assert requires_context(max_age=1)(plain)(1) == 1


def test_a_handler_whose_demands_are_not_met_has_failed(store, router):
    @router.on("x")
    @requires_context(fields=["agent_id"])
    async def handler(data, context):
        return data["n"], context.agent_id

    assert run(router.emit("x", {"n": 1}, agent_id="a")) == [(1, "a")]
    results = run(router.emit("x", {"n": 1}))
    assert isinstance(results.errors[0].error, ContextRequired)
    assert store[results.ref].error_type == "ContextRequired"


def test_a_coroutine_ends_within_its_limit():
    ended = []

    @context_timeout(0.01)
    async def hangs():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    with pytest.raises(EventTimeout, match=r"hangs took longer than 0\.01 s"):
        run(hangs())
    assert ended == [1]


def test_nobody_waits_for_a_function_longer_than_its_limit(store):
    release, seen = threading.Event(), []

    @context_timeout(0.01)
    def hangs():
        seen.append(shmctx.current())
        release.wait(20)

    with store.span("x") as context:
        with pytest.raises(EventTimeout, match="hangs"):
            hangs()
        assert seen == [context]
    release.set()


def test_errors_of_limited_functions_are_their_own():
    @context_timeout(20)
    def fails():
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        fails()

    @context_timeout(20)
    async def fails_too():
        raise TimeoutError("own")

    with pytest.raises(TimeoutError, match="own") as raised:
        run(fails_too())
    assert not isinstance(raised.value, EventTimeout)


@FUNCTIONS
def test_tags_outside_of_handlers_are_stored_at_once_beside_others(store, function):
    decorated = context_tags(["b", "c"])(context_tags("a")(function))
    assert call(decorated, 1) == 1
    with store.span("x", tags=["first", "b"]) as context:
        assert call(decorated, 1) == 1
    assert store[context.ref].tags == ["first", "b", "c", "a"]


@pytest.mark.parametrize("handlers", [1, 3])
def test_tags_of_handlers_come_with_the_one_annotation(store, router, handlers):
    for n in range(handlers):

        @router.on("x")
        @context_tags([f"t{n}", "shared"])
        async def handler():
            await asyncio.sleep(0)
            with store.span("inner") as inner:
                context_tags(["inner"])(plain)()
            assert store[inner.ref].tags == ["inner"]

    results = run(router.emit("x", tags=["given"]))
    assert results.errors == []
    assert set(store[results.ref].tags) == {"given", "shared", *(f"t{n}" for n in range(handlers))}
    assert store[results.ref].custom["_duration_ms"] >= 0


def test_tags_from_a_task_that_outlives_its_handler(store, router):
    tasks, go_on = [], asyncio.Event()

    async def later():
        await go_on.wait()
        context_tags(["late"])(plain)()

    @router.on("x")
    @context_tags(["early"])
    async def handler():
        tasks.append(asyncio.create_task(later()))

    async def main():
        results = await router.emit("x")
        go_on.set()
        await tasks[0]
        return results

    assert store[run(main()).ref].tags == ["early", "late"]


@FUNCTIONS
def test_a_chain_is_sampled_as_a_whole(store, function):
    sampled = context_sampling(0.3)(function)
    chosen = 0
    for n in range(300):
        with store.span("root", correlation_id=f"c-{n}"):
            results = {call(sampled, 1) if function is plain or n < 10 else None}
            for _ in range(3):
                with store.span("child"):
                    results.add(call(sampled, 1) if function is plain or n < 10 else None)
        assert len(results) == 1
        chosen += results == {1}
    if function is plain:
        assert 60 < chosen < 120


@FUNCTIONS
def test_extremes_of_sampling(store, function):
    for n in range(20):
        with store.span("x", correlation_id=f"c-{n}"):
            assert call(context_sampling(1)(function), 1) == 1
            assert call(context_sampling(0)(function), 1) is None
    assert call(context_sampling(0)(function), 1) == 1  # no context, no chain


@pytest.mark.parametrize(
    "make",
    [
        lambda: context_sampling(1.1),
        lambda: context_sampling(-0.1),
        lambda: context_sampling("half"),
        lambda: context_sampling(float("nan")),
        lambda: context_timeout(0),
        lambda: context_timeout(None),
        lambda: context_tags([3]),
    ],
)
def test_arguments_that_make_no_sense(make):
    with pytest.raises(shmctx.InvalidField):
        make()
