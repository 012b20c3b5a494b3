"""wait_for and follow: the next event that fits, of this router or of any process."""

import asyncio
import threading

import pytest
from running import run

import shmctx
from shmctx.errors import EventTimeout


def test_it_waits_from_the_call_on(store, router):
    """Not only once it is awaited: what is emitted in between counts."""

    async def main():
        reply = router.wait_for("agent:*", timeout=20)
        await router.emit("other:ready")
        results = await router.emit("agent:ready", {"n": 1})
        await router.emit("agent:ready", {"n": 2})
        event = await reply
        assert (event.ref, event.data) == (results.ref, {"n": 1})
        await let_go()
        assert not router._waiters
        return event

    event = run(main())
    assert store.event(event.ref).data == event.data


def test_conditions(router):
    async def main():
        reply = router.wait_for("x", timeout=20, where=lambda event: event.data["n"] > 1)
        for n in range(4):
            await router.emit("x", {"n": n})
        assert (await reply).data == {"n": 2}
        failing = router.wait_for("x", timeout=20, where=lambda event: event.data["nosuch"])
        await router.emit("x", {})
        with pytest.raises(KeyError, match="nosuch"):
            await failing

    run(main())


def test_many_wait_for_one_event(router):
    async def main():
        replies = [router.wait_for("x", timeout=20) for _ in range(3)]
        results = await router.emit("x")
        assert {event.ref for event in await asyncio.gather(*replies)} == {results.ref}

    run(main())


@pytest.mark.parametrize("everywhere", [False, True])
def test_the_limit(router, everywhere):
    async def main():
        with pytest.raises(EventTimeout, match=r"agent:\* came within 0.02 s"):
            await router.wait_for("agent:*", timeout=0.02, everywhere=everywhere)
        await let_go()
        assert not router._waiters

    run(main())


@pytest.mark.parametrize("everywhere", [False, True])
def test_who_gives_up_is_forgotten(router, everywhere):
    async def main():
        reply = router.wait_for("x", timeout=20, everywhere=everywhere)
        await asyncio.sleep(0)
        reply.cancel()
        await let_go()
        assert not router._waiters
        await router.emit("x")

    run(main())


async def let_go():
    """Until the tasks that something cancelled have ended."""
    await asyncio.sleep(0)
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)


def test_events_emitted_in_another_thread_s_loop(router):
    async def main():
        reply = router.wait_for("x", timeout=20)
        thread = threading.Thread(target=lambda: asyncio.run(router.emit("x", {"n": 1})))
        thread.start()
        event = await reply
        await asyncio.to_thread(thread.join)
        return event

    assert run(main()).data == {"n": 1}


def test_patterns_that_are_none(router):
    async def main():
        for pattern in ("", None, 3):
            with pytest.raises(shmctx.InvalidField):
                router.wait_for(pattern, timeout=1)

    run(main())


OTHER = """
    import asyncio, sys, shmctx
    from shmctx.events import EventRouter

    with shmctx.attach(sys.argv[1]) as store:
        router = EventRouter(store)
        print("ready")
        for line in sys.stdin:
            print(asyncio.run(router.emit(line.strip(), {"from": "another process"}, agent_id="other")).ref)
"""


def test_events_of_other_processes(stores, store, router, spawn):
    other = spawn(OTHER, stores.name)
    assert other.line() == "ready"

    async def main():
        reply = router.wait_for("agent:*", timeout=20, everywhere=True, where=lambda event: event.data)
        own = router.wait_for("agent:*", timeout=20)
        other.say("noise")
        other.say("agent:ready")
        event = await reply
        assert not own.done()
        own.cancel()
        await let_go()
        return event

    event = run(main())
    noise, ref = other.line(), other.line()
    assert (event.ref, event.data, event.context.agent_id) == (ref, {"from": "another process"}, "other")
    assert event.ref != noise
    other.finish()


def test_everywhere_means_here_too(router):
    async def main():
        reply = router.wait_for("x", timeout=20, everywhere=True)
        results = await router.emit("x", {"n": 1})
        event = await reply
        await let_go()
        return results, event

    results, event = run(main())
    assert (event.ref, event.data) == (results.ref, {"n": 1})


def test_follow_is_the_store_s(store, router):
    async def main():
        async with router.follow(event_name="agent:*", timeout=20) as follower:
            await router.emit("other")
            results = await router.emit("agent:ready", {"n": 1})
            return results.ref, await anext(follower)

    ref, event = run(main())
    assert (event.ref, event.data) == (ref, {"n": 1})
