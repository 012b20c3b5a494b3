"""When the leader dies, a process that stands by drains in its place, at once and completely."""

import itertools
import time

import oracle
import stored

import shmctx

ROUNDS = 6
NOISE = 5
"""Seconds that a busy machine may add; the promise is one."""


def test_a_standby_drains_after_the_death_of_the_leader(lead, segment_name, db):
    leader, standby = lead(), lead("standby")
    took, numbers = [], itertools.count()
    with shmctx.attach(segment_name) as agent:
        for _ in range(ROUNDS):
            for _ in range(20):
                agent.put("failover", _n=next(numbers))
            assert lead.leads(leader)
            leader.kill()
            leader.wait()
            died = time.monotonic()
            agent.put("failover", _n=next(numbers), durable=True)
            took.append(time.monotonic() - died)
            assert lead.leads(standby)
            leader, standby = standby, lead("standby")
        agent.flush()
        assert agent.stats()["counters"]["failovers"] == ROUNDS

    print(f"from the leader's death to a commit of the next: {', '.join(f'{seconds:.3f}' for seconds in took)} s")
    assert max(took) < NOISE
    stored.once(db, next(numbers))


def test_a_reader_in_the_midst_of_its_read_holds_up_no_leader_change(lead, segment_name, db):
    """As one does that is stopped there: its snapshot ends before the log does, so no checkpoint can be completed."""
    leader = lead()
    with shmctx.attach(segment_name) as agent, oracle.reading(db) as reader:
        agent.put("failover", _n=0, durable=True)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM record").fetchone()
        agent.put("failover", _n=1, durable=True)
        leader.kill()
        leader.wait()
        lead("standby")
        agent.put("failover", _n=2, durable=True)

    stored.once(db, 3)


def test_puts_go_on_while_nobody_leads(lead, segment_name, db):
    leader = lead(ring_size=1 << 20)
    with shmctx.attach(segment_name) as agent:
        leader.kill()
        leader.wait()
        refs = [agent.put("alone", _n=n) for n in range(100)]
        assert [agent[ref].custom["_n"] for ref in refs] == list(range(100))
        assert stored.numbers(db).total() == 0
        lead("standby")
        agent.flush()

    stored.once(db, 100)
