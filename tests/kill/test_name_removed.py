"""The segment's name is removed while everybody uses it, with a leader and without: nothing that was put is lost,
agents move on to the next generation by themselves, and never do two generations take puts.

SHMCTX_TORTURE=1 removes it 200 times.
"""

import os
import signal
import time
from pathlib import Path

import oracle
import pytest
from ledger import Ledger

import shmctx
from shmctx.errors import SegmentSealed
from shmctx.hot import segment as segments
from shmctx.hot._core import CONTEXT

HERE = Path(__file__).parent
ROUNDS = 200 if os.environ.get("SHMCTX_TORTURE") else 9
NOISE = 5
"""Seconds that a busy machine may add; the promise is two."""

WORKER = """
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
import roles
from ledger import Ledger

role, name, database, path = sys.argv[2:6]
regions, number, ring_size, seed = map(int, sys.argv[6:])
ledger = Ledger(Path(path), regions)
roles.run(role, roles.Place(name, Path(database), ring_size, seed), ledger, ledger.region(number))
"""


@pytest.fixture
def crew(spawn, place, tmp_path, wait_for):
    """`crew(*roles)` starts workers on the store and returns (processes, ledger) once all of them are answered."""

    def start(*names):
        path, count = tmp_path / "ledger", len(names)
        ledger = Ledger(path, count)
        regions = [ledger.take() for _ in names]
        processes = [
            spawn(WORKER, HERE, role, place.name, place.database, path, count, number, place.ring_size, place.seed)
            for number, role in enumerate(names)
        ]
        wait_for(lambda: all(len(region) or region.gets for region in regions))
        return processes, ledger

    return start


def accepts(segment):
    """Whether a generation still takes puts. The attempt is sealed off before anything is stored."""
    try:
        segment.ring.append(CONTEXT, b"", 0, None, None, None, None, None)
    except SegmentSealed:
        return False
    return True


def moved(old, name, ledger, wait_for):
    """Wait until every writer was given a ref of the next generation; returns that one."""
    wait_for(lambda: segments.path_of(name).exists())
    new = segments.attach(name)
    assert new.header["generation"] != old.header["generation"]
    base = new.header["base"]
    assert not accepts(old)
    for region in ledger.regions():
        if region.next:
            wait_for(lambda writer=region: oracle.position(writer[len(writer) - 1].ref) >= base)
    return new


def end(processes, ledger):
    ledger.stop()
    for process in processes:
        process.finish()


@pytest.mark.timeout(3600 if ROUNDS > 100 else 120)
def test_with_a_leader_everybody_moves_on(lead, crew, place, wait_for):
    """In every third round the leader dies at that very moment, and one that stood by must find the way."""
    leader, standby = lead(), lead("standby")
    processes, ledger = crew("writer", "writer", "reader")
    took = []
    for turn in range(ROUNDS):
        old = segments.attach(place.name)
        started = time.monotonic()
        segments.path_of(place.name).unlink()
        if turn % 3 == 2:
            leader.kill()
            leader.wait()
            leader, standby = standby, None
        moved(old, place.name, ledger, wait_for)
        took.append(time.monotonic() - started)
        standby = standby or lead()
    end(processes, ledger)
    leader.kill()
    standby.finish()
    leader.wait()

    print(f"from rm to a put in the next generation: {', '.join(f'{seconds:.2f}' for seconds in took)} s")
    assert max(took) < NOISE
    print(oracle.judge(place.name, place.database, ledger, place.seed))


def test_without_a_leader_puts_go_on_until_a_new_daemon_drains_the_orphan(lead, crew, place, wait_for):
    leader = lead()
    processes, ledger = crew("writer", "writer", "reader")
    leader.kill()
    leader.wait()
    old = segments.attach(place.name)
    segments.path_of(place.name).unlink()
    before = [region.next for region in ledger.regions()]
    head = old.ring.positions()[1]
    started = time.monotonic()
    new = lead()
    moved(old, place.name, ledger, wait_for)
    print(f"from the daemon's start to a put in the next generation: {time.monotonic() - started:.2f} s")
    assert old.ring.positions()[1] >= head
    wait_for(lambda: [region.next for region in ledger.regions() if region.next] > [n for n in before if n])
    end(processes, ledger)
    new.finish()

    print(oracle.judge(place.name, place.database, ledger, place.seed))


def test_what_is_annotated_in_the_next_generation_is_seen_by_who_has_the_context_in_the_old_one(lead, segment_name):
    lead()
    with shmctx.attach(segment_name) as asker, shmctx.attach(segment_name) as writer:
        ref = writer.put("first")
        assert asker[ref].custom == {}
        old = writer.stats()["generation"]
        shmctx.unlink(segment_name)
        while writer.stats()["generation"] == old:
            writer.put("after")

        writer.annotate(ref, _outcome="good")

        assert asker[ref].custom == {"_outcome": "good"}


@pytest.mark.parametrize("question", ["get", "query", "flush", "children"])
def test_who_never_puts_follows_too(question, lead, segment_name, db, wait_for):
    """A process that only asks meets no sealed ring, and must notice all the same, whatever it asks first."""
    leader = lead()
    with shmctx.attach(segment_name) as asker, shmctx.attach(segment_name) as writer:
        first = writer.put("first")
        old = writer.stats()["generation"]
        shmctx.unlink(segment_name)
        wait_for(lambda: writer.put("after") and writer.stats()["generation"] != old)
        leader.kill()
        leader.wait()  # nobody drains what comes now

        last = writer.put("last", parent=first)
        if question == "get":
            assert asker[last].event_name == "last"
        elif question == "query":
            assert [context.ref for context in asker.query(event_name="last")] == [last]
        elif question == "children":
            assert [context.ref for context in asker.children(first)] == [last]
        else:
            with pytest.raises(shmctx.NotDurable):
                asker.flush(timeout=0.2)
        with shmctx.open(segment_name, db=db):
            asker.flush()
        oracle.whole(db)
        assert asker[first].event_name == "first"


def test_who_missed_a_generation_finds_what_only_an_orphan_holds(lead, segment_name, wait_for):
    """The name is gone a second time, and nobody can make the next generation, when it looks for the first time."""
    leader = lead()
    with shmctx.attach(segment_name) as asker, shmctx.attach(segment_name) as writer:
        writer.put("first")
        old = writer.stats()["generation"]
        shmctx.unlink(segment_name)
        wait_for(lambda: writer.put("after") and writer.stats()["generation"] != old)
        writer.flush()
        wait_for(lambda: writer.stats()["wal_bytes"] == 0)  # it holds no lock on the database where it stops
        leader.send_signal(signal.SIGSTOP)
        shmctx.unlink(segment_name)
        last = writer.put("last")
        assert asker[last].event_name == "last"
        assert [context.ref for context in asker.query(event_name="last")] == [last]

        leader.send_signal(signal.SIGCONT)
        writer.flush()
        asker.flush()
        assert asker[last].event_name == "last"
