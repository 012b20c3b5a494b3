"""Large fields of event data are stored once, by what they hold, and are back in their places wherever data is read."""

import contextlib
import json
import sqlite3

import lines

from shmctx import payloads
from shmctx.hot._core import PAYLOAD
from shmctx.hot.segment import path_of

LARGE = "prompt " * 200


def stored(database):
    """The table of large fields: how often each is referred to, by its hash."""
    with contextlib.closing(sqlite3.connect(database)) as db:
        sql = "SELECT hex(hash), count(u.position) FROM payload LEFT JOIN payload_use u ON u.payload = id GROUP BY id"
        return dict(db.execute(sql))


def in_ring(store):
    """How many large fields the ring has."""
    ring = store._ring
    records, position, head = [], store.stats()["positions"]["base"], ring.positions()[1]
    while position < head:
        position, some, _ = ring.scan(position, head, 1024, 1 << 24)
        records += some
    return [record[1] for record in records].count(PAYLOAD)


def test_a_large_field_is_stored_once_over_processes_and_time(stores, spawn):
    """While the ring has it, when only the database has it, and when another process puts it."""
    store = stores.leaderless(1 << 16)
    first = store.put("x", data={"prompt": LARGE, "n": 1})
    again = store.put("x", data={"n": 2, "prompt": LARGE, "content": LARGE})
    other = spawn(
        """
        import sys, shmctx
        store = shmctx.attach(sys.argv[1])
        print(store.put("x", data={"result": sys.argv[2]}))
        """,
        stores.name,
        LARGE,
    )
    elsewhere = other.line()
    other.finish()
    assert in_ring(store) == 1
    stores.evict(store, elsewhere)
    late = store.put("x", data={"prompt": LARGE})
    assert in_ring(store) == 1
    stores.drain()

    assert list(stored(stores.database).values()) == [4]
    assert [event.data for event in store.events([first, again, elsewhere, late])] == [
        {"prompt": LARGE, "n": 1},
        {"n": 2, "prompt": LARGE, "content": LARGE},
        {"result": LARGE},
        {"prompt": LARGE},
    ]
    assert list(store.event(again).data) == ["n", "prompt", "content"]
    size = sum(len(json.dumps(event)) for event in lines.check(stores.database).values())
    assert size < 5 * 300


def test_only_large_values_under_the_names_of_large_fields_are_taken_out(stores, side):
    store = stores.leaderless(1 << 20, large_fields=frozenset({"blob"}), large_size=100)
    datas = [{"blob": "x" * 97}, {"blob": "x" * 98}, {"prompt": LARGE}, {"nested": {"blob": LARGE}}, {"blob": [LARGE]}]
    refs = [store.put("x", data=data) for data in datas]
    assert in_ring(store) == 2
    store = side(store)

    assert [event.data for event in store.events(refs)] == datas


def test_many_large_fields_in_one_batch(stores):
    datas = [{"content": f"{n:03}" * 400, "prompt": f"{n:03}!" * 300} for n in range(300)]
    with stores.open(8 << 20) as store:
        refs = store.put_many([("x", {"data": data}) for data in datas])
        store.flush()
        assert [event.data for event in store.events(refs)] == datas

    assert len(stored(stores.database)) == 600
    lines.check(stores.database)


def test_what_looks_like_a_reference_is_data(stores, side):
    """Also beside the very field that it seems to refer to, as when lines of the log are put again."""
    store = stores.leaderless()
    first = store.put("x", data={"prompt": LARGE})
    stores.drain()
    line = next(iter(lines.check(stores.database).values()))
    mark = line["data"]["prompt"]
    assert set(mark) == {"$payload", "size"}
    datas = [
        {"prompt": LARGE, "copy": mark},
        {"prompt": mark, "content": LARGE},
        {"prompt": LARGE, "copy": mark | {"$payload": mark["$payload"].upper()}},
        {"copy": [mark, {"inner": mark}], "prompt": LARGE},
        {"$payload": mark["$payload"], "size": 1, "prompt": LARGE},
        line["data"],
    ]
    refs = [store.put("x", data=data) for data in datas]
    store = side(store)

    assert [event.data for event in store.events(refs)] == datas
    assert store.event(first).data == {"prompt": LARGE}


def test_a_damaged_large_field_keeps_its_reference_and_harms_no_other(stores):
    store = stores.leaderless(1 << 16)
    damaged = store.put("x", data={"prompt": LARGE, "n": 1})
    exchanged = store.put("x", data={"prompt": LARGE + "2"})
    removed = store.put("x", data={"prompt": LARGE + "3"})
    intact = store.put("x", data={"prompt": LARGE + "4"})
    stores.evict(store, intact)
    with contextlib.closing(sqlite3.connect(stores.database)) as db, db:
        rows = [row[0] for row in db.execute("SELECT id FROM payload ORDER BY position")]
        db.execute("UPDATE payload SET data = x'00ff' WHERE id = ?", rows[:1])
        db.execute("UPDATE payload SET data = (SELECT data FROM payload WHERE id = ?) WHERE id = ?", (rows[3], rows[1]))
        db.execute("DELETE FROM payload WHERE id = ?", rows[2:3])

    for ref, text in ((damaged, LARGE), (exchanged, LARGE + "2"), (removed, LARGE + "3")):
        field = json.dumps(text).encode()
        assert store.event(ref).data["prompt"] == {"$payload": payloads.digest(field).hex(), "size": len(field)}
        assert store[ref].event_name == "x"
    assert store.event(damaged).data["n"] == 1
    assert store.event(intact).data == {"prompt": LARGE + "4"}


def test_a_large_field_that_is_damaged_in_the_ring_is_put_aside_and_put_again(stores):
    store = stores.leaderless()
    first = store.put("x", data={"prompt": LARGE})
    path = path_of(stores.name)
    with path.open("r+b") as file:
        file.seek(path.read_bytes().index(LARGE.encode()) + 50)
        file.write(b"#")

    assert store.event(first).data["prompt"]["size"] == len(LARGE) + 2
    again = store.put("x", data={"prompt": LARGE})
    assert store.event(again).data == {"prompt": LARGE}
    stores.drain()
    assert store.event(first).data == {"prompt": LARGE}  # by its hash: what was put again is what was damaged
    assert len(stored(stores.database)) == 1
