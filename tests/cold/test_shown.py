"""What a person with the sqlite3 shell sees: the view `context` under the names of to_dict()."""

import json

import pytest

PLAIN = (
    "ref", "event_id", "event_name", "correlation_id", "parent_event_id", "root_event_id", "agent_id", "client_id",
    "user_id", "tenant_id", "environment", "error_type", "error_message", "response_ref", "depth",
)  # fmt: skip


def shown(row):
    """A row of the view under wire names, JSON decoded and NULL left out."""
    wire = {("_event_depth" if name == "depth" else f"_{name}"): row[name] for name in PLAIN}
    wire["_event_timestamp"] = row["timestamp"]
    for name in ("tags", "error"):
        wire[f"_{name}"] = None if row[name] is None else json.loads(row[name])
    wire |= json.loads(row["extra"] or "{}")
    return {name: value for name, value in wire.items() if value is not None}


def wire_of(context):
    """to_dict() without the session's data; the view's ref is the native one."""
    return {name: value for name, value in context.to_dict().items() if name != "_session"} | {"_ref": context.ref}


@pytest.fixture
def story(stores):
    """A store with every kind of context in the database."""
    store = stores.leaderless()
    everything = {
        "agent_id": "a", "client_id": "c", "user_id": "u", "tenant_id": "t", "environment": "e", "tags": ["x", "ü"],
        "error": {"code": 1}, "error_type": "T", "error_message": "m", "response_ref": "r", "session": {"id": "s"},
        "_own": [1, {"k": None}], "timestamp": 1795331471.5404649,
    }  # fmt: skip
    native = store.put("native", **everything)
    for parent in (native, store.put("brought", event_id="evt_377df9c5", correlation_id="corr_d3ac94af", **everything)):
        child = store.put("child", parent=parent)
        store.put("grandchild", parent=child, agent_id="other")
    store.put("foreign", event_id="4bf92f3577b34da6", parent_event_id="not hex", root_event_id="evt_00000000", depth=7)
    store.put("orphan", parent_event_id="evt_deadbeef")
    for number in range(100):
        store.put("many", _n=number)
    stores.drain()
    return store


def test_the_view_shows_every_context_as_to_dict_does(story, shell):
    rows = shell().execute("SELECT * FROM context ORDER BY position").fetchall()

    assert len(rows) == len(story) == 108
    for row in rows:
        assert shown(row) == wire_of(story[row["ref"]])
        assert row["session_id"] == story[row["ref"]].session_id


def test_the_view_is_made_for_people_to_filter(story, shell):
    look = shell()
    found = look.execute("SELECT ref FROM context WHERE agent_id = 'a' AND event_name = 'child'").fetchall()

    assert [row["ref"] for row in found] == [context.ref for context in story.query(agent_id="a", event_name="child")]
    brought = look.execute("SELECT ref FROM context WHERE event_id = 'evt_377df9c5'").fetchone()
    assert brought["ref"] == story["evt_377df9c5"].ref


def test_the_view_spells_the_largest_positions(stores, shell):
    """Base 32 in SQL is the core's, at every bit."""
    from shmctx.cold import schema
    from shmctx.hot._core import make_ref

    look = shell()
    for store_id in (0, 1, 0xABCDEF, (1 << 24) - 1):
        for position in (1, 31, 32, (1 << 40) - 1, 1 << 40, 1 << 55, (1 << 56) - 1, 0x123456789ABCDE):
            sql = f"SELECT {schema._base32(store_id, str(position))}"
            assert look.execute(sql).fetchone()[0] == make_ref(store_id, position)[4:]
