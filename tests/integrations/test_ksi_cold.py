"""Cold storage: the database under the names of KSI's tables."""

import asyncio
import json
import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest

import shmctx
from shmctx.integrations.ksi import ContextManager, ksi_context

NOW = round(time.time()) - 60  # what is older than the retention is pruned
CONTEXTS = ["ref", "event_id", "correlation_id", "session_id", "agent_id", "context_json", "created_at", "expires_at"]
EVENTS = ["event_id", "event_name", "timestamp", "context_ref", "jsonl_offset", "jsonl_file"]


async def stored(manager, **fields):
    """An event in a chain of its own; returns its context."""
    ksi_context.set(None)
    context = await manager.create_context(**fields)
    event = {"event_id": context["_event_id"], "timestamp": context["_event_timestamp"], "data": {"n": 1}}
    await manager.store_event_with_context({**event, "event_name": "agent:status"})
    return context


def line_at(row):
    return json.loads(Path(row["jsonl_file"]).read_bytes()[row["jsonl_offset"] :].split(b"\n")[0])


def test_contexts_have_the_columns_of_ksi(ksi):
    async def work(manager):
        context = await stored(
            manager, timestamp=NOW + 0.5452547, agent_id="a-7", session={"id": "s-1", "x": [1]}, trial=None
        )
        bare = await stored(manager)
        rows = manager.cold_storage.conn.execute("SELECT * FROM contexts ORDER BY created_at").fetchall()
        assert [list(row.keys()) for row in rows] == [CONTEXTS, CONTEXTS]
        found = {row["ref"]: dict(row) for row in rows}
        row = found[context["_ref"]]
        assert json.loads(row.pop("context_json")) == context
        assert row == {
            "ref": context["_ref"],
            "event_id": context["_event_id"],
            "correlation_id": context["_correlation_id"],
            "session_id": "s-1",
            "agent_id": "a-7",
            "created_at": NOW,
            "expires_at": NOW + 7 * 86_400,
        }
        assert json.loads(found[bare["_ref"]]["context_json"]) == bare
        assert (found[bare["_ref"]]["session_id"], found[bare["_ref"]]["agent_id"]) == (None, None)

    ksi(work)


def test_events_say_where_their_line_is(ksi):
    async def work(manager):
        contexts = [await stored(manager), await stored(manager)]
        rows = manager.cold_storage.conn.execute("SELECT * FROM events ORDER BY jsonl_offset").fetchall()
        assert [list(row.keys()) for row in rows] == [EVENTS, EVENTS]
        for row, context in zip(rows, contexts, strict=True):
            assert (row["event_id"], row["context_ref"]) == (context["_event_id"], context["_ref"])
            assert (row["event_name"], row["timestamp"]) == ("agent:status", context["_event_timestamp"])
            assert line_at(row)["data"] == {"n": 1}

    ksi(work)


def test_the_time_of_an_event_is_its_own(ksi):
    async def work(manager):
        context = await manager.create_context(timestamp=NOW + 0.5)
        event = {"event_id": context["_event_id"], "event_name": "x", "timestamp": NOW + 1.25, "data": {}}
        await manager.store_event_with_context(event)
        (row,) = manager.cold_storage.conn.execute("SELECT timestamp FROM events").fetchall()
        assert row["timestamp"] == NOW + 1.25
        found = await manager.get_event_with_context(context["_event_id"])
        assert (found["timestamp"], found["_ksi_context"]["_event_timestamp"]) == (NOW + 1.25, NOW + 0.5)

    ksi(work)


def test_queries_of_ksi_run_as_they_are(ksi):
    """The statements of its context service: by correlation, agent, session, event and time, joined and counted."""

    async def work(manager):
        first = await stored(manager, timestamp=NOW + 0.0, agent_id="a-7", session={"id": "s-1"})
        second = await stored(manager, timestamp=NOW + 20.5, agent_id="a-8")
        ask = manager.cold_storage.conn.execute
        for column, value, found in (
            ("correlation_id", first["_correlation_id"], [first]),
            ("agent_id", "a-8", [second]),
            ("session_id", "s-1", [first]),
            ("event_id", second["_event_id"], [second]),
            ("ref", first["_ref"], [first]),
        ):
            rows = ask(
                f"SELECT ref, context_json FROM contexts WHERE {column} = ? ORDER BY created_at DESC LIMIT 20", (value,)
            ).fetchall()
            assert [json.loads(row["context_json"]) for row in rows] == found
        rows = ask("SELECT ref FROM contexts WHERE 1=1 ORDER BY created_at DESC LIMIT ?", (5,)).fetchall()
        assert [row["ref"] for row in rows] == [second["_ref"], first["_ref"]]
        counted = ask("SELECT COUNT(*) as count, MIN(created_at) as oldest, MAX(created_at) as newest FROM contexts")
        assert dict(counted.fetchone()) == {"count": 2, "oldest": NOW, "newest": NOW + 20}
        joined = ask(
            "SELECT e.*, c.context_json FROM events e JOIN contexts c ON e.context_ref = c.ref WHERE e.event_id = ?",
            (first["_event_id"],),
        ).fetchone()
        assert json.loads(joined["context_json"]) == first
        late = [row["ref"] for row in ask("SELECT ref FROM contexts WHERE created_at > ?", (NOW + 1,))]
        assert late == [second["_ref"]]

    ksi(work)


@pytest.mark.parametrize("column", ["agent_id", "session_id"])
def test_agents_and_sessions_are_searched_through_an_index(ksi, column):
    async def work(manager):
        await stored(manager, agent_id="a", session={"id": "s"})
        sql = f"EXPLAIN QUERY PLAN SELECT * FROM contexts WHERE {column} = ?"
        plan = manager.cold_storage.conn.execute(sql, ("a",))
        assert not [row["detail"] for row in plan if row["detail"].startswith("SCAN")]

    ksi(work)


def test_the_connection_only_reads(ksi):
    async def work(manager):
        await stored(manager)
        connection = manager.cold_storage.conn
        for sql in ("DELETE FROM contexts", "DELETE FROM main.record", "CREATE TABLE t (x)", "DROP VIEW temp.contexts"):
            with pytest.raises(sqlite3.OperationalError):
                connection.execute(sql)
        assert len(connection.execute("SELECT * FROM contexts").fetchall()) == 1

    ksi(work)


def test_what_was_annotated_later_is_in_the_context(ksi):
    async def work(manager):
        context = await stored(manager)
        manager.store.annotate(context["_ref"], error_message="no", _rating=3)
        known = {**context, "_error_message": "no", "_rating": 3}
        assert await manager.get_context(context["_ref"]) == known
        (row,) = manager.cold_storage.conn.execute("SELECT context_json FROM contexts").fetchall()
        assert json.loads(row[0]) == known

    ksi(work)


def test_contexts_that_a_store_named_itself_are_there_under_its_refs(stores, ksi):
    store = stores.open()
    native = store.put("agent:status", agent_id="a-7")

    async def work(manager):
        ask = manager.cold_storage.conn.execute
        (row,) = ask("SELECT * FROM contexts").fetchall()
        assert (row["ref"], row["event_id"]) == (native, store[native].event_id)
        assert await manager.get_context(row["ref"]) == json.loads(row["context_json"])
        (event,) = ask("SELECT * FROM events").fetchall()
        assert (event["context_ref"], event["jsonl_file"]) == (native, None)

    ksi(work, store=store)


def test_where_nobody_drains_what_is_drained_is_read(stores, ksi):
    store = stores.leaderless()

    async def work(manager):
        await stored(manager)
        assert manager.cold_storage.conn.execute("SELECT * FROM contexts").fetchall() == []
        stores.drain()
        assert len(manager.cold_storage.conn.execute("SELECT * FROM contexts").fetchall()) == 1

    ksi(work, store=store)


def test_any_thread_may_read(ksi):
    async def work(manager):
        await stored(manager)

        def read():
            return len(manager.cold_storage.conn.execute("SELECT * FROM contexts").fetchall())

        assert await asyncio.gather(*(asyncio.to_thread(read) for _ in range(8))) == [1] * 8
        assert threading.active_count() > 1

    ksi(work)


def in_a_child(function):
    """What a function returns in a forked child, a small number."""
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            code = function()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_fork_leaves_both_with_a_connection(ksi):
    async def work(manager):
        def count():
            return manager.cold_storage.conn.execute("SELECT count(*) FROM contexts").fetchone()[0]

        await stored(manager)
        assert count() == 1
        assert in_a_child(count) == 1
        assert count() == 1

    ksi(work)


def test_a_database_of_ksi_itself_is_refused(tmp_path, segment_name):
    """Its contexts are moved by `shmctx migrate`; nothing is done to the file."""
    path = tmp_path / "ksi.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE contexts (ref TEXT PRIMARY KEY, context_json JSON NOT NULL)")
    connection.close()

    async def work():
        await ContextManager(name=segment_name, db=path).initialize()

    with pytest.raises(shmctx.ColdError, match="another application"):
        asyncio.run(work())
