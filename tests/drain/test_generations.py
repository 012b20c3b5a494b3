"""Adoption, rehydration, succession: a store outlives its segments."""

import os

import pytest

import shmctx
from shmctx.errors import SegmentSealed


def test_the_segment_of_a_dead_predecessor_is_adopted(stores, spawn):
    leader = spawn(
        """
        import os, shmctx, sys
        store = shmctx.open(sys.argv[1], db=sys.argv[2], ring_size=1 << 16)
        store.put("x", durable=True)
        store._attachment.candidate._stop.set()  # nothing of what follows is drained
        store._attachment.candidate._thread.join()
        print(*[store.put("undrained", _n=n) for n in range(50)], flush=True)
        os.kill(os.getpid(), 9)
        """,
        stores.name,
        stores.database,
    )
    refs = leader.line().split()
    leader.wait(30)
    agent = stores.attach()
    generation = agent.stats()["generation"]
    assert agent.stats()["lag_bytes"] > 0

    store = stores.open()
    store.flush(timeout=30)
    assert store.stats()["generation"] == generation
    assert [stores.cold(agent, ref).custom["_n"] for ref in refs] == list(range(50))
    assert agent[agent.put("y", durable=True)]


def test_undrained_records_wait_for_the_next_leader(stores):
    store = stores.leaderless()
    refs = [store.put("x", session={"id": "s"}) for _ in range(20)]
    store.annotate(refs[3], error="e")
    stores.drain()
    late = store.put("y")
    stores.drain()

    assert all(stores.cold(store, ref) for ref in [*refs, late])
    assert len(store.query(session_id="s")) == 20


def lose_the_segment(stores, ring_size=1 << 16, **changed):
    shmctx.unlink(stores.name)
    return stores.open(ring_size, **changed)


def test_after_a_reboot_old_refs_are_hot_again_at_their_positions(stores):
    with stores.open(1 << 16) as store:
        refs = [store.put("x", session={"id": "s", "n": 1}, event_id=f"evt_{n:08x}", agent_id="a") for n in range(60)]
        store.annotate(refs[5], error="e")
        before = [(store[ref].to_dict(), store.get_bytes(ref)) for ref in refs]
    store = lose_the_segment(stores)

    assert [(store[ref].to_dict(), store.get_bytes(ref)) for ref in refs] == before
    assert store.stats()["counters"]["cold_hits"] == 0
    assert store[refs[5]].error == "e"
    assert store["evt_00000007"].ref == refs[7]
    assert [context.ref for context in store.query(session_id="s", agent_id="a")] == refs
    child = store.put("child", parent=refs[0])
    assert [context.ref for context in store.children(refs[0])] == [child]
    assert store[child].session == {"id": "s", "n": 1}
    store.annotate(refs[0], _late=1)
    assert store[refs[0]].custom == {"_late": 1}


def test_refs_that_were_handed_out_and_lost_are_never_used_again(stores, spawn):
    """A reboot takes what was not drained; a new record must not answer to its ref."""
    victim = spawn(
        """
        import os, shmctx, sys
        store = shmctx.open(sys.argv[1], db=sys.argv[2], ring_size=1 << 13)
        kept = store.put("kept", durable=True)
        store._attachment.candidate._stop.set()
        store._attachment.candidate._thread.join()
        print(kept, *[store.put("lost") for _ in range(40)], flush=True)
        os.kill(os.getpid(), 9)
        """,
        stores.name,
        stores.database,
    )
    kept, *lost = victim.line().split()
    victim.wait(30)
    store = lose_the_segment(stores, 1 << 13)
    new = [store.put("new") for _ in range(200)]

    assert store[kept].event_name == "kept"
    assert [store.get(ref) for ref in lost] == [None] * 40
    assert min(new) > max(lost)
    assert not set(new) & set(lost)
    assert list(store) == [kept, *new]


def test_generation_after_generation_positions_only_grow(stores):
    refs = []
    for number in range(4):
        with stores.open(4096 << number % 2) as store:
            refs += [store.put("x", _n=number) for _ in range(40)]
        shmctx.unlink(stores.name)
    store = stores.open(1 << 16)

    assert refs == sorted(set(refs)) == list(store)
    assert [store[ref].custom["_n"] for ref in refs] == [n for n in range(4) for _ in range(40)]


def test_without_rehydration_everything_is_cold_and_there(stores):
    with stores.open(1 << 16) as store:
        refs = [store.put("x") for _ in range(20)]
    store = lose_the_segment(stores, rehydrate=False)

    assert [store.get_bytes(ref) for ref in refs] == [None] * 20
    assert all(store[ref].event_name == "x" for ref in refs)


def test_a_smaller_new_ring_still_finds_everything(stores):
    with stores.open(1 << 16) as store:
        refs = [store.put("x") for _ in range(100)]
    store = lose_the_segment(stores, 4096)

    assert all(store[ref].event_name == "x" for ref in refs)
    assert list(store) == refs


def test_processes_move_to_the_next_generation_when_the_name_is_removed(stores, spawn, wait_for):
    store, agent = stores.open(1 << 16, put_timeout=10.0), stores.attach(put_timeout=10.0)
    refs = [agent.put("before", _n=n) for n in range(30)]
    first = store.stats()["generation"]
    shmctx.unlink(stores.name)
    wait_for(lambda: store.stats()["generation"] != first)

    refs += [agent.put("after", _n=n) for n in range(30)]  # sealed: it finds the new one by itself
    assert agent.stats()["generation"] == store.stats()["generation"]
    assert list(store) == list(agent) == refs
    assert all(store[ref] == agent[ref] for ref in refs)
    store.flush()
    assert all(stores.cold(store, ref) for ref in refs)


def test_an_orphan_that_nobody_leads_is_drained_by_who_opens_the_name(stores, spawn):
    """The name goes while only an agent lives: its records are found through it, and it follows."""
    stores.leaderless(1 << 16).close()
    agent = spawn(
        """
        import shmctx, sys
        store = shmctx.attach(sys.argv[1])
        refs = [store.put("before") for _ in range(20)]
        print(*refs, flush=True)
        input()
        print(store.put("after", durable=True), all(ref in store for ref in refs), flush=True)
        store.close()
        """,
        stores.name,
    )
    refs = agent.line().split()
    shmctx.unlink(stores.name)
    store = stores.open(1 << 16)

    assert list(store) == refs
    assert store.stats()["positions"]["base"] <= store[refs[-1]].position + 2  # nothing was lost: no gap
    agent.say()
    after, there = agent.line().split()
    agent.finish()
    assert there == "True"
    assert list(store) == [*refs, after]


def test_an_orphan_of_this_very_process_is_found_too(stores):
    agent = stores.leaderless(1 << 16, put_timeout=10.0)
    refs = [agent.put("before") for _ in range(20)]
    shmctx.unlink(stores.name)
    store = stores.open(1 << 16)
    refs.append(agent.put("after"))

    assert list(store) == list(agent) == refs
    assert store.stats()["leader"]["pid"] == os.getpid()


def test_a_sealed_generation_without_a_successor_takes_no_puts(stores):
    store = stores.leaderless(1 << 16)
    ref = store.put("x")
    store._ring.seal(1.0)
    shmctx.unlink(stores.name)

    with pytest.raises(SegmentSealed) as caught:
        store._ring.append(2, b"payload", 0, None, None, None, None, None)
    assert "Attach" in caught.value.hint
    with pytest.raises(shmctx.SegmentMissing, match="no process has made a new one"):
        store.put("y")
    assert list(store) == [ref]
