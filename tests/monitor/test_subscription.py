"""Subscriptions: the events that come and fit, at a rate that somebody can watch."""

import asyncio
import itertools

import pytest

import shmctx
from shmctx.events.monitor import Monitor
from shmctx.events.subscription import Rate

LIMIT = 30.0


@pytest.fixture
def monitor(stores):
    return Monitor(stores.leaderless())


def shown(subscription):
    return [fields["event_name"] for fields in subscription]


def test_what_another_process_puts_comes_with_its_fields(monitor, spawn):
    with monitor.subscribe("agent:*", fields=["event_name", "data.n", "agent_id"], timeout=LIMIT) as coming:
        other = spawn(
            """
            import sys, shmctx
            with shmctx.attach(sys.argv[1]) as store:
                for n in range(3):
                    store.put("agent:status", agent_id="b", data={"n": n})
                    store.put("other", data={"n": n})
            """,
            monitor.store.name,
        )
        found = list(itertools.islice(coming, 3))
        other.finish()

    assert found == [{"event_name": "agent:status", "data.n": n, "agent_id": "b"} for n in range(3)]


FILTERS = {
    "name": ({"event_name": "a:*"}, ["a:1", "a:2"]),
    "agent": ({"agent_id": "x"}, ["a:1", "b:1"]),
    "session": ({"session_id": "s"}, ["a:2"]),
    "text in data": ({"text": "FIND"}, ["b:1"]),
    "text in a name": ({"text": "A:"}, ["a:1", "a:2"]),
    "errors": ({"errors": True}, ["b:2", "a:1"]),
    "no errors": ({"errors": False}, ["a:2", "b:1"]),
    "since": ({"since": 2000.0}, ["a:2", "b:1", "b:2"]),
    "until": ({"until": 2000.0, "after": "first"}, ["a:1"]),
    "two": ({"event_name": "?:1", "agent_id": "x", "text": "find"}, ["b:1"]),
}


@pytest.mark.parametrize("wanted, expected", FILTERS.values(), ids=FILTERS)
def test_the_filters_are_those_of_a_query(monitor, wanted, expected):
    """What is in error comes when it is known to be: by its own fields at once, by an annotation with that."""
    store = monitor.store
    store.put("first", event_id="first", timestamp=500.0)
    with monitor.subscribe(fields="minimal", timeout=0, **wanted) as coming:
        first = store.put("a:1", agent_id="x", timestamp=1000.0)
        store.put("a:2", session={"id": "s"}, timestamp=2000.0)
        store.put("b:1", agent_id="x", data={"deep": ["we find it"]}, timestamp=2001.0)
        store.put("b:2", error_type="E", timestamp=2002.0)
        store.annotate(first, error_message="late")
        store.annotate(first, error_type="told twice")

        assert shown(coming) == expected


def test_errors_that_the_database_told_of_come_once(stores):
    store = stores.leaderless(4096)
    failed = store.put("failed")
    store.annotate(failed, error=True)
    stores.evict(store, failed)
    late = store.put("late")
    store.annotate(failed, error_message="again")
    store.annotate(late, error=True)
    monitor = Monitor(store)

    with monitor.subscribe(after=None, since=0.0, errors=True, fields=["ref"], timeout=0) as coming:
        assert [fields["ref"] for fields in coming] == [failed, late]


def test_what_comes_faster_than_the_rate_is_dropped_and_counted(monitor):
    with monitor.subscribe(max_rate=3, timeout=0) as coming:
        monitor.store.put_many(["x"] * 500)
        found = list(coming)

    assert 3 <= len(found) < 500
    assert len(found) + coming.dropped == 500


def test_only_what_fits_counts_against_the_rate(monitor):
    with monitor.subscribe("rare", text="yes", max_rate=1e-6, timeout=0) as coming:
        monitor.store.put_many(["often"] * 50)
        monitor.store.put_many([("rare", {"data": {"answer": "no"}})] * 50)
        monitor.store.put("rare", data={"answer": "yes"})

        assert shown(coming) == ["rare"]
        assert coming.dropped == 0


def test_a_rate_lets_as_many_through_as_the_time_allows():
    now = [100.0]
    rate = Rate(4.0, clock=lambda: now[0])
    taken = []
    for moment in (100.0, 100.0, 100.25, 101.5, 1e6):
        now[0] = moment
        taken.append([rate.take() for _ in range(6)].count(True))

    assert taken == [4, 0, 1, 4, 4]


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), "fast", True], ids=repr)
def test_a_rate_is_a_number(monitor, rate):
    with pytest.raises(shmctx.InvalidField, match="max_rate"):
        monitor.subscribe(max_rate=rate)


@pytest.mark.parametrize("wanted", [{"limit": 3}, {"nothing": 1}, {"text": ""}, {"fields": "none"}], ids=repr)
def test_what_a_subscription_cannot_do_is_said(monitor, wanted):
    with pytest.raises(shmctx.InvalidField):
        monitor.subscribe(**wanted)


def test_it_is_an_async_iterator_too_and_can_be_closed(monitor):
    async def watch():
        async with monitor.subscribe("x", fields=["data.n"]) as coming:
            waiting = asyncio.ensure_future(anext(coming))
            await asyncio.sleep(0)
            monitor.store.put("x", data={"n": 1})
            first = await asyncio.wait_for(waiting, LIMIT)
            last = asyncio.ensure_future(anext(coming, None))
            await asyncio.sleep(0)
            coming.close()
            return first, await asyncio.wait_for(last, LIMIT)

    assert asyncio.run(watch()) == ({"data.n": 1}, None)


def test_nobody_waits_for_a_subscription_that_does_not_read(stores):
    """The ring goes round many times meanwhile; what was overwritten is read from the database."""
    store = stores.open(4096)
    with Monitor(store).subscribe(fields=["data.n"], timeout=0) as coming:
        for n in range(600):
            store.put("x", data={"n": n})
        store.flush(timeout=LIMIT)
        found = [fields["data.n"] for fields in coming]

        assert found == list(range(600))
        assert coming.follower.missed
