"""A database of schema version 1, before event data, is brought up to date: same contexts, same ids, same answers."""

import contextlib
import sqlite3
import time

import pytest

import shmctx
from shmctx.cold import schema

TEXT = "CASE WHEN typeof({0}) = 'integer' AND {0} < 0 THEN printf('{1}%08x', -1 - {0}) ELSE {0} END"
PAST = int(time.time()) - 3600
"""Seconds: before everything else that is put, and not old enough to be pruned."""


def fill(store):
    """Contexts whose ids have every form there is: native, eight hex digits, any text, and what looks like either."""
    ids = {
        "hex": {"event_id": "evt_0123abcd", "correlation_id": "corr_89abcdef"},
        "zero": {"event_id": "evt_00000000", "correlation_id": "corr_ffffffff"},
        "text": {"event_id": "7", "correlation_id": "-1"},
        "upper": {"event_id": "evt_0123ABCD", "correlation_id": "corr_0123ABCD"},
        "crossed": {"event_id": "corr_01234567", "correlation_id": "evt_01234567"},
        "long": {"event_id": "evt_" + "0" * 32, "correlation_id": "é" * 20, "root_event_id": "evt_00000001"},
        "absent": {"parent_event_id": "evt_deadbeef", "root_event_id": "evt_deadbeef", "depth": 3},
        "rooted": {
            "parent_event_id": "evt_0123abcd",
            "root_event_id": "evt_76543210",
            "correlation_id": "corr_89abcdef",
        },
        "native": {},
    }
    refs = [store.put(name, agent_id="agent", **fields) for name, fields in ids.items()]
    session = {"id": "s-1", "agent_id": "agent", "created_at": 1.5, "more": [1]}
    for ref in list(refs):
        child = store.put("child", parent=ref, session=session, client_id="client", tags=["a"], _n=len(refs))
        refs += [child, store.put("grandchild", parent=child, error={"code": 1}, timestamp=PAST + 0.25)]
        store.annotate(child, response_ref="r", _noted=True)
    return refs


def answers(store, refs):
    """Everything that can be asked."""
    contexts = [store[ref] for ref in refs]
    found = [[context.to_dict() for context in contexts], [context.session for context in contexts], list(store)]
    found += [store.get(context.event_id) for context in contexts]
    for context in contexts:
        found += [store.query(correlation_id=context.correlation_id), store.children(context.ref)]
        found += [store.query(parent=context.ref), store.ancestors(context.ref), store.event(context.ref)]
    found += [store.query(agent_id="agent"), store.query(session_id="s-1"), store.query(event_name="grandchild")]
    moments = (PAST, PAST + 1, PAST + 7200)
    found += [store.query(since=moment) for moment in moments] + [store.query(until=moment) for moment in moments]
    return [*found, store.query(since=PAST + 0.25, until=PAST + 1)]


def downgrade(path):
    """The same contents as a shmctx of version 1 had written them, with something in quarantine."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DROP VIEW context")
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for table in tables:
            db.execute(f"ALTER TABLE {table} RENAME TO new_{table}")
        for (index,) in db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
        ).fetchall():
            db.execute(f"DROP INDEX {index}")
        db.executescript(schema.MIGRATIONS[0])
        for table in ("store", "text", "session", "record", "annotation", "quarantine"):
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            prefixes = {"parent": "evt_", "root": "evt_", "event_id": "evt_", "correlation": "corr_"}
            brought = prefixes if table == "record" else {}
            values = [TEXT.format(name, brought[name]) if name in brought else name for name in columns]
            db.execute(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM new_{table}")
        for table in tables:
            db.execute(f"DROP TABLE new_{table}")
        db.execute("INSERT INTO quarantine VALUES (1, 1, 'was damaged', x'00')")
        db.execute("PRAGMA user_version = 1")


@pytest.fixture
def old(stores):
    """(refs, what was answered, rows of the view) of a store whose database is of version 1 now."""
    with stores.open() as store:
        refs = fill(store)
        store.flush()
        before = answers(store, refs)
    shmctx.unlink(stores.name)
    rows = view(stores.database)
    downgrade(stores.database)
    return refs, before, rows


def view(path):
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT * FROM context ORDER BY position").fetchall()


@pytest.mark.parametrize("rehydrate", [True, False])
def test_a_database_of_version_1_gives_the_same_answers(stores, old, rehydrate):
    refs, before, rows = old
    with stores.open(rehydrate=rehydrate) as store:
        assert answers(store, refs) == before
        new = store.put("new", data={"n": 1}, durable=True)
        assert store.event(new).data == {"n": 1}

    assert view(stores.database)[:-1] == rows
    with contextlib.closing(sqlite3.connect(stores.database)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        put_aside = db.execute("SELECT position, kind, reason, raw FROM quarantine").fetchall()
        assert put_aside == [(1, 1, "was damaged", b"\0")]
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_migration_that_ended_between_its_steps_is_finished(stores, old):
    """One version after the other, each time by a process that is gone then; the last one before it made the view."""
    refs, before, rows = old
    for number in range(1, schema.VERSION):
        with contextlib.closing(sqlite3.connect(stores.database)) as db:
            db.create_function("packed", 2, schema.packed, deterministic=True)
            db.executescript(f"BEGIN; {schema.MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;")
    with stores.open() as store:
        assert answers(store, refs) == before

    assert view(stores.database) == rows


def test_a_migration_that_fails_changes_nothing(stores, old):
    """As on a disk that is full; the next start does it."""
    refs, before, _ = old
    with contextlib.closing(sqlite3.connect(stores.database)) as db, db:
        db.execute("CREATE TABLE lean_record (in_the_way INTEGER)")
        db.execute("UPDATE record SET depth = depth")
        dump = list(db.iterdump())
    with pytest.raises(shmctx.errors.ColdUnavailable, match="lean_record"):
        stores.open()
    with contextlib.closing(sqlite3.connect(stores.database)) as db, db:
        assert list(db.iterdump()) == dump
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        db.execute("DROP TABLE lean_record")

    with stores.open() as store:
        assert answers(store, refs) == before
