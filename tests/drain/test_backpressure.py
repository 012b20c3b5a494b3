"""A full ring: producers wait, for a while; nothing that was handed out is overwritten."""

import threading

import pytest

import shmctx


def fill(store):
    """Put until the ring is full; returns the refs."""
    refs = []
    with pytest.raises(shmctx.RingFull) as caught:
        refs.extend(store.put("x", _n=number) for number in range(1000))
    return refs, caught.value


def test_without_a_leader_a_full_ring_is_an_error_that_says_so(stores):
    store = stores.leaderless(4096)
    refs, error = fill(store)

    assert 20 <= len(refs) <= 32
    assert "No process drains this store" in str(error)
    assert "shmctx daemon" in error.hint
    assert all(store[ref].custom == {"_n": number} for number, ref in enumerate(refs))
    assert list(store) == refs
    assert store.stats()["lag_share"] > 0.9
    assert store.stats()["counters"]["space_waits"] > 0


def test_put_many_and_annotate_meet_the_same_wall(stores):
    store = stores.leaderless(4096)
    refs, _ = fill(store)
    for call in (lambda: store.put_many(["a", "b"]), lambda: store.annotate(refs[0], error="e"),
                 lambda: store.span("c").__enter__(), lambda: store.put("d", session={"id": "s"})):  # fmt: skip
        with pytest.raises(shmctx.RingFull):
            call()
    assert list(store) == refs


def test_a_drain_releases_who_waits(stores):
    store = stores.leaderless(4096, put_timeout=30.0)
    with shmctx.attach(stores.name, settings=shmctx.Settings(put_timeout=0.05)) as hasty:
        refs, _ = fill(hasty)
    got = []
    threads = [threading.Thread(target=lambda: got.append(store.put("waited"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert got == []
    stores.drain()
    for thread in threads:
        thread.join(30)

    assert len(got) == 4
    assert all(store[ref].event_name == "x" for ref in refs)
    assert sorted(got) == [context.ref for context in store.query(event_name="waited")]


def test_ten_times_the_ring_goes_through_and_every_ref_resolves(stores):
    store = stores.open(8192, put_timeout=30.0)
    refs = [store.put("x", _n=number) for number in range(600)]

    assert [store[ref].custom["_n"] for ref in refs] == list(range(600))
    assert store.get_bytes(refs[0]) is None
    assert list(store) == refs
    assert store.stats()["counters"]["cold_hits"] > 0


def test_a_standby_leads_when_the_ring_is_full_and_nobody_drains(stores):
    store = stores.leaderless(4096)
    refs, _ = fill(store)
    with stores.attach(standby=True, put_timeout=30.0) as standby:
        late = standby.put("late")
        assert standby[late].event_name == "late"
        assert all(ref in standby for ref in refs)
