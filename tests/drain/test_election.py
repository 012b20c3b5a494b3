"""Who leads: one at a time, and the next one within a moment when it dies."""

import os
import signal

import pytest

import shmctx
from shmctx.drain.election import Election
from shmctx.errors import ColdUnavailable, LeaderAlive

LEADER = """
import shmctx, sys
store = shmctx.open(sys.argv[1], db=sys.argv[2], ring_size=1 << 16)
print(store.put("x", durable=True), flush=True)
sys.stdin.read()
store.close()
"""


def test_the_lock_is_exclusive_between_and_within_processes(stores, spawn):
    holder = spawn(
        "from shmctx.drain.election import Election; from pathlib import Path; import sys\n"
        "e = Election(Path(sys.argv[1])); print(e.try_win(), e.won); sys.stdin.read()",
        stores.database,
    )
    assert holder.line() == "True True"
    mine, other = Election(stores.database), Election(stores.database)

    assert not mine.try_win()
    assert mine.holder() == holder.pid
    holder.finish()
    assert mine.try_win()
    assert mine.try_win()  # again: still won
    assert not other.try_win()
    mine.resign()
    mine.resign()
    assert other.try_win()
    other.resign()


def test_a_lock_file_that_was_replaced_fences_nobody(stores):
    """Who holds the lock of a removed file does not count as the winner of the new one, and the other way round."""
    first, second = Election(stores.database), Election(stores.database)
    assert first.try_win()
    first.path.unlink()
    assert second.try_win()
    assert second.holder() == os.getpid()
    first.resign()
    second.resign()


@pytest.mark.parametrize("obstacle", ["symlink", "directory", "no directory"])
def test_a_lock_file_that_cannot_be_opened_is_named(stores, tmp_path, obstacle):
    election = Election(stores.database)
    if obstacle == "symlink":
        election.path.symlink_to(tmp_path / "elsewhere")
    elif obstacle == "directory":
        election.path.mkdir()
    else:
        (tmp_path / "file").write_text("")
        election = Election(tmp_path / "file" / "contexts.db")

    with pytest.raises(ColdUnavailable, match="lock file") as caught:
        election.try_win()
    assert "directory" in caught.value.hint
    assert not (tmp_path / "elsewhere").exists()


def test_one_of_many_leads_and_all_of_them_put(stores, spawn):
    openers = [spawn(LEADER, stores.name, stores.database) for _ in range(3)]
    refs = [opener.line() for opener in openers]
    with stores.attach() as agent:
        leader = agent.stats()["leader"]["pid"]
        assert leader in [opener.pid for opener in openers]
        assert sorted(refs) == list(agent)
        assert agent.stats()["participants"] == 4
        roles = {opener.pid: opener for opener in openers}
        assert len(roles) == 3
    for opener in openers:
        opener.finish()


def test_a_standby_takes_over_when_the_leader_is_killed(stores, spawn, wait_for):
    leader = spawn(LEADER, stores.name, stores.database)
    ref = leader.line()
    store = stores.attach(standby=True)
    before = store.stats()["leader"]
    assert before["pid"] == leader.pid
    leader.kill()

    later = store.put("y", durable=True)
    after = store.stats()
    assert (after["leader"]["pid"], after["leader"]["alive"]) == (os.getpid(), True)
    assert after["leader"]["epoch"] > before["epoch"]
    assert after["counters"]["failovers"] == 1
    assert stores.cold(store, ref)
    assert stores.cold(store, later)


def test_a_standby_takes_over_when_the_leader_leaves(stores, spawn):
    leader = spawn(LEADER, stores.name, stores.database)
    leader.line()
    store = stores.attach(standby=True)
    leader.finish()

    assert store.put("y", durable=True)
    assert store.stats()["leader"]["pid"] == os.getpid()
    assert store.stats()["counters"]["failovers"] == 0


def test_a_stopped_leader_is_not_replaced_and_loses_nothing(stores, spawn):
    leader = spawn(LEADER, stores.name, stores.database)
    ref = leader.line()
    store = stores.attach(standby=True, durable_timeout=0.5)
    leader.send_signal(signal.SIGSTOP)
    late = store.put("y")

    with pytest.raises(shmctx.NotDurable, match="stopped"):
        store.flush()
    assert store.stats()["leader"]["state"] == "T"
    assert store[ref].event_name == "x"
    leader.send_signal(signal.SIGCONT)
    store.flush(timeout=30)
    assert store.stats()["leader"]["pid"] == leader.pid
    assert stores.cold(store, late)
    leader.finish()


def test_a_database_that_another_store_s_leader_holds(stores, tmp_path):
    stores.open()
    with pytest.raises(LeaderAlive, match=str(os.getpid())) as caught:
        stores.open(name=f"{stores.name}-2")
    assert "another database" in caught.value.hint
