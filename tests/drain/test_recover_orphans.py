"""What a recovery does with segments that lost their name while somebody still has them open."""

import os
import sqlite3

import pytest

import shmctx
from shmctx.drain.recover import Outcome, recover
from shmctx.hot import segment as segments
from shmctx.hot._core import GRANULE, HEADER_SIZE


def count(database, table):
    connection = sqlite3.connect(database)
    try:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    finally:
        connection.close()


def test_its_records_are_stored(stores):
    agent = stores.leaderless(1 << 16)
    refs = [agent.put("x", _n=n) for n in range(5)]
    shmctx.unlink(stores.name)
    report = recover(stores.name, stores.database)

    assert (report.outcome, report.contexts, report.segments) == (Outcome.NOTHING_LOST, 5, 1)
    assert recover(stores.name, stores.database).already_stored == 5
    assert [agent[ref].custom["_n"] for ref in refs] == list(range(5))
    assert count(stores.database, "record") == 5


def test_another_store_s_records_stay_out_of_this_database(stores, tmp_path):
    agent = stores.leaderless(1 << 16)
    agent.put("of the first store")
    shmctx.unlink(stores.name)
    other = tmp_path / "other.db"
    with stores.open(1 << 16, db=other) as store:
        store.put("of the second", durable=True)
    report = recover(stores.name, other)

    assert (report.outcome, report.contexts, report.segments) == (Outcome.NOTHING_LOST, 0, 1)
    assert count(other, "record") == 1


@pytest.mark.parametrize("dry_run", [True, False])
def test_damage_in_it_is_told_and_put_aside(stores, dry_run):
    agent = stores.leaderless(1 << 16)
    first, second = agent.put("first"), agent.put("second")
    shmctx.unlink(stores.name)
    (_, orphan), *_ = segments.orphans(stores.name)
    offset = os.fstat(orphan.fd).st_size - (1 << 16) + agent[first].position * GRANULE + GRANULE
    assert offset > HEADER_SIZE
    os.pwrite(orphan.fd, b"\xff", offset)
    report = recover(stores.name, stores.database, dry_run=dry_run)

    assert (report.outcome, report.contexts, len(report.damaged)) == (Outcome.DAMAGED, 1, 1)
    if not dry_run:
        assert count(stores.database, "quarantine") == 1
        assert agent[second].event_name == "second"
