"""When checkpoints are taken: every interval, at the end, several at once, cancelled."""

import asyncio

import pytest
from apps import restarted
from running import run

import shmctx
from shmctx.checkpoints import Checkpoints


def test_one_is_taken_every_interval_at_the_start_and_at_the_end(application, store):
    async def live():
        app = application(settings={"interval": 0.02}, n=1)
        follower = store.follow(event_name="checkpoint:taken")
        seen = []
        async with app.checkpoints, follower:
            async for event in follower:
                seen.append(event.data["reason"])
                if len(seen) == 4:
                    break
        return app, seen

    app, seen = run(live())
    assert seen == ["start", "interval", "interval", "interval"]
    reasons = [made.reason for made in run(app.checkpoints.list())]
    assert reasons[0] == "shutdown"
    assert {context.depth for context in store.query(event_name="checkpoint:taken")} == {0}


def fill(store):
    """Until not even a small record fits. Raises RingFull."""
    while True:
        store.put("filler")


def test_an_interval_goes_on_after_a_checkpoint_that_was_not_taken(stores, caplog, wait_for):
    """The ring is full and nobody drains; then somebody does."""
    store = stores.leaderless(1 << 14, durable_timeout=0.2)

    async def live():
        checkpoints = Checkpoints(store, interval=0.01)
        checkpoints.register("one", lambda: 1, lambda _: None)
        leader = stores.attach(standby=True)
        async with checkpoints:
            leader.close()
            with pytest.raises(shmctx.RingFull):
                fill(store)
            await asyncio.to_thread(wait_for, lambda: "No checkpoint of main was taken" in caplog.text)
            stores.attach(standby=True)
            async for event in store.follow(event_name="checkpoint:taken"):
                if event.data["reason"] == "interval":
                    break

    run(live())


def test_the_end_lets_one_that_is_being_taken_finish(application):
    """No participant is cancelled, or captured twice at once."""
    app = application(settings={"interval": 0.001})
    begun, ended = asyncio.Event(), []

    async def capture():
        begun.set()
        for _ in range(20):
            await asyncio.sleep(0.001)
        ended.append(None)

    async def live():
        app.register("slow", capture)
        async with app.checkpoints:
            ended.clear()
            begun.clear()
            await begun.wait()

    run(live())
    assert len(ended) == 2  # that one, and the last


def test_the_end_of_an_application_that_fails_is_a_checkpoint_too(application):
    app = application(n=1)

    async def live():
        async with app.checkpoints:
            app.states["n"] = 2
            raise KeyError("its own")

    with pytest.raises(KeyError):
        run(live())
    assert restarted(application, n=0) == {"n": 2}


def test_a_store_that_is_gone_at_the_end_is_told(application, store):
    async def live(error=None):
        async with application(n=1).checkpoints:
            store.close()
            if error:
                raise error

    with pytest.raises(shmctx.StoreClosed):
        run(live())


def test_checkpoints_at_once_come_one_after_the_other(application, store):
    app = application(n=0)

    async def count():
        app.states["n"] += 1
        await asyncio.sleep(0)
        return app.states["n"]

    async def many():
        app.failing("n", count)
        return await asyncio.gather(*(app.checkpoints.take() for _ in range(5)))

    made = run(many())
    assert [one.kept[:1] for one in made[1:]] == [(one.ref,) for one in made[:-1]]
    assert restarted(application, n=0) == {"n": 5}


def test_a_checkpoint_that_is_cancelled_is_whole_or_not_there(application):
    """Wherever the cancellation comes, the next one is behind it."""
    app = application(n=0)

    async def cancelled():
        for app.states["n"] in range(1, 12):
            task = asyncio.ensure_future(app.checkpoints.take())
            for _ in range(app.states["n"]):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
        app.states["n"] = 100
        await app.checkpoints.take()

    run(cancelled())
    assert restarted(application, n=0) == {"n": 100}


def test_a_cancelled_one_does_not_come_later(stores, wait_for):
    """It waits for space in the ring when it is cancelled, and there is space a moment after it has ended."""
    store = stores.leaderless(1 << 14, put_timeout=0.5)
    checkpoints = Checkpoints(store)
    with pytest.raises(shmctx.RingFull):
        fill(store)

    async def live():
        before = store.stats()["counters"]["space_waits"]
        task = asyncio.ensure_future(checkpoints.take())
        await asyncio.to_thread(wait_for, lambda: store.stats()["counters"]["space_waits"] > before)
        task.cancel()
        await asyncio.wait({task})
        stores.drain()

    run(live())
    assert store.query(event_name="checkpoint:taken") == []
