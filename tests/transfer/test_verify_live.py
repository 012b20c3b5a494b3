"""Verification beside those who put, forget and prune, after a kill, and of the ring itself."""

import os
import shutil
import signal

import pytest
from damaged import Files, fill

import shmctx
from shmctx.hot.segment import SHM
from shmctx.transfer.verify import verify

WRITER = """
import sys, itertools
import shmctx
name, database = sys.argv[1:]
kept = shmctx.Retention(default_days=0.00001)
settings = shmctx.Settings(log_rotate_bytes=20_000, large_size=512, idle_interval=0.05, retention=kept,
                           prune_interval=0.2)
store = shmctx.open(name, db=database, ring_size=1 << 20, settings=settings)
refs = []
print("ready", flush=True)
for number in itertools.count():
    with store.span("agent:spawn", data={"number": number}, session={"id": f"s{number % 50}"}):
        refs.append(store.put("tool:call", data={"prompt": f"{number % 9} " + "word " * 300, "number": number}))
        store.put("agent:status", _custom=number)
    if number % 3 == 0:
        store.annotate(refs[-1], _duration_ms=1.5)
    if number % 7 == 0:
        store.forget(refs[len(refs) // 2])
    if number == 300:
        print("busy", flush=True)
"""


@pytest.fixture
def writer(spawn, segment_name, db):
    process = spawn(WRITER, segment_name, db)
    assert process.line() == "ready"
    assert process.line() == "busy"
    return process


def test_nothing_is_wrong_beside_a_leader_that_writes_forgets_and_prunes(writer, segment_name, db):
    looked_at = 0
    for _ in range(6):
        report = verify(name=segment_name)
        assert report.ok, report.problems
        assert report.database == str(db)
        looked_at += report.counts["contexts"]
    assert looked_at > 500


def test_after_kill_9_what_is_not_drained_is_in_the_ring_and_all_is_well(writer, segment_name):
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait(30)
    report = verify(name=segment_name)
    assert report.ok, report.problems
    shmctx.unlink(segment_name)


def test_a_database_put_back_from_yesterday(stores, tmp_path):
    with stores.open() as store:
        fill(store)
        store.flush()
        shutil.copytree(stores.database.parent, tmp_path / "yesterday", ignore=shutil.ignore_patterns("yesterday"))
        fill(store)
        store.flush()
        old = Files(tmp_path / "yesterday" / stores.database.name)
        report = verify(old.database, name=stores.name)
        assert "ring" in report.problem_counts
        assert "older" in next(finding.detail for finding in report.problems if finding.kind == "ring")
        assert verify(name=stores.name).ok


def test_the_database_of_another_store(stores, tmp_path, segment_name):
    stores.open()
    other = stores.open(name=f"{segment_name}-other", db=tmp_path / "other.db")
    other.flush()
    assert verify(tmp_path / "other.db", name=stores.name).problem_counts == {"ring": 1}


def test_a_record_that_is_damaged_before_it_is_drained(stores):
    store = stores.leaderless()
    refs = [store.put("tool:call", data={"text": "a text that can be found again"}) for _ in range(20)]
    report = verify(name=stores.name)
    assert report.ok
    assert report.counts["undrained"] == len(refs)
    with (SHM / f"shmctx.{stores.name}").open("r+b") as file:
        at = file.read().rindex(b"found again")
        file.seek(at)
        file.write(b"f0und")
    report = verify(name=stores.name)
    assert set(report.problem_counts) == {"ring"}
    assert report.counts["undrained"] == len(refs) - 1


def test_a_store_that_was_pruned_and_has_forgotten_is_whole(stores):
    store = stores.open(large_size=512, log_rotate_bytes=20_000)
    fill(store)
    refs = [context.ref for context in store.query(limit=40)]
    for ref in (refs[7], refs[11], refs[12]):
        store.forget(ref)
    report = verify(stores.database)
    assert report.ok, report.problems
    store.prune(older_than=0)
    stores.exit.pop_all().close()
    report = verify(stores.database)
    assert report.ok, report.problems
    assert report.counts["contexts"] < 40
