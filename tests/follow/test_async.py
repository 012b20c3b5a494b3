"""Following from an event loop: nothing of it may wait, and nothing of it may be lost."""

import asyncio
import threading

import pytest

import shmctx
from shmctx.event import Event

LIMIT = 30  # seconds


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, LIMIT))


async def asleep(follower, wait_for):
    """Return when a follower's task waits for the ring."""
    await asyncio.to_thread(wait_for, lambda: (side := follower._side) and side._woken and not side._woken.done())


def test_events_come_as_they_are_put(stores, wait_for):
    store = stores.open()

    async def main():
        async with store.follow() as follower:
            for number in range(20):
                waiting = asyncio.ensure_future(anext(follower))
                await asleep(follower, wait_for)
                ref = store.put("x", data={"n": number})
                event = await waiting
                assert (event.ref, event.data) == (ref, {"n": number})

    run(main())


def test_the_events_of_another_process(stores, spawn):
    store = stores.open()

    async def main():
        async with store.follow(agent_id="other") as follower:
            other = spawn(
                "import sys, shmctx\n"
                "with shmctx.attach(sys.argv[1]) as s: [s.put('x', agent_id='other', _n=n) for n in range(500)]",
                stores.name,
            )
            found = [(await anext(follower)).context.custom["_n"] for _ in range(500)]
        await asyncio.to_thread(other.finish)
        return found

    assert run(main()) == list(range(500))


def test_others_run_while_a_follower_waits_and_while_it_reads(stores, wait_for):
    """The loop goes on beside a wait without end, and beside a long stretch in which nothing fits."""
    store = stores.open()

    async def main():
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counter = asyncio.ensure_future(count())
        async with store.follow(event_name="wanted") as follower:
            waiting = asyncio.ensure_future(anext(follower))
            await asleep(follower, wait_for)
            before = turns
            await asyncio.to_thread(wait_for, lambda: turns > before + 100)
            store.put_many(["noise"] * 5000)
            before = turns
            store.put("wanted")
            assert (await waiting).event_name == "wanted"
            assert turns - before >= 10  # 5000 records are some twenty scans
        counter.cancel()

    run(main())


def test_a_cancelled_wait_loses_nothing(stores, wait_for):
    store = stores.open()

    async def main():
        async with store.follow() as follower:
            for _ in range(5):
                for _ in range(3):  # the later ones take over the wait of the first
                    waiting = asyncio.ensure_future(anext(follower))
                    await asleep(follower, wait_for)
                    waiting.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await waiting
                refs = store.put_many(["a", "b"])
                assert [(await anext(follower)).ref for _ in refs] == refs

    run(main())


def test_a_wait_cut_short_while_the_database_is_asked_loses_nothing(stores):
    store = stores.open(1 << 14)

    async def main():
        async with store.follow(timeout=0) as follower:
            refs = [store.put("x", data={"n": n}) for n in range(600)]
            await store.aio.flush()
            found = []
            for turns in range(30):  # cancelled at each of its first steps
                waiting = asyncio.ensure_future(anext(follower))
                for _ in range(turns):
                    await asyncio.sleep(0)
                waiting.cancel()
                (event,) = await asyncio.gather(waiting, return_exceptions=True)
                if isinstance(event, Event):
                    found.append(event.ref)
            found += [event.ref async for event in follower]
        assert found == refs

    run(main())


@pytest.mark.parametrize("who", ["task", "thread"])
def test_close_ends_a_waiting_iteration(stores, who, wait_for):
    store = stores.open()

    async def main():
        follower = store.follow()

        async def follow():
            return [event async for event in follower]

        waiting = asyncio.ensure_future(follow())
        await asleep(follower, wait_for)
        if who == "task":
            follower.close()
        else:
            threading.Thread(target=follower.close).start()
        assert await waiting == []

    run(main())


def test_timeout_ends_and_the_iteration_can_be_taken_up_again(stores):
    store = stores.open()

    async def main():
        follower = store.follow(timeout=0.05)
        assert [event async for event in follower] == []
        refs = store.put_many(["a", "b"])
        assert [event.ref async for event in follower] == refs
        follower.close()
        assert [event async for event in follower] == []

    run(main())


def test_a_follower_goes_from_one_loop_to_the_next_and_to_none(stores, wait_for):
    store = stores.open()
    with store.follow() as follower:

        async def one():
            waiting = asyncio.ensure_future(anext(follower))
            await asleep(follower, wait_for)
            ref = store.put("x")
            assert (await waiting).ref == ref

        run(one())
        run(one())
        ref = store.put("y")
        assert next(follower).ref == ref


def test_many_followers_in_one_loop_each_get_what_fits(stores):
    store = stores.open()

    async def main():
        async def follow(name):
            async with store.follow(event_name=name) as follower:
                ready.release()
                return [(await anext(follower)).event_name for _ in range(50)]

        ready = asyncio.Semaphore(0)
        names = ["a:*", "b:*", "*:x", "*"]
        tasks = [asyncio.ensure_future(follow(name)) for name in names]
        for _ in names:
            await ready.acquire()
        await store.aio.put("c:y")
        for number in range(60):
            store.put("a:x" if number % 2 else "b:y")
            if number % 7 == 0:
                await asyncio.sleep(0)
        store.put_many(["a:x", "b:y", "c:x"] * 50)
        return [set(found) for found in await asyncio.gather(*tasks)]

    assert run(main()) == [{"a:x"}, {"b:y"}, {"a:x", "c:x"}, {"a:x", "b:y", "c:y"}]


def test_a_loop_that_ends_with_a_follower_open_lets_the_process_end(stores, spawn):
    store = stores.open()
    agent = spawn(
        """
        import asyncio, shmctx, sys

        async def main(store):
            follower = store.follow()
            task = asyncio.ensure_future(anext(follower))
            await asyncio.sleep(0.05)
            print("waiting")
            keep.append((follower, task))

        keep = []
        asyncio.run(main(shmctx.attach(sys.argv[1])))
        print("over")
        """,
        stores.name,
    )
    assert agent.line() == "waiting"
    assert agent.line() == "over"
    agent.finish()
    assert store.put("x")


def test_an_error_of_the_store_reaches_the_task(stores, wait_for):
    store = stores.open()

    async def main():
        follower = store.follow()
        waiting = asyncio.ensure_future(anext(follower))
        await asleep(follower, wait_for)
        await store.aio.close()
        with pytest.raises(shmctx.StoreClosed):
            await waiting

    run(main())
