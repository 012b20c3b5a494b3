"""The segment loses its name, or its machine, while somebody follows: nothing is lost and nothing comes twice."""

import asyncio
import itertools
import random

import pytest

from shmctx.hot import segment as segments

LIMIT = 30  # seconds


def there(follower):
    return [event.ref for event in follower]


def lose_the_name(stores, store, wait_for):
    """Remove the segment's name and wait for the leader's next generation."""
    before = store.stats()["generation"]
    segments.unlink(stores.name)
    wait_for(lambda: store.stats()["generation"] != before)


@pytest.mark.parametrize("rehydrate", [True, False])
@pytest.mark.parametrize("catch_up", [True, False])
@pytest.mark.parametrize("read", [0, 1, 5], ids=lambda count: f"{count} read before")
def test_what_was_put_before_and_after_comes_once(stores, wait_for, rehydrate, catch_up, read):
    """Not catching up is for what was overwritten; what lay in the former segment was not."""
    store = stores.open(rehydrate=rehydrate)
    agent = stores.attach()
    follower = agent.follow(timeout=0, catch_up=catch_up)
    refs = [agent.put("before", data={"n": n}) for n in range(5)]
    found = [event.ref for event in itertools.islice(follower, read)]
    lose_the_name(stores, store, wait_for)
    refs += [agent.put("after", data={"n": n}) for n in range(5)]
    events = list(follower)

    assert found + [event.ref for event in events] == refs
    assert [event.data["n"] for event in events] == [*range(read, 5), *range(5)]
    assert (follower.missed, follower.damaged) == ([], [])


@pytest.mark.parametrize("face", ["for", "async for"])
def test_a_follower_that_sleeps_goes_on_in_the_next_segment(stores, wait_for, face):
    store = stores.open()
    agent = stores.attach()

    async def following():
        async with agent.follow(timeout=LIMIT) as follower:
            waiting = asyncio.ensure_future(anext(follower))
            await asyncio.to_thread(lose_the_name, stores, store, wait_for)
            ref = store.put("after")
            assert (await waiting).ref == ref

    if face == "for":
        follower = agent.follow(timeout=LIMIT)
        lose_the_name(stores, store, wait_for)
        ref = store.put("after")
        assert next(follower).ref == ref
    else:
        asyncio.run(asyncio.wait_for(following(), LIMIT))


def test_generation_after_generation_at_any_pace(stores, wait_for, seed):
    """Puts, reads and lost names at random, in a ring that is overwritten meanwhile."""
    dice = random.Random(seed)
    store = stores.open(1 << 14, put_timeout=20)
    agent = stores.attach(put_timeout=20)
    follower = agent.follow(timeout=0)
    put, found = [], []
    for _ in range(12):
        count = dice.choice([1, 20, 400])
        put += [dice.choice([store, agent]).put("x", agent_id="a" * dice.randrange(1, 200)) for _ in range(count)]
        found += [event.ref for event in itertools.islice(follower, dice.choice([0, 1, 10, 1000]))]
        if dice.random() < 0.6:
            lose_the_name(stores, store, wait_for)
    found += there(follower)

    assert found == put
    assert follower.damaged == []
