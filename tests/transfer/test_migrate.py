"""Moving in: what is stored, once, by which way, and that it stays."""

import gzip
import json
import os
import random
import signal
import time

import pytest
from moving import BEGIN, Move, event, ksi_database, line, log_of, shmctx

import shmctx as package
from shmctx.cold.connection import Connection, connect
from shmctx.drain.prune import prune
from shmctx.errors import LeaderAlive, TargetUnavailable, TransferError
from shmctx.transfer import migrate as migration
from shmctx.transfer import reading
from shmctx.transfer.arrivals import arrival_of
from shmctx.transfer.forms import Unfit, event_of
from shmctx.transfer.live import migrate_live
from shmctx.transfer.migrate import migrate
from shmctx.transfer.quick import quick_arrival

STORE = 5
HOUR_NS = 3_600 * 10**9


@pytest.fixture
def move(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    return Move(folder)


def rows_of(database, table="record"):
    connection = connect(database, Connection, readonly=True)
    try:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
    finally:
        connection.close()


def events(count, **context):
    return [event(number, **context) for number in range(count)]


def state_of(folder):
    """What is there, but for the file by which SQLite's readers agree."""
    return sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*") if not path.name.endswith("-shm"))


# ---- what is stored ----


def test_the_short_way_and_the_long_way_give_the_same(ksi_log):
    """On every line of a real log, all of which take the short way."""
    with gzip.open(ksi_log) as log:
        for text in log:
            assert quick_arrival(text) == arrival_of(event_of(text), STORE, 1)


def test_whatever_is_done_to_a_line_both_ways_agree(ksi_log, seed):
    """The short way may decline; it never gives something else, nor takes what the long way refuses."""
    chance = random.Random(seed)
    # fmt: off
    pieces = [b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\u12", b"null", b"1e999", b"-0.0", b"\xff", b" ",
              b"\n", b'"_ksi_context":', b'{"_ksi_context": {}}', b"_event_id", b"ctx_", b"\\ud800", b"9" * 30]
    # fmt: on
    taken = 0
    with gzip.open(ksi_log) as log:
        some = [text for _, text in zip(range(300), log, strict=False)]
    for _ in range(20_000):
        text = bytearray(chance.choice(some))
        for _ in range(chance.choice([1, 1, 2])):
            at = chance.randrange(len(text))
            text[at : at + chance.choice([0, 1, 1, 5, 40])] = chance.choice([*pieces, bytes([text[at] ^ 1])])
        found = quick_arrival(bytes(text))
        if found is not None:
            taken += 1
            assert found == arrival_of(event_of(bytes(text)), STORE, 1), bytes(text)
    assert taken > 1000


def test_a_context_is_stored_as_a_put_would(stores, move, tmp_path):
    """Field by field, and byte by byte what the ring would have held."""
    given = event(1, _parent_event_id="evt_0000abcd", _root_event_id="root!", _session={"id": "s-1", "created_at": 5})
    given["data"]["_ksi_context"] |= {"_user_id": "u", "_tags": ["x"], "_error": {"a": [1]}, "_custom": None}
    move.run(log_of(tmp_path / "log.jsonl", [given]))
    context = given["data"].pop("_ksi_context")
    store = stores.open()

    put = store[store.put(given["event_name"], data=given["data"], **context)]
    with package.open(stores.name + "b", db=move.db, settings=package.Settings()) as moved:
        found = moved["ctx_evt_00000001"]
        assert found.to_dict() == put.to_dict()
        assert moved.event(found.ref).data == given["data"]
    package.unlink(stores.name + "b")


def test_a_migrated_database_is_a_store_as_any_other(stores, move, tmp_path):
    """Its contexts are hot again, new ones follow, children find their parents, the log goes on."""
    move.run(log_of(tmp_path / "log.jsonl", events(500)))

    store = package.open(stores.name, db=move.db)
    with store:
        old = store["evt_00000003"]
        child = store.put("child", data={"x": 1}, parent=old.ref)
        assert store[child].parent_event_id == "evt_00000003"
        assert [found.ref for found in store.children("evt_00000003")] == [child]
        assert store.event("ctx_evt_00000007").data == {"number": 7}
        store.flush()
    move.verify()
    assert len(move.events()) == 501


def test_large_fields_are_stored_once(move, tmp_path):
    text = "long text " * 300
    log = [event(number) for number in range(50)]
    for found in log:
        found["data"]["prompt"] = text

    counts = move.run(log_of(tmp_path / "log.jsonl", log)).counts

    assert counts["large_fields"] == 1
    assert len(rows_of(move.db, "payload")) == 1
    assert move.events() == log


# ---- references ----


def test_lean_events_get_the_contexts_that_a_database_has(move, tmp_path):
    """Those that no event names come in alone; one that an event has embedded is not stored again."""
    contexts = [event(number, _root_event_id="evt_00000000")["data"]["_ksi_context"] for number in range(4)]
    database = ksi_database(tmp_path / "ksi.db", contexts, [("evt_00000003", "only:known", BEGIN, "ctx_evt_00000003")])
    lean = {"timestamp": BEGIN, "event_name": "a:b", "data": {"x": 1}, "_context_ref": "ctx_evt_00000001"}
    log = log_of(tmp_path / "log.jsonl", [event(0, _root_event_id="evt_00000000"), lean])

    report = move.run(log, database).report

    counts = report["counts"]
    assert (report["contexts"], counts["stored"], counts["duplicates"], counts["reused"]) == (4, 4, 2, 0)
    assert counts["forms"] == {"embedded": 1, "lean": 1, "context": 4}
    del lean["_context_ref"]
    lean["data"]["_ksi_context"] = contexts[1]
    assert move.events()[1] == lean
    again = move.run(log, database)
    assert again.report["stored_now"] == 0


# ---- twice ----


def test_two_processes_make_what_one_makes(tmp_path, ksi_log, ksi_count, monkeypatch):
    """Duplicates that are not in the same batch included: the one that reads waits until they are stored."""
    with gzip.open(ksi_log) as log:
        text = log.read()
    source = tmp_path / "log.jsonl"
    source.write_bytes(text[: len(text) // 2] + b"\nno event\n" + text[len(text) // 4 : len(text) // 2] + text)
    made = []
    for worth in (0, 1 << 40):
        monkeypatch.setattr(migration, "WORTH", worth)
        database = tmp_path / f"{worth}.db"
        report = migrate([source], database)
        made.append((report, rows_of(database), rows_of(database, "session")))

    (one, *one_rows), (other, *other_rows) = made
    assert one.counts == other.counts
    assert one.counts.stored == ksi_count
    assert one.counts.bad > 0
    assert [[row[:-1] for row in table] for table in one_rows] == [[row[:-1] for row in table] for table in other_rows]


def test_a_reader_that_dies_is_told_and_the_move_goes_on(tmp_path, ksi_log, ksi_count, monkeypatch):
    with gzip.open(ksi_log) as log:
        source = tmp_path / "log.jsonl"
        source.write_bytes(log.read())
    monkeypatch.setattr(migration, "WORTH", 0)
    started = []
    popen = reading.subprocess.Popen

    class Watched(popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self.pid)

    monkeypatch.setattr(reading.subprocess, "Popen", Watched)

    def kill(_read, _total, _stored):
        os.kill(started[0], signal.SIGKILL)

    with pytest.raises(TransferError, match="reads the sources has ended"):
        migrate([source], tmp_path / "contexts.db", watch=kill)
    report = migrate([source], tmp_path / "contexts.db")

    assert 0 < report.stored_now < ksi_count
    assert report.counts.stored == report.contexts == ksi_count


def test_a_log_that_grows_brings_only_what_is_new(move, tmp_path):
    source = log_of(tmp_path / "log.jsonl", events(10))
    move.run(source)
    with source.open("ab") as log:
        log.write(line(event(10)))

    report = move.run(source).report

    assert (report["stored_now"], report["counts"]["lines"], report["counts"]["duplicates"]) == (1, 11, 0)


def test_a_log_that_was_replaced_is_read_anew(move, tmp_path):
    """Its first line is still there, what follows is another text: nothing of it is missed, nothing is there twice."""
    source = log_of(tmp_path / "log.jsonl", events(10))
    move.run(source)
    log_of(source, [event(0), *(event(number) for number in range(20, 40))])

    move.run(source)

    assert move.events() == [*events(10), *(event(number) for number in range(20, 40))]


def test_a_dry_run_tells_everything_and_changes_nothing(move, tmp_path):
    source = log_of(tmp_path / "log.jsonl", [*events(20), b"no event\n", event(3), event(4, _agent_id="other")])

    before = move.run(source, options=["--dry-run"], code=5).report
    assert list(move.db.parent.iterdir()) == []
    done = move.run(source, code=5).report
    state = state_of(move.db.parent)
    again = move.run(source, options=["--dry-run"], code=5).report

    assert before["counts"] == done["counts"]
    assert (before["contexts"], before["reduction"]) == (done["contexts"], pytest.approx(done["reduction"], abs=0.05))
    assert again["stored_now"] == 0
    assert state_of(move.db.parent) == state


# ---- who else is there ----


def test_the_database_of_a_store_in_use_is_refused(stores, tmp_path):
    """By its leader while it lives, by its segment afterwards: that gives out positions of its own."""
    source = log_of(tmp_path / "log.jsonl", events(3))
    store = stores.open()
    store.put("x")
    with pytest.raises(LeaderAlive):
        migrate([source], stores.database)
    store.close()

    with pytest.raises(TargetUnavailable, match="whose segment is there"):
        migrate([source], stores.database)
    package.unlink(stores.name)
    migrate([source], stores.database)

    with stores.open() as store:
        assert store.event("evt_00000002").data == {"number": 2}
        assert len(store.query(event_name="x")) == 1


def test_into_a_store_in_use(stores, tmp_path):
    """Through puts, each once however often it is repeated, with everything that the way back needs."""
    text = "long " * 1000
    log = [*events(700, _session={"id": "s-1", "x": 1}), {"timestamp": "2025-07-22", "event_name": "odd", "data": {}}]
    log[5]["data"]["prompt"] = log[6]["data"]["prompt"] = text
    log[7]["data"]["_ksi_context"]["_event_timestamp"] = "2025-07-22T10:00:00Z"
    other = event(5, _agent_id="another")
    source = log_of(tmp_path / "log.jsonl", [*log, b"no event\n", other, event(8, _session={"id": "s-1", "x": 1})])
    store = stores.open()
    bad = []

    first = migrate_live([source], store, tell=bad.append)
    log_of(source, [*log[:-1], other])
    again = migrate_live([source], store)

    counts = first.counts
    assert (counts.stored, counts.duplicates, counts.reused, counts.bad) == (702, 1, 1, 1)
    assert [found.reason for found in bad] == [found.reason for found in bad if "no JSON" in found.reason]
    assert (again.counts.stored, again.counts.duplicates) == (0, 701)
    assert store[f"evt_{699:08x}"].session == {"id": "s-1", "x": 1}
    assert store.event("evt_00000006").data["prompt"] == text
    store.close()
    target = tmp_path / "back.jsonl"
    result = shmctx("export", "--db", stores.database, "--to", target)
    assert result.code == 0, result
    assert [json.loads(found) for found in target.read_bytes().splitlines()] == [*log, other]


def test_the_command_moves_into_a_store_that_nobody_drains(stores, tmp_path):
    """It drains meanwhile itself."""
    stores.leaderless()
    source = log_of(tmp_path / "log.jsonl", [*events(50), b"no event\n"])
    aside = tmp_path / "aside.jsonl"

    result = shmctx("migrate", source, "--name", stores.name, "--bad-lines", aside, "--json")

    assert (result.code, result.counts["stored"]) == (5, 50)
    assert json.loads(aside.read_bytes())["line"] == 51


@pytest.mark.parametrize(
    "options", [[], ["--db", "x.db", "--name", "y"], ["--name", "y", "--dry-run"], ["--name", "y", "--out", "z"]]
)
def test_one_place_is_named(options, tmp_path):
    assert shmctx("migrate", log_of(tmp_path / "log.jsonl", events(1)), *options).code == 2


# ---- ageing ----


def test_history_does_not_expire_because_it_is_old(move, tmp_path):
    """Its age counts from when it came; queries see its own time."""
    move.run(log_of(tmp_path / "log.jsonl", events(100)))

    assert prune(move.db, 24 * HOUR_NS).contexts == 0
    assert len(move.events()) == 100
    with connect(move.db, Connection, readonly=False) as connection:
        connection.execute("UPDATE arrival SET time_ns = ?", (time.time_ns() - 25 * HOUR_NS,))
    connection.close()
    assert prune(move.db, 24 * HOUR_NS).contexts == 100


def test_a_line_that_is_refused_says_where_it_was(move, tmp_path):
    deep = {"x": 1}
    for _ in range(40):
        deep = {"x": deep}
    refused = event(1) | {"data": {"deep": deep}}
    with pytest.raises(Unfit):
        arrival_of(event_of(line(refused)), STORE, 1)

    move.run(log_of(tmp_path / "log.jsonl", [event(0), refused]), code=5)

    ((number, reason),) = move.bad()
    assert number == 2
    assert "deeper" in reason
