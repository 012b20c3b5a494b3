"""Followers that are slower than the ring: what they missed is told exactly, and read from the database or not."""

import asyncio
import os
import random

import pytest

import shmctx
from shmctx.hot import segment as segments
from shmctx.hot._core import CONTEXT, GRANULE, parse_ref

RING = 1 << 14  # 256 granules


def position(ref):
    return parse_ref(ref)[1]


def there(follower):
    return [event.ref for event in follower]


def run_over(store, count, **fields):
    """Put until far more than the ring holds has been put and drained."""
    refs = [store.put("x", **fields) for _ in range(count)]
    store.flush()
    assert store.get_bytes(refs[0]) is None
    return refs


def inside(stretches, ref):
    return any(start <= position(ref) < end for start, end in stretches)


@pytest.fixture(params=["for", "async for"])
def read(request):
    """`read(follower)`: the refs of all there is."""

    async def read_async(follower):
        return [event.ref async for event in follower]

    return there if request.param == "for" else lambda follower: asyncio.run(read_async(follower))


def test_what_was_overwritten_is_told_and_comes_from_the_database(stores, read):
    store = stores.open(RING)
    seen = store.put("seen")
    with store.follow(since="begin", timeout=0) as follower:
        assert read(follower) == [seen]
        start = follower.position
        refs = run_over(store, 1000)

        assert read(follower) == refs
    (missed,) = follower.missed
    hot = [ref for ref in refs if store.get_bytes(ref) is not None]
    assert missed == (start, position(hot[0]))
    assert follower.damaged == []


def test_without_catching_up_it_is_told_and_passed_over(stores, read):
    store = stores.open(RING)
    with store.follow(timeout=0, catch_up=False) as follower:
        refs = run_over(store, 1000)
        delivered = read(follower)

    assert 0 < len(delivered) < 200
    assert delivered == refs[-len(delivered) :]
    assert [ref for ref in refs if inside(follower.missed, ref)] == refs[: -len(delivered)]


def test_data_and_annotations_that_were_overwritten_come_too(stores):
    store = stores.open(RING)
    follower = store.follow(event_name="wanted", timeout=0)
    ref = store.put("wanted", data={"n": 1, "content": "y" * 2000})
    store.annotate(ref, error="late")
    run_over(store, 1000)
    (event,) = follower

    assert (event.ref, event.data, event.context.error) == (ref, {"n": 1, "content": "y" * 2000}, "late")


def test_more_than_one_question_s_worth_of_missed_events(stores):
    store = stores.open(RING)
    follower = store.follow(event_name="x", timeout=0)
    refs = run_over(store, 3000)

    assert there(follower) == refs
    assert len(follower.missed) == 1


@pytest.mark.parametrize("catch_up", [True, False])
def test_whatever_the_pace_each_event_is_delivered_or_told_once(stores, seed, catch_up):
    """Puts of many sizes and reads in turn, at random, the ring overwritten again and again."""
    dice = random.Random(seed)
    store = stores.open(RING, put_timeout=20)
    follower = store.follow(timeout=0, catch_up=catch_up)
    put, delivered = [], []
    for _ in range(60):
        for _ in range(dice.choice([1, 10, 300])):
            fields = {"data": {"k": "x" * dice.randrange(300)}} if dice.random() < 0.3 else {}
            put.append(store.put("x", agent_id="a" * dice.randrange(1, 200), **fields))
        if dice.random() < 0.1:
            follower = store.follow(since=follower.position, timeout=0, catch_up=catch_up)
            told_before = follower.missed
            assert told_before == []
        for event in follower:
            delivered.append(event.ref)
            if dice.random() < 0.02:
                break
    delivered += there(follower)

    assert delivered == sorted(set(delivered))
    assert set(delivered) <= set(put)
    assert follower.damaged == []
    if catch_up:
        assert delivered == put


def test_without_catching_up_delivered_and_missed_are_everything(stores, seed):
    dice = random.Random(seed)
    store = stores.open(RING, put_timeout=20)
    follower = store.follow(timeout=0, catch_up=False)
    put, delivered = [], []
    for _ in range(40):
        put += [store.put("x", agent_id="a" * dice.randrange(1, 300)) for _ in range(dice.choice([1, 10, 300]))]
        for event in follower:
            delivered.append(event.ref)
            if dice.random() < 0.02:
                break
    delivered += there(follower)
    missed = [ref for ref in put if inside(follower.missed, ref)]

    assert missed
    assert sorted(delivered + missed) == put
    assert follower.missed == sorted(follower.missed)


def test_a_follower_is_overtaken_again_and_again_while_another_process_puts(stores, spawn):
    """It reads as fast as it can, in a ring that turns many times while it does."""
    stores.open(RING, put_timeout=20)
    store = stores.attach()
    follower = store.follow(timeout=1)
    agent = spawn(
        """
        import shmctx, sys
        with shmctx.attach(sys.argv[1], settings=shmctx.Settings(put_timeout=20)) as store:
            for number in range(5000):
                store.put("x", data={"n": number, "fill": "x" * (number % 200)})
        print("done")
        """,
        stores.name,
    )
    numbers = []
    while agent.lines.empty():
        numbers += [event.data["n"] for event in follower]
    numbers += [event.data["n"] for event in follower]
    agent.finish()

    assert numbers == list(range(5000))
    assert follower.damaged == []


def test_what_the_database_cannot_give_now_comes_when_it_can(stores):
    store = stores.open(RING)
    store.put("x", durable=True)
    agent = stores.attach()
    with agent.follow(timeout=0) as follower:
        refs = run_over(store, 1000)
        away = stores.database.with_suffix(".away")
        stores.database.rename(away)
        for _ in range(2):
            with pytest.raises(shmctx.ColdError, match="no database"):
                next(follower)
        away.rename(stores.database)

        assert there(follower) == refs
        assert len(follower.missed) == 1


# ---- damage ----


def scribble(stores, store, ref):
    """Change one byte of a record's payload."""
    ring_bytes = store.stats()["ring_bytes"]
    with segments.path_of(stores.name).open("r+b") as file:
        ring = os.fstat(file.fileno()).st_size - ring_bytes
        file.seek(ring + (position(ref) * GRANULE) % ring_bytes + GRANULE + 1)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x10]))


def test_a_damaged_record_is_told_and_passed_over(stores, read):
    store = stores.leaderless(RING)
    with store.follow(timeout=0) as follower:
        refs = store.put_many(["a", "b", "c", "d"])
        for ref in (refs[0], refs[2]):
            scribble(stores, store, ref)

        assert read(follower) == [refs[1], refs[3]]
    assert follower.damaged == [(position(refs[0]), position(refs[1])), (position(refs[2]), position(refs[3]))]
    assert follower.missed == []


def test_a_record_that_was_damaged_after_it_was_drained_comes_from_the_database(stores, read):
    store = stores.leaderless(RING)
    with store.follow(timeout=0) as follower:
        refs = [store.put("x", data={"n": n}) for n in range(4)]
        stores.drain()
        for ref in refs[1:3]:
            scribble(stores, store, ref)

        assert read(follower) == refs
    assert follower.damaged == [(position(refs[1]), position(refs[3]))]


def test_the_end_of_the_ring_is_no_damage(stores):
    """Records that would cross it are preceded by padding."""
    store = stores.open(RING)
    follower = store.follow(timeout=0)
    refs = []
    for number in range(300):
        refs.append(store.put("x", agent_id="a" * (number * 7 % 400)))
        if number % 20 == 0:
            store.flush()
        refs_seen = there(follower)
        assert refs_seen == refs[-1:]

    assert (follower.missed, follower.damaged) == ([], [])


def test_a_record_that_is_no_context_is_told(stores):
    """Its checksum fits, so some process of the same user wrote it."""
    store = stores.leaderless(RING)
    follower = store.follow(timeout=0)
    odd = store._ring.append(CONTEXT, b"\xc1", 0, None, None, None, None, None)
    ref = store.put("x")

    assert there(follower) == [ref]
    assert follower.damaged == [(position(odd), position(odd) + 1)]


def test_control_words_that_cannot_be_are_an_error_and_not_followed(stores):
    store = stores.leaderless(RING)
    follower = store.follow(timeout=0)
    store.put("x")
    head = store._ring.positions()[1].to_bytes(8, "little")
    image = segments.path_of(stores.name).read_bytes()
    with segments.path_of(stores.name).open("r+b") as file:
        for at in range(0, 1 << 14, 8):
            if image[at : at + 8] == head:  # head, and reserved
                file.seek(at)
                file.write(b"\xff" * 8)

    with pytest.raises(shmctx.SegmentCorrupt, match="control words"):
        next(follower)
