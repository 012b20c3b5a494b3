"""The leader's loop: one transaction for rows and position, fencing, group commit, errors that pass."""

import sqlite3
import threading

import pytest
import wal

import shmctx
from shmctx.cold import Batch
from shmctx.cold.sqlite import SqliteWriter
from shmctx.errors import ColdMismatch, ColdUnavailable, LeadershipLost, NotDurable
from shmctx.hot._core import ANNOTATION, CONTEXT, SESSION


@pytest.fixture
def shell(stores):
    """A foreign program's connection to the database."""
    connections = []

    def connect(**options):
        connections.append(sqlite3.connect(stores.database, isolation_level=None, timeout=5, **options))
        return connections[-1]

    yield connect
    for connection in connections:
        connection.close()


def drained_position(connection):
    return connection.execute("SELECT position, epoch FROM store").fetchone()


def test_rows_and_position_are_one_transaction(stores, shell):
    """Whenever somebody looks, the database holds exactly the records before its position."""
    store = stores.open(1 << 20, batch_records=50, batch_window=0.0)
    refs = []
    look = shell()
    seen = []
    for _ in range(40):
        refs += [store.put("x") for _ in range(25)]
        look.execute("BEGIN")
        position, _ = drained_position(look)
        rows = {row[0] for row in look.execute("SELECT position FROM record")}
        look.execute("COMMIT")
        seen.append(len(rows))
        expected = {place for place in (store[ref].position for ref in refs) if place < position}
        assert rows == expected
    store.flush()
    assert len(look.execute("SELECT position FROM record").fetchall()) == len(refs)
    assert seen == sorted(seen)


def test_a_leader_that_was_replaced_cannot_commit(stores):
    """Fencing without the lock: an epoch raised by another writer makes the former one's commit fail, with no row."""
    store = stores.leaderless()
    position = store[store.put("x")].position
    with SqliteWriterPair(stores, store.store_id) as (former, newer):
        record = (position, CONTEXT, False, 1, store.get_bytes(next(iter(store))))
        batch = Batch(start=newer.cursor().position, end=position + 2, records=[record])
        with pytest.raises(LeadershipLost):
            former.commit(batch)
        with pytest.raises(LeadershipLost):
            former.begin_generation(generation=1, capacity=64, position=99)
        assert former.cursor().position == batch.start
        newer.commit(batch)
        with pytest.raises(LeadershipLost):  # the same again: the position has moved
            newer.commit(batch)
        assert [record[0] for record in newer.newest(0, position + 2)] == [position]


class SqliteWriterPair:
    """Two writers of one database, the second with the newer epoch."""

    def __init__(self, stores, store_id):
        self.writers = [SqliteWriter(stores.database), SqliteWriter(stores.database)]
        self.epochs = [writer.take_over(store_id=store_id).epoch for writer in self.writers]

    def __enter__(self):
        assert self.epochs[1] == self.epochs[0] + 1
        return self.writers

    def __exit__(self, *_):
        for writer in self.writers:
            writer.close()


def test_every_leader_raises_the_epoch(stores, shell):
    epochs = []
    for _ in range(3):
        with stores.open() as store:
            store.put("x", durable=True)
            epochs.append((store.stats()["leader"]["epoch"], drained_position(shell())[1]))

    assert [shown for shown, _ in epochs] == [stored for _, stored in epochs] == sorted({shown for shown, _ in epochs})


def test_durable_puts_that_wait_together_share_a_commit(stores, shell):
    store = stores.open(1 << 20, durable_timeout=60.0)
    store.put("first", durable=True)
    lock = shell()
    lock.execute("BEGIN IMMEDIATE")
    refs = []
    threads = [
        threading.Thread(target=lambda: refs.append(store.put("x", durable=True)), name=f"put {n}") for n in range(16)
    ]
    before = wal.commits(stores.database)
    for thread in threads:
        thread.start()
    assert refs == []
    lock.execute("COMMIT")
    for thread in threads:
        thread.join(60)

    assert len(refs) == 16
    assert 1 <= wal.commits(stores.database) - before < 16
    assert all(stores.cold(store, ref) for ref in refs)


def test_a_durable_put_that_cannot_be_committed_is_an_error_and_keeps_its_record(stores, shell):
    store = stores.open(durable_timeout=0.5)
    store.put("first", durable=True)
    lock = shell()
    lock.execute("BEGIN IMMEDIATE")
    with pytest.raises(NotDurable) as caught:
        store.put("x", durable=True)
    with pytest.raises(NotDurable):
        store.flush(timeout=0.2)
    assert "shmctx stat" in caught.value.hint
    assert [context.event_name for context in store.values()] == ["first", "x"]

    lock.execute("COMMIT")
    store.flush(timeout=30)
    assert store.stats()["lag_bytes"] == 0


def test_errors_of_the_database_are_told_and_pass(stores, shell, wait_for):
    store = stores.open()
    store.put("first", durable=True)
    lock = shell()
    lock.execute("BEGIN IMMEDIATE")
    refs = [store.put("x") for _ in range(50)]
    stats = wait_for(lambda: (now := store.stats())["leader"]["error"] and now)

    assert "locked" in stats["leader"]["error"]
    assert stats["lag_bytes"] >= 50 * 128
    assert 0 < stats["lag_share"] < 1
    assert stats["oldest_undrained_seconds"] >= 0
    assert all(ref in store for ref in refs)
    lock.execute("COMMIT")
    store.flush(timeout=30)
    assert store.stats()["leader"]["error"] == ""
    assert all(stores.cold(store, ref) for ref in refs)


def hostile_payloads():
    """Payloads with a checksum that fits, which no put() writes."""
    big, name = b"\xcf" + b"\xff" * 8, b"\xa1x"
    for payload in (b"", b"\xc1", b"\x90", b"\x91\x01", b"\xc4\x02xx", b"\x91\xa2\xff\xfe"):
        yield CONTEXT, payload
    yield CONTEXT, b"\x92" + name + big  # depth
    yield CONTEXT, b"\x93" + name + b"\x00" + big  # parent
    yield CONTEXT, b"\x94" + name + b"\x00\xc0" + big  # correlation
    yield CONTEXT, b"\x97" + name + b"\x00\xc0\xc0\xc0\xc0" + big  # session
    yield CONTEXT, b"\x98" + name + b"\x00\xc0\xc0\xc0\xc0\xc0" + big  # form
    yield CONTEXT, b"\x99" + name + b"\x00\xc0\xc0\xc0\xc0\xc0\x08\xa1y"  # a text where eight hex digits are flagged
    nan = b"\xcb\x7f\xf8" + bytes(6)
    yield CONTEXT, b"\x9b" + name + b"\x00\xc0\xc0\xc0\xc0\xc0\x00\xc0\xc0\x81\xa2_a" + nan
    yield CONTEXT, b"\x92" + name + b"\x00" + b"trailing"
    yield SESSION, b"\x90"
    yield SESSION, b"\x93\xa1s\xc0" + big
    yield SESSION, b"\x94\xa1s\xc0\xc0\xc4\x01x"
    yield ANNOTATION, b"\x92" + big + b"\x80"
    yield ANNOTATION, b"\x92\x01\xc0"
    yield 9, b"a kind that nobody knows"


@pytest.mark.parametrize("kind, payload", list(hostile_payloads()), ids=repr)
def test_a_record_that_makes_no_sense_stops_nobody(stores, shell, kind, payload):
    """It is put aside or stored, never lost and never in the way of what comes after it."""
    store = stores.open()
    before = store.put("before", durable=True)
    strange = store._ring.append(kind, payload, 0, None, None, None, None, None)
    after = store.put("after", parent=before)
    store.flush(timeout=10)

    assert [context.event_name for context in store.query() if context.ref != strange] == ["before", "after"]
    assert store.get(strange) is None or store.get(strange).to_dict()
    assert [child.ref for child in store.children(before)] == [after]
    tables = ("record", "session", "annotation", "quarantine")
    kept = " UNION ".join(f"SELECT position FROM {table}" for table in tables)
    positions = {row[0] for row in shell().execute(kept)}
    assert {shmctx.hot._core.parse_ref(ref)[1] for ref in (before, strange, after)} <= positions
    for position, reason, raw in shell().execute("SELECT position, reason, raw FROM quarantine"):
        assert position == shmctx.hot._core.parse_ref(strange)[1]
        assert reason
        assert payload in raw


def test_values_at_the_edge_of_the_database_s_types_are_stored(stores, side):
    store = stores.leaderless()
    session = {"id": "s", "created_at": 1 << 63, "big": (1 << 64) - 1}
    ref = store.put("x", session=session, _n=(1 << 64) - 1, _m=-(1 << 63), depth=(1 << 32) - 1, time_ns=(1 << 63) - 1)
    store = side(store)

    assert store[ref].session == session
    assert (store[ref].custom, store[ref].depth) == ({"_n": (1 << 64) - 1, "_m": -(1 << 63)}, (1 << 32) - 1)


def test_a_database_that_is_removed_is_made_again_with_what_the_ring_has(stores, wait_for):
    store = stores.open(1 << 16)
    refs = [store.put("x", durable=True)]
    for file in stores.database.parent.glob("contexts.db*"):
        if not file.name.endswith(".lock"):
            file.unlink()
    refs.append(store.put("y"))
    store.flush(timeout=30)

    assert all(stores.cold(store, ref) == store[ref] for ref in refs)
    assert list(store) == refs


def test_a_database_of_another_store_is_not_drained_into(stores, tmp_path):
    with shmctx.open(f"{stores.name}-2", db=tmp_path / "other.db", ring_size=4096) as other:
        other.put("theirs", durable=True)
    with stores.open(4096) as store:
        ref = store.put("mine", durable=True)
    (tmp_path / "other.db").replace(stores.database)

    with pytest.raises(ColdMismatch, match=f"{store.store_id:06x}") as caught:
        stores.open()
    assert caught.value.hint
    with stores.attach() as agent:
        assert agent[ref].event_name == "mine"
    with sqlite3.connect(stores.database) as look:
        assert look.execute("SELECT count(*) FROM record").fetchone() == (1,)
    look.close()


def test_opening_needs_the_database_even_if_a_segment_is_there(stores, tmp_path):
    store = stores.leaderless()
    store.put("x")

    with pytest.raises(ColdMismatch, match="drains to") as caught:
        stores.open(db=tmp_path / "another.db")
    assert "unlink" in caught.value.hint


def test_a_locked_database_at_the_start_is_an_error_that_names_it(stores, shell):
    stores.leaderless()
    lock = shell()
    lock.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ColdUnavailable, match="locked") as caught:
        stores.open()
    assert "Another program" in caught.value.hint
    lock.execute("COMMIT")
    assert stores.open().put("x", durable=True)
