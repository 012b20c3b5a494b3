"""Contexts leave the ring by age: when they are in the database, and never because the clock is wrong."""

import time

import pytest
from traces import DAY

HOUR = DAY // 24


def positions(store):
    return store.stats()["positions"]


def test_what_is_old_leaves_the_ring_and_is_found_in_the_database(stores, wait_for):
    now = time.time_ns()
    store = stores.open(hot_ttl=3600)
    old = [store.put("old", _n=n, time_ns=now - 2 * HOUR) for n in range(1000)]
    young = store.put("young")
    store.flush()

    wait_for(lambda: store.get_bytes(old[-1]) is None)

    assert [store.get_bytes(ref) for ref in old] == [None] * 1000
    assert [store[ref].custom["_n"] for ref in old[::97]] == list(range(0, 1000, 97))
    assert store.get_bytes(young) is not None
    assert [context.ref for context in store.query(event_name="old")] == old


def test_what_is_not_drained_stays_however_old_it_is(stores):
    store = stores.leaderless(hot_ttl=0.0)
    refs = [store.put("old", time_ns=1 + n) for n in range(10)]

    assert None not in [store.get_bytes(ref) for ref in refs]
    assert positions(store)["tail"] <= positions(store)["drained"]


def test_while_the_clock_is_behind_nothing_ages(stores, wait_for):
    """What was put before the clock was set back has times of the future; young records hide behind it too."""
    store = stores.open(hot_ttl=3600, idle_interval=0.01)
    future = store.put("before", time_ns=time.time_ns() + 400 * DAY)
    rest = [store.put("after") for _ in range(5)]
    store.flush()

    looked = store.stats()["participants"]
    other = stores.attach()
    for _ in range(5):  # the leader looks after the ring at every batch and when it is idle
        other.put("more", durable=True)

    assert looked == 1
    assert None not in [store.get_bytes(ref) for ref in [future, *rest]]


def test_without_a_limit_nothing_ages(stores):
    store = stores.open(hot_ttl=None, idle_interval=0.01)
    ref = store.put("old", time_ns=1)
    for _ in range(5):
        store.put("more", durable=True)

    assert store.get_bytes(ref) is not None
    assert positions(store)["tail"] == 1


@pytest.mark.parametrize("age, hot", [(3590, True), (3700, False)])
def test_the_limit_is_an_age_in_seconds(stores, wait_for, age, hot):
    store = stores.open(hot_ttl=3600, idle_interval=0.01)
    marker = store.put("marker", time_ns=1)
    ref = store.put("event", time_ns=time.time_ns() - age * 10**9)
    store.put("young", durable=True)

    wait_for(lambda: store.get_bytes(marker) is None)

    assert (store.get_bytes(ref) is not None) == hot


def test_a_new_leader_ages_what_its_predecessor_left(stores, wait_for):
    agent = stores.leaderless()
    ref = agent.put("old", time_ns=1)
    young = agent.put("young")
    leader = stores.open(hot_ttl=3600)

    wait_for(lambda: agent.get_bytes(ref) is None)

    assert agent[ref].event_name == leader[ref].event_name == "old"
    assert agent.get_bytes(young) is not None
