"""`shmctx-recover`: its report in each form, and an exit code for every outcome."""

import json
import sqlite3

import msgspec
import pytest
from commands import assert_refused

import shmctx
from shmctx.drain.recover import Report
from shmctx.hot import segment as segments


def stored(db):
    connection = sqlite3.connect(db)
    try:
        return connection.execute("SELECT count(*) FROM record").fetchone()[0]
    finally:
        connection.close()


@pytest.fixture
def refs(dead):
    """Refs that the database does not have, of a store that nobody uses any more."""
    made = dead.put_many([f"event:{i}" for i in range(300)])
    dead.close()
    return made


def test_what_was_undrained_is_stored(refs, recover, cli, segment_name, db):
    result = recover(segment_name, "--db", db)
    rows = {row["key"]: row["value"] for row in result.rows}

    assert (result.code, result.err) == (0, "")
    assert (rows["outcome"], rows["contexts"], rows["exit_code"]) == ("nothing_lost", "300", "0")
    assert stored(db) == 301
    assert cli("get", refs[-1]).code == 0


def test_the_second_run_finds_nothing_to_do(refs, recover, segment_name, db):
    recover(segment_name, "--db", db)
    report = json.loads(recover(segment_name, "--db", db, "--json").out)

    assert (report["outcome"], report["contexts"]) == ("nothing_lost", 0)
    assert stored(db) == 301


def test_a_dry_run_changes_nothing(refs, recover, segment_name, db):
    report = json.loads(recover(segment_name, "--db", db, "--dry-run", "--json").out)

    assert (report["dry_run"], report["contexts"]) == (True, 300)
    assert stored(db) == 1


def test_json_is_the_report(refs, recover, segment_name, db):
    result = recover(segment_name, "--db", db, "--json")
    report = json.loads(result.out)

    assert set(report) == {field.name for field in msgspec.structs.fields(Report)} | {"exit_code"}
    assert report["database"] == str(db)
    assert recover(segment_name, "--db", db, "--jsonl").out.count("\n") == 1


def test_on_a_terminal_it_speaks_and_shows_progress(refs, terminal, segment_name, db):
    shown = terminal(segment_name, "--db", db, program="shmctx-recover")

    assert shown.code == 0
    assert "Replaying" in shown.out
    assert "300 contexts" in shown.out
    assert "Replaying" not in terminal(segment_name, "--db", db, "--quiet", program="shmctx-recover").out


def test_without_a_segment_the_database_is_not_touched(recover, segment_name, db):
    result = recover(segment_name, "--db", db, "--json")

    assert result.code == 3
    assert json.loads(result.out)["outcome"] == "no_segment"
    assert result.err.startswith(f"Error: There is no segment {segment_name!r}")
    assert "\nTry: " in result.err
    assert not db.exists()


def test_damage_is_put_aside_and_told(refs, recover, cli, segment_name, db):
    with shmctx.attach(segment_name, readonly=True) as store:
        payload = store.get_bytes(refs[100])
    raw = segments.path_of(segment_name).read_bytes()
    with segments.path_of(segment_name).open("r+b") as file:
        file.seek(raw.index(payload))
        file.write(bytes([payload[0] ^ 0xFF]))
    result = recover(segment_name, "--db", db, "--json")
    report = json.loads(result.out)

    assert (result.code, report["outcome"], report["exit_code"]) == (4, "damaged", 4)
    assert (report["contexts"], len(report["damaged"])) == (299, 1)
    assert set(report["damaged"][0]) == {"position", "granules", "reason"}
    assert stored(db) == 300


def test_while_a_leader_lives_it_is_refused(agent, daemon, recover, segment_name, db):
    result = recover(segment_name, "--db", db)

    assert_refused(result, 6, f"pid {daemon.pid} ", "End it first")


def test_another_store_s_database_is_refused(refs, recover, spawn, segment_name, tmp_path):
    other = tmp_path / "other.db"
    maker = spawn(
        "import sys, shmctx\nshmctx.open(sys.argv[1], db=sys.argv[2], ring_size=1 << 20).put('x', durable=True)",
        f"{segment_name}-2",
        other,
    )
    maker.finish()
    result = recover(segment_name, "--db", other)

    assert_refused(result, 1, "belongs to store", "made with")


def test_the_database_must_be_named(recover, segment_name):
    assert_refused(recover(segment_name), 2, "--db", "shmctx-recover --help")


def test_it_completes_for_shells(recover):
    env = {"_SHMCTX_RECOVER_COMPLETE": "bash_complete", "COMP_WORDS": "shmctx-recover --dr", "COMP_CWORD": "1"}

    assert recover(env=env).out == "plain,--dry-run\n"
