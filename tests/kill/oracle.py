"""What must be true when everybody is dead: everything acknowledged is there, once and whole."""

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certified
import lines
from ledger import ANNOTATION, PUT, Ledger, Region

import shmctx
from shmctx import Store
from shmctx.cold.connection import Connection, connect
from shmctx.drain.recover import Outcome, recover
from shmctx.refs import parse_ref


@contextlib.contextmanager
def reading(database: Path) -> Iterator[sqlite3.Connection]:
    connection = connect(database, Connection, readonly=True)
    try:
        yield connection
    finally:
        connection.close()


def position(ref: str) -> int:
    parsed = parse_ref(ref)
    assert parsed is not None, ref
    return parsed[1]


def whole(database: Path) -> None:
    """Assert that SQLite finds no fault with the file, and that nothing was put aside."""
    with reading(database) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT position, reason FROM quarantine").fetchall() == []


def judge(name: str, database: Path, ledger: Ledger, seed: int) -> dict[str, Any]:
    """Assert the promise over everything in the ledger; returns figures. All workers are dead."""
    with shmctx.attach(name) as store:
        figures = _ring_figures(store)
        for region in ledger.regions():
            resolves(store, seed, region)
    report = recover(name, database)
    assert report.outcome is Outcome.NOTHING_LOST, report.message
    whole(database)
    uncertain = sum(_stored_once(database, seed, ledger))
    logged = _logged_once(database, seed)
    with shmctx.open(name, db=database) as store:
        conversations = sum(_answers(store, seed, region) for region in ledger.regions())
        put = store.put("afterwards", durable=True)
        assert store[put].event_name == "afterwards"
    return figures | {
        "acknowledged": sum(ack.kind == PUT for region in ledger.regions() for ack in region),
        "annotations": sum(ack.kind == ANNOTATION for region in ledger.regions() for ack in region),
        "stored_without_answer": uncertain,
        "recovered": report.contexts,
        "conversations": conversations,
        "lines": logged,
    }


def _ring_figures(store: Store) -> dict[str, Any]:
    stats = store.stats()
    capacity = stats["ring_bytes"] // 64
    counters = stats["counters"]
    return {
        "wraps": stats["positions"]["head"] // capacity,
        "space_waits": counters["space_waits"],
        "repairs": counters["repairs"],
        "failovers": counters["failovers"],
    }


def resolves(store: Store, seed: int, region: Region) -> None:
    """Every ref that this writer was given leads to what it put."""
    acks = list(region)
    for ack, event in zip(acks, store.events([ack.ref for ack in acks]), strict=True):
        certified.check_data(event.data, seed, region.number, ack.n)
        context = store[ack.ref]
        assert context.ref == ack.ref
        assert certified.check(context, seed) == (region.number, ack.n)
        assert ack.kind != ANNOTATION or "_outcome" in context.custom, f"{ack}: the annotation is lost"


def _stored_once(database: Path, seed: int, ledger: Ledger) -> Iterator[int]:
    """Assert that the database has what was acknowledged once, and what was not at most once; yields, for every
    writer, how many it has of the latter."""
    with reading(database) as db:
        rows = db.execute("SELECT position, extra FROM record ORDER BY position").fetchall()
        targets = Counter(target for (target,) in db.execute("SELECT target FROM annotation"))
    stored: dict[int, dict[int, int]] = {}
    for place, extra in rows:
        fields = json.loads(extra)
        mine = stored.setdefault(fields["_writer"], {})
        assert fields["_n"] not in mine, f"{fields} is at {mine[fields['_n']]} and {place}"
        mine[fields["_n"]] = place
    for region in ledger.regions():
        mine = stored.pop(region.number, {})
        acked = {ack.n: position(ack.ref) for ack in region if ack.kind == PUT}
        assert acked == {n: mine.pop(n, None) for n in acked}, f"writer {region.number}"
        # What was in flight at its death: the context after the last answer.
        assert len(acked) <= region.next <= len(acked) + 1
        assert set(mine) <= {len(acked)}, f"writer {region.number}: {mine}"
        for ack in region:
            assert ack.kind != ANNOTATION or targets.pop(position(ack.ref)) == 1, f"{ack} is stored twice"
        yield len(mine)
    assert stored == {}, "contexts of writers that never were"
    assert set(targets.values()) <= {1}
    assert len(targets) <= ledger.used


def _logged_once(database: Path, seed: int) -> int:
    """Assert that the log has every event with data that the database has, once, at its place; returns how many."""
    events = lines.check(database)
    with reading(database) as db:
        rows = db.execute("SELECT position, extra FROM record").fetchall()
        large = dict(db.execute("SELECT lower(hex(hash)), data FROM payload"))
    for place, extra in rows:
        origin = json.loads(extra)
        expected = certified.data(seed, origin["_writer"], origin["_n"])
        found = events[place]["data"] if expected is not None else None
        assert (place in events) == (expected is not None)
        if found and "content" in found:
            assert found["content"]["$payload"] in large
            found["content"] = expected["content"] if expected else None
        assert found == expected
    assert len(large) == len(set(large.values()))
    return len(events)


def _answers(store: Store, seed: int, region: Region) -> int:
    """Assert that a query for each conversation answers exactly what was put in it; returns how many there were."""
    acked = {ack.n for ack in region}
    asked = 0
    for numbers in certified.conversations(region.next):
        found = store.query(correlation_id=certified.correlation(seed, region.number, numbers[0]))
        answer = [certified.check(context, seed) for context in found]
        assert answer == sorted(set(answer)), f"writer {region.number}: {answer}"
        assert {writer for writer, _ in answer} <= {region.number}
        got = {n for _, n in answer}
        assert acked & set(numbers) <= got <= set(numbers), f"writer {region.number}: {numbers} were put, {got} found"
        assert got - acked <= {len(acked)}
        asked += 1
    return asked
