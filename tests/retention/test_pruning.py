"""Rounds: what has expired leaves database, log and large fields; everything else stays, whoever dies meanwhile."""

import random
import signal
import threading
import time

import msgspec
import pytest
from traces import DAY, holding

import shmctx
from shmctx.cold.survey import survey
from shmctx.drain.prune import prune as prune_database
from shmctx.errors import LeaderAlive, NotDurable
from shmctx.settings import Retention

KINDS = {  # name of the event, age in days, more fields, whether it stays
    "young": (1, {}, True),
    "old": (8, {}, False),
    "old-error": (8, {"error": True}, True),
    "ancient-error": (31, {"error": True}, False),
    "old-deep": (10, {"depth": 12}, True),
    "ancient-deep": (20, {"depth": 12}, False),
    "audit:old": (100, {}, True),
}
CLASSES = Retention(events={"audit:*": 365})
LARGE = 1500  # characters


def fill(store, count, seed):
    """Puts that many events of all kinds, mixed; returns the refs that stay and those that go."""
    drawn = random.Random(seed)
    now = time.time_ns()
    stay, go = [], []
    for n in range(count):
        name = drawn.choice(sorted(KINDS))
        days, fields, stays = KINDS[name]
        data = {"n": n, "content": f"{name}-{n // 20}" * (LARGE // 10 if n % 10 == 0 else 1)}
        session = {"id": f"{name}-{n // 50}"}
        ref = store.put(name, data=data, session=session, time_ns=now - days * DAY + n, **fields)
        (stay if stays else go).append(ref)
    store.flush()
    return stay, go


def evict(store, wait_for):
    """Fill the ring twice with young events, so that nothing of before is in it."""
    end = store.stats()["positions"]["head"] + 3 * store.stats()["ring_bytes"] // 64
    while store.stats()["positions"]["head"] < end:
        store.put("young", data={"filler": 1})
    store.flush()


def tables(rows):
    names = ("record", "session", "payload", "payload_use", "annotation", "log_segment", "kept", "quarantine")
    return {name: rows(f"SELECT count(*) FROM {name}")[0][0] for name in names}


def assert_pruned(store, stores, stay, go, rows):
    assert [store.get(ref) for ref in go] == [None] * len(go)
    events = store.events(stay)
    assert [event.ref for event in events] == stay
    assert all(event.data["content"] for event in events)
    assert all(isinstance(event.context.session, dict) for event in events)
    assert rows("PRAGMA integrity_check") == [("ok",)]
    assert rows("SELECT count(*) FROM payload_use WHERE position NOT IN (SELECT position FROM record)") == [(0,)]
    assert rows("SELECT count(*) FROM payload WHERE length(data) = 0") == [(0,)]


def test_what_goes_is_what_a_dry_run_told(quiet, stores, rows, seed, wait_for):
    store = quiet(1 << 16, retention=CLASSES, log_rotate_bytes=1 << 15)
    stay, go = fill(store, 1500, seed)
    evict(store, wait_for)
    before, dry = tables(rows), survey(stores.database)
    assert tables(rows) == before

    report = store.prune()

    told = msgspec.to_builtins(dry)
    exact = ("contexts", "classes", "events", "sessions", "payloads", "payload_bytes", "quarantined", "log_segments")
    assert {name: report[name] for name in exact} == {name: told[name] for name in exact}
    assert report["contexts"] == len(go)
    assert set(report["classes"]) == {"default", "error", "deep"}
    assert report["sessions"] > 0 < report["payloads"]
    after = tables(rows)
    assert before["record"] - after["record"] == len(go)
    assert before["session"] - after["session"] == report["sessions"]
    assert_pruned(store, stores, stay, go, rows)
    again = store.prune()
    assert (again["contexts"], again["sessions"], again["payloads"]) == (0, 0, 0)


def test_files_really_become_smaller(quiet, stores, rows, seed, wait_for):
    store = quiet(1 << 16, log_rotate_bytes=1 << 15)
    fill(store, 3000, seed)
    evict(store, wait_for)
    log = stores.database.with_suffix(".events")
    wait_for(lambda: store.stats()["wal_bytes"] == 0)
    wait_for(lambda: len(list(log.glob("*.jsonl"))) == 2, limit=60)  # all rotated files compressed; and the link
    size, logged = stores.database.stat().st_size, sum(path.stat().st_size for path in log.iterdir())

    report = store.prune(older_than=3600)
    wait_for(lambda: store.stats()["wal_bytes"] == 0)

    assert report["database_bytes"] > size // 3
    assert stores.database.stat().st_size < size * 0.7
    assert report["log_bytes"] > 0 < report["log_segments"]
    assert sum(path.stat().st_size for path in log.iterdir()) < logged * 0.7


def test_a_file_that_few_events_need_is_blanked_between_them(quiet, stores, seed, wait_for):
    drawn = random.Random(seed)
    store = quiet(1 << 16, log_rotate_bytes=1 << 15)
    now = time.time_ns()
    ancient = now - 8 * DAY
    kept = [
        store.put(
            "old",
            data={"n": n, "word": f"expiredword{drawn.random()}"},
            time_ns=ancient,
            **({"error": True} if n % 50 == 7 else {}),
        )
        for n in range(1500)
    ][7::50]
    evict(store, wait_for)
    log = stores.database.with_suffix(".events")
    wait_for(lambda: len(list(log.glob("*.jsonl"))) == 2, limit=60)
    files = sorted(log.glob("*.zst"))[:4]
    before = sum(path.stat().st_size for path in files)

    report = store.prune()

    assert [event.data["word"][:11] for event in store.events(kept)] == ["expiredword"] * len(kept)
    lines = [found for found in holding(store, stores.database, "expiredword") if ".jsonl.zst:" in found]
    assert len(lines) == len(kept)
    after = sum(path.stat().st_size for path in files)
    print(f"{before} bytes in four files, {after} when blanked")
    assert report["log_bytes"] >= before - after > before / 2


def test_a_pinned_context_stays_until_it_is_unpinned(quiet, rows):
    store = quiet()
    ancient = time.time_ns() - 4000 * DAY
    ref = store.put("old", data={"x": 1}, time_ns=ancient)
    other = store.put("old", time_ns=ancient)
    store.pin(ref)
    store.pin(ref)

    assert store.prune(older_than=0)["contexts"] == 1
    assert [row[0] for row in rows("SELECT pinned FROM kept")] == [1]
    assert store.event(ref).data == {"x": 1}
    store.unpin(ref)
    assert store.prune()["contexts"] == 1
    assert rows("SELECT count(*) FROM record WHERE time_ns = ?", ancient) == [(0,)]
    assert other != ref


def test_a_context_that_a_process_reads_often_is_kept_longer(quiet, stores, rows, wait_for):
    store = quiet(1 << 12, hot_ttl=None)
    now = time.time_ns()
    often, twice = (store.put("old", _n=n, time_ns=now - 8 * DAY) for n in range(2))
    stores.evict(store, twice)
    reader = stores.attach(readonly=True)
    for _ in range(5):
        assert [reader[ref].custom["_n"] for ref in (often, twice)] == [0, 1]
    assert store[twice].custom["_n"] == 1  # the second time: evict() looked too
    for _ in range(3):
        assert store[often].custom["_n"] == 0
    store.flush()

    assert len(rows("SELECT 1 FROM kept WHERE often")) == 1
    assert store.prune()["classes"] == {"default": 1}
    assert store.get(often) is not None
    assert store.get(twice) is None


def test_other_classes_make_other_contexts_due(quiet, stores, rows, wait_for):
    store = quiet()
    ref = store.put("old", time_ns=time.time_ns() - 3 * DAY, durable=True)
    assert store.prune()["contexts"] == 0
    store.close()
    rounds = rows("SELECT finished_ns FROM pruning WHERE position = 0")

    again = stores.open(retention=Retention(default_days=2), prune_interval=0.0)
    wait_for(lambda: rows("SELECT count(*) FROM record WHERE time_ns < ?", time.time_ns() - 2 * DAY) == [(0,)])

    assert rows("SELECT finished_ns FROM pruning WHERE position = 0") >= rounds
    assert again.query() == []
    assert ref


def test_what_fits_no_table_goes_too(quiet, rows):
    store = quiet(retention=Retention(quarantine_days=0.0))
    store._ring.append(15, b"of another version", 0, None, None, None, None, None)
    store.flush()
    assert rows("SELECT count(*) FROM quarantine") == [(1,)]

    assert store.prune()["quarantined"] == 1
    assert rows("SELECT count(*) FROM quarantine") == [(0,)]


def test_it_holds_up_no_drain(quiet, rows, seed):
    """While a large round is at work, everything that is put is drained and nothing of it is missing."""
    store = quiet(1 << 20, retention=CLASSES)
    _, go = fill(store, 6000, seed)
    reports = []
    asking = threading.Thread(target=lambda: reports.append(store.prune(timeout=60)))
    asking.start()
    refs = []
    while asking.is_alive() or len(refs) < 2000:
        refs.append(store.put("meanwhile", data={"n": len(refs)}, durable=len(refs) % 100 == 0))
    asking.join()
    store.flush()

    assert reports[0]["contexts"] == len(go)
    assert [context.ref for context in store.query(event_name="meanwhile")] == refs
    assert store.stats()["leader"]["error"] == ""


LEADER = """
    import os, signal, sys, shmctx
    from shmctx.cold import marking, pruning
    name, db, after = sys.argv[1], sys.argv[2], int(sys.argv[3])
    kept = pruning.remove
    def remove(connection, positions):
        global after
        kept(connection, positions)
        after -= 1
        if after == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    pruning.remove = remove
    settings = shmctx.Settings(retention=shmctx.Retention(events={"audit:*": 365}))
    store = shmctx.open(name, db=db, ring_size=1 << 16, settings=settings)
    print("leads", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_a_leader_that_dies_within_a_round_is_followed_by_one_that_ends_it(  # noqa: PLR0917
    quiet, stores, rows, spawn, seed, steps, wait_for
):
    store = quiet(1 << 16, retention=CLASSES)
    stay, go = fill(store, 2000, seed)
    evict(store, wait_for)
    agent = stores.attach(durable_timeout=20)
    store.close()
    first = spawn(LEADER, stores.name, stores.database, steps)
    first.line()
    with pytest.raises(NotDurable):
        agent.prune(timeout=0.0)

    assert first.wait(60) == -signal.SIGKILL
    left = rows("SELECT count(*) FROM record")[0][0]
    stores.open(1 << 16, retention=CLASSES)

    wait_for(lambda: rows("SELECT count(*) FROM pruning WHERE position > 0 AND finished_ns IS NOT NULL") == [(1,)])
    assert left > len(stay)
    assert_pruned(agent, stores, stay, go, rows)


def test_a_log_that_cannot_be_changed_holds_up_no_drain(quiet, stores, rows, wait_for):
    store = quiet(1 << 16, log_rotate_bytes=1 << 14)
    for n in range(600):
        store.put("old", data={"n": n}, time_ns=time.time_ns() - 8 * DAY)
    evict(store, wait_for)
    log = stores.database.with_suffix(".events")
    wait_for(lambda: len(list(log.glob("*.jsonl"))) == 2, limit=60)
    victim = min(log.glob("*.zst"))
    victim.unlink()
    victim.mkdir()  # nothing that can be removed as a file

    report = store.prune()

    assert report["contexts"] == 600
    assert store.put("more", durable=True)
    victim.rmdir()


def test_a_database_that_nobody_has_open(quiet, stores, rows, seed, wait_for):
    store = quiet(1 << 16, retention=CLASSES)
    stay, go = fill(store, 500, seed)
    evict(store, wait_for)
    with pytest.raises(LeaderAlive):
        prune_database(stores.database, None)
    store.close()
    shmctx.unlink(stores.name)

    report = prune_database(stores.database, None)

    assert report.contexts == len(go)
    again = stores.open(1 << 16, retention=CLASSES)
    assert_pruned(again, stores, stay, go, rows)


def test_the_clock_that_is_behind_expires_nothing(quiet):
    """Events of the future, as the clock says now, are not old."""
    store = quiet()
    refs = [store.put("event", time_ns=time.time_ns() + n * DAY) for n in (1, 400)]
    store.flush()

    assert store.prune()["contexts"] == 0
    assert store.prune(older_than=0)["contexts"] == 0
    assert None not in [store.get(ref) for ref in refs]
