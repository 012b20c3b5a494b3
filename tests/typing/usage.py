"""Typed usage of the public surface. Never run: mypy --strict reads it."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, assert_type

import shmctx
from shmctx import Context, Store, analysis
from shmctx.agents import Agents, Exit
from shmctx.sessions import Session


def opening() -> None:
    store = shmctx.open("ksi", db="var/contexts.db", ring_size=64 << 20)
    assert_type(store, Store)
    assert_type(shmctx.attach("ksi", standby=True), Store)
    assert_type(shmctx.attach("ksi", settings=shmctx.Settings(put_timeout=1.0)), Store)
    with shmctx.attach("ksi") as inside:
        assert_type(inside, Store)
    store.close()
    shmctx.unlink("ksi")
    as_mapping: Mapping[str, Context] = store
    assert_type(as_mapping["x"], Context)


def putting(store: Store) -> None:
    ref = store.put("agent:status", agent_id="a-7", durable=True, _trial=4)
    assert_type(ref, str)
    assert_type(store.put_many(["a", ("b", {"agent_id": "x"}), {"event_name": "c"}]), list[str])
    store.annotate(ref, error="boom")
    store.flush(timeout=1.5)
    with store.span("agent:spawn", session={"id": "s-1"}) as context:
        assert_type(context, Context)
        assert_type(shmctx.current(), Context | None)
    with shmctx.bound(context) as same:
        assert_type(same, Context)


def reading(store: Store, ref: str) -> None:
    assert_type(store[ref], Context)
    assert_type(store.get_bytes(ref), bytes | None)
    assert_type(store.query(agent_id="a", since=1.0, limit=3, newest_first=True), list[Context])
    assert_type(store.children(ref), list[Context])
    assert_type(store.ancestors(ref), list[Context])
    assert_type(store.siblings(ref), list[Context])
    assert_type(store.session("s-1"), Session)
    assert_type(analysis.chain(store.descendants(ref)), analysis.Chain)
    assert_type(store.descendants(ref, max_depth=2), list[Context])
    assert_type(store.stats(), dict[str, Any])
    assert_type(list(store), list[str])
    assert_type(ref in store, bool)
    assert_type([context.event_name for context in store.values()], list[str])


def fields(context: Context) -> None:
    assert_type(context.ref, str)
    assert_type(context.event_id, str)
    assert_type(context.correlation_id, str)
    assert_type(context.parent_event_id, str | None)
    assert_type(context.depth, int)
    assert_type(context.timestamp, float)
    assert_type(context.time_ns, int)
    assert_type(context.session, dict[str, Any] | None)
    assert_type(context.tags, list[str] | None)
    assert_type(context.custom, dict[str, Any])
    assert_type(context.to_dict(), dict[str, Any])


def decorated(store: Store) -> None:
    @store.span("work")
    def work(number: int) -> str:
        return str(number)

    @store.span("wait")
    async def wait(number: int) -> bytes:
        return bytes(number)

    assert_type(work(3), str)

    async def use() -> None:
        assert_type(await wait(3), bytes)
        async with store.span("inside") as context:
            assert_type(context, Context)


async def awaiting(store: Store, ref: str) -> None:
    assert_type(await store.aio.query(agent_id="a"), list[Context])
    assert_type(await store.aio.resolve(ref), Context)
    assert_type(await store.aio.children(ref), list[Context])
    assert_type(await store.aio.put("x", agent_id="a"), str)
    await store.aio.flush(timeout=1.0)


def errors(store: Store, ref: str) -> str:
    try:
        store[ref]
    except shmctx.ContextNotFound as error:
        as_key_error: KeyError = error
        print(as_key_error)
        assert_type(error.hint, str)
        return error.message
    return ""


def carried(store: Store) -> None:
    @store.span("numbers")
    def numbers(end: int) -> Iterator[int]:
        yield from range(end)

    def work(number: int) -> str:
        return str(number)

    assert_type(numbers(3), Iterator[int])
    assert_type(shmctx.carry(work)(1), str)
    with shmctx.propagating(ThreadPoolExecutor()) as pool:
        assert_type(pool.submit(work, 1), Future[str])
    assert_type(shmctx.task(work)(1), str)


async def crossing(store: Store) -> None:
    with shmctx.from_env(store.child_env({}), standby=True) as child:
        assert_type(child, Store)
    assert_type(shmctx.current_store(), Store)
    assert_type(store.child_env(), dict[str, str])
    assert_type(store.to_wire("ctx_x", local=False, fields=["agent_id"]), str | dict[str, Any])
    assert_type(store.accept({"_event_id": "evt_1"}), str)
    async with Agents(store) as agents:
        agent = agents.spawn("a", ["true"], restart="always", _trial=1)
        assert_type(await agent.wait(), Exit)
        assert_type(agents["a"].pid, int | None)


async def following(store: Store) -> None:
    with store.follow(since="begin", event_name="agent:*", catch_up=False, timeout=1.5) as follower:
        assert_type([event.event_name for event in follower], list[str])
        assert_type(follower.position, int)
        assert_type(follower.missed, list[tuple[int, int]])
    async with store.follow(agent_id="a") as follower:
        async for event in follower:
            assert_type(event.context, Context)
            assert_type(event.data, dict[str, Any] | None)
