"""Reading: through indexes, without writing, without holding up the log."""

import sqlite3
import threading

import pytest

import shmctx
from shmctx.cold import Query, questions
from shmctx.cold.reader import SqliteReader
from shmctx.errors import ColdUnavailable
from shmctx.names import SQL_FUNCTION


@pytest.fixture
def filled(stores):
    """A reader of a database with a few thousand contexts of many conversations, agents and sessions."""
    store = stores.leaderless(4 << 20)
    for number in range(300):
        session = {"id": f"s-{number % 60}"}
        with store.span("start", agent_id=f"a-{number % 40}", session=session, event_id=f"e-{number}"):
            for step in range(7):
                ref = store.put(f"step:{step}", agent_id=f"a-{step + number % 40}")
    store.annotate(ref, error="e")
    stores.drain()
    reader = SqliteReader(stores.database, store.store_id)
    yield reader, store, ref
    reader.close()


def plan_of(stores, question):
    """The query plan, one line per step. The reader answers the question too, so that it is one that is asked."""
    look = sqlite3.connect(stores.database)
    look.create_function(*SQL_FUNCTION)
    steps = [row[3] for row in look.execute(f"EXPLAIN QUERY PLAN {question.sql}", question.values)]
    look.close()
    assert steps
    if "CO-ROUTINE r" in steps:
        steps.remove("SCAN r")  # of the rows of one page, that the search inside it has found
    return steps


def contexts(**filters):
    return lambda _, store: questions.contexts(Query(**filters), store.store_id)


LOOKUPS = {
    "by ref": (lambda at, store: questions.context_at(at, store.store_id), "SEARCH r USING INTEGER PRIMARY KEY"),
    "by alias": (lambda *_: questions.position_of("e-7"), "USING COVERING INDEX record_by_event_id"),
    "session": (lambda *_: questions.session_at(3), "SEARCH session USING INTEGER PRIMARY KEY"),
    "annotations": (lambda at, _: questions.annotations_of([at, at + 1]), "USING INDEX annotation_by_target"),
    "positions": (lambda at, _: questions.positions_after(at), "SEARCH record USING INTEGER PRIMARY KEY"),
    "by correlation": (contexts(correlation=3), "record_by_correlation"),
    "by brought correlation, in pages": (contexts(correlation="c", limit=3, after=5), "record_by_correlation"),
    "by agent": (contexts(agent_id="a-3"), "record_by_agent"),
    "by agent, newest": (contexts(agent_id="a-3", limit=2, newest_first=True), "record_by_agent"),
    "by session": (contexts(session_id="s-3"), "record_by_session"),
    "by parent": (contexts(parent=3), "record_by_parent"),
    "by brought parent": (contexts(parent="e-3"), "record_by_parent"),
    "by name": (contexts(event_name="start"), "record_by_name"),
    "by pattern, in pieces": (contexts(event_name="st*", limit=3, after=5), "SEARCH r USING INTEGER PRIMARY KEY"),
    "newest": (contexts(limit=10, newest_first=True), ""),
}


@pytest.mark.parametrize("ask, index", LOOKUPS.values(), ids=LOOKUPS)
def test_every_look_up_goes_through_an_index(stores, filled, ask, index):
    reader, store, ref = filled
    question = ask(store[ref].position, store)
    steps = plan_of(stores, question)

    reader.ask(question)
    assert [step for step in steps if step.startswith("SCAN") and (index or "SCAN r" not in step)] == []
    assert any(index in step for step in steps), steps
    if "session" not in index:  # several records may hold one session; all others come in the index's order
        assert [step for step in steps if "TEMP B-TREE" in step] == []


def test_a_pattern_s_names_are_found_in_the_index_and_their_contexts_by_name(stores, filled):
    reader, store, _ = filled
    question = questions.contexts(Query(event_name="st*"), store.store_id)
    steps = plan_of(stores, question)

    assert reader.ask(question)
    assert any(step.startswith("SEARCH text") and "value>? AND value<?" in step for step in steps), steps
    assert any("record_by_name" in step for step in steps), steps


def test_by_time_only_the_stretches_that_have_such_times(stores, filled):
    _, store, ref = filled
    end = store[ref].time_ns
    steps = plan_of(stores, questions.contexts(Query(since_ns=end - 10, until_ns=end), store.store_id))

    assert "SEARCH r USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in steps


def test_a_reader_never_writes_and_never_checkpoints(stores, spawn):
    """A log that a killed leader left stays as it is, byte for byte, however much is read."""
    leader = spawn(
        """
        import os, shmctx, sys
        store = shmctx.open(sys.argv[1], db=sys.argv[2], ring_size=1 << 16)
        refs = [store.put("x", durable=True) for _ in range(20)]
        print(store.store_id, refs[0], flush=True)
        os.kill(os.getpid(), 9)
        """,
        stores.name,
        stores.database,
    )
    store_id, ref = leader.line().split()
    leader.wait(30)
    files = [stores.database, stores.database.with_name("contexts.db-wal")]
    before = [file.read_bytes() for file in files]
    assert len(before[1]) > 32
    with shmctx.attach(stores.name) as agent:
        position = agent[ref].position
    for _ in range(3):
        reader = SqliteReader(stores.database, int(store_id))
        assert reader.ask(questions.context_at(position, int(store_id))).event_name == "x"
        assert reader.ask(questions.count()) == 20
        assert len(reader.ask(questions.positions_after(0))) == 20
        assert len(reader.ask(questions.contexts(Query(), int(store_id)))) == 20
        with pytest.raises(ColdUnavailable, match="readonly"):
            reader.ask(questions.Question("DELETE FROM record", (), list))
        reader.close()

    assert [file.read_bytes() for file in files] == before


def test_the_log_stays_bounded_while_readers_come_and_go(stores):
    """At every moment somebody reads; the leader makes room all the same."""
    limit = 256 << 10
    store = stores.open(1 << 20, wal_limit=limit, idle_interval=0.01, put_timeout=30.0)
    store.put("first", durable=True)
    done, errors = threading.Event(), []

    def read():
        try:
            while not done.is_set():
                store.query(event_name="first", limit=1)
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        largest = 0
        for _ in range(60):
            store.put_many([("x", {"_data": "y" * 400})] * 100)
            store.flush(timeout=30)
            largest = max(largest, store.stats()["wal_bytes"])
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert errors == []
    assert largest < limit + (2 << 20)


def test_after_a_long_read_the_log_shrinks_again(stores, wait_for, shell):
    store = stores.open(1 << 20, wal_limit=64 << 10, idle_interval=0.01, put_timeout=30.0)
    store.put("first", durable=True)
    look = shell()
    look.execute("BEGIN")
    look.execute("SELECT count(*) FROM record").fetchone()
    for _ in range(10):
        store.put_many([("x", {"_data": "y" * 400})] * 100)
    store.flush(timeout=30)
    assert store.stats()["wal_bytes"] > 64 << 10
    assert look.execute("SELECT count(*) FROM record").fetchone()[0] == 1  # its snapshot
    look.execute("COMMIT")

    wait_for(lambda: store.stats()["wal_bytes"] <= 64 << 10)


def test_many_threads_read_through_a_small_pool(stores):
    store = stores.leaderless(4096)
    ref = store.put("x", agent_id="a")
    stores.drain()
    stores.evict(store, ref)
    found, threads = [], []
    for _ in range(12):
        threads.append(threading.Thread(target=lambda: found.extend(store[ref].agent_id for _ in range(50))))
        threads[-1].start()
    for thread in threads:
        thread.join()

    assert found == ["a"] * 600
    assert len(store._attachment.reader._pool) <= 4
