"""A leader that is stopped is not replaced, because nothing can do that safely: reads go on, puts have the ring's room,
then everybody is told which process holds things up. And where a second leader is forced, the first never commits."""

import contextlib
import signal
import sqlite3

import pytest
import stored
import tracer

import shmctx
from shmctx import NotDurable, RingFull, Settings
from shmctx import process as processes
from shmctx.cold import Batch
from shmctx.cold.sqlite import SqliteWriter
from shmctx.errors import LeadershipLost

QUICK = Settings(put_timeout=0.3, durable_timeout=0.3)
traced = pytest.mark.skipif(bool(tracer.missing()), reason=tracer.missing())


@pytest.fixture
def stop(wait_for, tmp_path):
    """`stop(process)` stops a process between two of its steps; `stop(process, "pwrite64", 3, work)` at the third such
    call, to which `work()` brings it."""

    def halt(process, call="", number=0, work=None):
        if call:
            inject, trace = f"inject={call}:signal=STOP:when={number}", tmp_path / "trace"
            strace = tracer.attach(process.pid, "-e", f"trace={call}", "-e", inject, "-o", str(trace))
            try:
                work()
                wait_for(lambda: "stopped by SIGSTOP" in trace.read_text())
            finally:
                tracer.detach(strace)
        else:
            process.send_signal(signal.SIGSTOP)
        wait_for(lambda: processes.state(process.pid) == "T")

    return halt


def stop_unlocked(stop, process, db):
    """Stop a leader where it has no lock on the database: it writes now and then without being asked."""
    with contextlib.closing(sqlite3.connect(db, timeout=0, isolation_level=None)) as shell:
        for _ in range(1000):
            stop(process)
            with contextlib.suppress(sqlite3.OperationalError):
                shell.execute("BEGIN IMMEDIATE")
                shell.execute("ROLLBACK")
                return
            process.send_signal(signal.SIGCONT)
    raise AssertionError("the leader holds the database whenever it is stopped")


def fill(store, refs):
    """Put until the ring takes no more."""
    while True:
        refs.append(store.put("stop", _n=len(refs)))


def check_reads(store, refs):
    assert [store[ref].custom["_n"] for ref in refs] == list(range(len(refs)))
    assert len(store.query(event_name="stop")) == len(refs)


@pytest.mark.parametrize("inside", [False, pytest.param(True, marks=traced)], ids=["idle", "in-a-transaction"])
def test_who_must_wait_for_a_stopped_leader_is_told_its_name(inside, lead, place, stop):
    leader, standby = lead(), lead("standby")
    named = f"(?s)The leader is pid {leader.pid} .*, stopped"
    with shmctx.attach(place.name, settings=QUICK) as agent:
        refs = [agent.put("stop", _n=0)]
        agent.flush(10)
        if inside:
            stop(leader, "pwrite64", 3, lambda: refs.append(agent.put("stop", _n=1)))
        else:
            stop(leader)
        with pytest.raises(NotDurable, match=named):
            agent.put("stop", _n=len(refs), durable=True)
        refs += [context.ref for context in agent.query(event_name="stop")][len(refs) :]  # stored, though not durable
        with pytest.raises(RingFull, match=named):
            fill(agent, refs)
        check_reads(agent, refs)
        with shmctx.attach(place.name) as newcomer:
            check_reads(newcomer, refs)
        assert not lead.leads(standby)

        leader.send_signal(signal.SIGCONT)
        agent.flush(10)
        refs.append(agent.put("stop", _n=len(refs), durable=True))
        check_reads(agent, refs)

    stored.once(place.database, len(refs))


@traced
def test_a_leader_that_lost_its_lock_file_cannot_commit_what_it_had_begun(lead, place, stop, wait_for):
    """It is stopped in the midst of BEGIN, after every check that it makes itself; meanwhile another one takes over."""
    db, old = place.database, lead()
    with shmctx.attach(place.name) as agent:
        refs = [agent.put("stop", _n=0, durable=True)]
        wait_for(lambda: agent.stats()["wal_bytes"] == 0)  # idle: its next fcntl locks the database for a batch
        stop(old, "fcntl", 1, lambda: refs.append(agent.put("stop", _n=1)))
        db.with_name(f"{db.name}.lock").unlink()
        new = lead()
        refs += [agent.put("stop", _n=n, durable=True) for n in range(2, 40)]
        epoch, _ = stored.cursor(db)

        old.send_signal(signal.SIGCONT)
        wait_for(lambda: not lead.leads(old))
        refs += [agent.put("stop", _n=n, durable=True) for n in range(40, 60)]
        assert lead.leads(new)
        assert stored.cursor(db)[0] == epoch
        check_reads(agent, refs)

    stored.once(db, len(refs))


@traced
def test_a_leader_that_lost_its_lock_file_takes_nothing_back_after_an_error(lead, place, stop, wait_for):
    """What it does after every other error, opening the database anew under a new epoch, would depose its successor."""
    db, old = place.database, lead()
    with shmctx.attach(place.name) as agent:
        refs = [agent.put("stop", _n=0, durable=True)]
        stop_unlocked(stop, old, db)
        db.with_name(f"{db.name}.lock").unlink()
        new = lead()
        with tracer.lying(old.pid, "%%stat", "EIO", when="1+"):
            old.send_signal(signal.SIGCONT)
            refs += [agent.put("stop", _n=n, durable=True) for n in range(1, 20)]
            epoch, _ = stored.cursor(db)
        wait_for(lambda: not lead.leads(old))
        refs += [agent.put("stop", _n=n, durable=True) for n in range(20, 40)]
        assert lead.leads(new)
        assert stored.cursor(db)[0] == epoch
        check_reads(agent, refs)

    stored.once(db, len(refs))


def test_the_commit_of_an_older_epoch_is_refused_and_changes_nothing(lead, segment_name, db):
    leader = lead()
    with shmctx.attach(segment_name) as agent:
        agent.put("stop", _n=0, durable=True)
        leader.finish()
        store_id, (_, position) = agent.store_id, stored.cursor(db)
    old, new = SqliteWriter(db), SqliteWriter(db)
    old.take_over(store_id=store_id)
    cursor = new.take_over(store_id=store_id)

    with pytest.raises(LeadershipLost):
        old.commit(Batch(start=position, end=position + 1, records=[]))
    assert stored.cursor(db) == (cursor.epoch, position)
    new.commit(Batch(start=position, end=position + 1, records=[]))
    with pytest.raises(LeadershipLost):
        new.commit(Batch(start=position, end=position + 2, records=[]))
    assert stored.cursor(db) == (cursor.epoch, position + 1)
    old.close()
    new.close()
