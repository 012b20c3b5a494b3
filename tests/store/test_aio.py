"""store.aio: the same answers, awaited."""

import asyncio

import pytest

import shmctx


def run(main):
    return asyncio.run(asyncio.wait_for(main, 30))


def test_answers_are_those_of_the_store(stores, side):
    store = stores.leaderless()
    root = store.put("root", event_id="evt_00000001", agent_id="a", session={"id": "s"})
    refs = [store.put("child", parent=root, _n=number) for number in range(5)]
    store.annotate(root, error="e")
    store = side(store)

    async def main():
        aio = store.aio
        assert await aio.get(root) == store[root]
        assert (await aio.get("evt_00000001")).error == "e"
        assert (await aio.get(root)).session == {"id": "s"}
        assert await aio.query(agent_id="a", limit=3, newest_first=True) == store.query(
            agent_id="a", limit=3, newest_first=True
        )
        assert await aio.children(root) == store.children(root)
        assert await aio.ancestors(refs[0]) == store.ancestors(refs[0])
        assert await aio.descendants(root, max_depth=1) == store.descendants(root)
        assert await asyncio.gather(*map(aio.get, refs)) == [store[ref] for ref in refs]
        assert await aio.get(refs[0][:-4] + "zzzz", 7) == 7
        with pytest.raises(shmctx.ContextNotFound):
            await aio.resolve(refs[0][:-4] + "zzzz")

    run(main())


def test_what_waits_does_not_stop_the_loop(stores):
    store = stores.open()

    async def main():
        beats = 0

        async def beat():
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0)

        beating = asyncio.create_task(beat())
        refs = await asyncio.gather(*(store.aio.put("x", durable=True) for _ in range(3)))
        await store.aio.flush(timeout=30)
        beating.cancel()
        return beats, refs

    beats, refs = run(main())
    assert beats > 1
    assert all(stores.cold(store, ref) for ref in refs)


def test_puts_inherit_the_task_s_context(stores):
    store = stores.open()

    async def main():
        async with store.span("parent") as parent:
            return parent, await store.aio.put("child")

    parent, ref = run(main())
    assert store[ref].parent_ref == parent.ref


def test_one_store_serves_several_event_loops_one_after_the_other(stores):
    store = stores.leaderless()
    ref = store.put("x")
    stores.drain()

    async def main():
        found = await store.aio.query(event_name="x")
        return [context.ref for context in found]

    assert [run(main()) for _ in range(3)] == [[ref]] * 3


def test_close_ends_it_and_is_idempotent(stores):
    store = stores.open()
    ref = store.put("x")

    async def main():
        await store.aio.query(event_name="x")
        aio = store.aio
        await aio.close()
        await aio.close()
        for call in (aio.get(ref), aio.query(), aio.children(ref), aio.put("y"), aio.flush()):
            with pytest.raises(shmctx.StoreClosed):
                await call

    run(main())
