"""The drain's disk fails, once or for a while: nothing that was put is lost, the error is shown, no put is called
durable that is not, and the drain goes on by itself when the fault ends."""

from typing import NamedTuple

import pytest
import stored
import tracer

import shmctx
from shmctx import NotDurable, Settings

pytestmark = pytest.mark.skipif(bool(tracer.missing()), reason=tracer.missing())
FAULTS = [(call, error) for call in ("pwrite64", "fdatasync") for error in ("EIO", "ENOSPC")]
QUICK = Settings(durable_timeout=0.4)


class Agent(NamedTuple):
    """An agent, an impatient one, and the daemon that drains for them."""

    store: shmctx.Store
    impatient: shmctx.Store
    daemon: int


@pytest.fixture
def agent(lead, segment_name):
    """An agent beside a daemon that has drained 10 contexts."""
    daemon = lead(ring_size=1 << 20)
    with shmctx.attach(segment_name) as store, shmctx.attach(segment_name, settings=QUICK) as impatient:
        put(store, range(10))
        store.flush()
        yield Agent(store, impatient, daemon.pid)


def put(store, numbers):
    return [store.put("fault", _n=n) for n in numbers]


@pytest.mark.parametrize("call, error", FAULTS)
def test_one_failing_call_is_not_noticed_by_who_puts(call, error, agent, db):
    with tracer.lying(agent.daemon, call, error, when="1"):
        refs = put(agent.store, range(10, 40))
        refs.append(agent.store.put("fault", _n=40, durable=True))
        assert stored.numbers(db)[40] == 1  # it said yes: the database has it now
    agent.store.flush()

    stored.once(db, 41)
    assert [agent.store[ref].custom["_n"] for ref in refs] == list(range(10, 41))


@pytest.mark.parametrize("call, error", FAULTS)
def test_while_the_disk_fails_records_stay_in_the_ring_and_the_error_is_shown(call, error, agent, db, wait_for):
    store = agent.store
    with tracer.lying(agent.daemon, call, error, when="1+"):
        refs = put(store, range(10, 40))
        with pytest.raises(NotDurable, match=f"(?s)The leader is pid {agent.daemon} .* Its last error: .*{db}"):
            agent.impatient.put("fault", _n=40, durable=True)
        with pytest.raises(NotDurable):
            agent.impatient.flush()
        assert store.stats()["positions"]["drained"] <= store[refs[0]].position
        assert [store[ref].custom["_n"] for ref in refs] == list(range(10, 40))
        assert str(db) in wait_for(lambda: store.stats()["leader"]["error"])
    store.flush()

    stored.once(db, 41)
    assert wait_for(lambda: store.stats()["leader"]["error"] == "")
    assert [store[ref].custom["_n"] for ref in refs] == list(range(10, 40))


@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_each_call_of_a_batch_may_fail(call, agent, db, torture):
    """SQLite's own way of testing: the first call fails, then only the second, until none is left to fail."""
    numbers = iter(range(10, 100_000))
    last = 0
    for point in range(1, 1000 if torture else 16):
        with tracer.lying(agent.daemon, call, "EIO", when=str(point)):
            put(agent.store, [next(numbers) for _ in range(5)])
            last = next(numbers)
            agent.store.put("fault", _n=last, durable=True)
            assert stored.numbers(db)[last] == 1

    stored.once(db, last + 1)
