"""`shmctx verify`: forms of output, exit codes, which store it means."""

import json
import sqlite3

import pytest

import shmctx


@pytest.fixture
def store(segment_name, db):
    with shmctx.open(segment_name, db=db, ring_size=1 << 20) as opened:
        with opened.span("agent:spawn", data={"number": 1}, event_id="evt_00000001"):
            opened.put("agent:status", data={"number": 2}, event_id="evt_00000002")
        opened.flush()
        yield opened


def damage(db):
    with sqlite3.connect(db) as connection:
        connection.execute("UPDATE record SET depth = depth + 1 WHERE event_id = -3")
    connection.close()


def test_a_store_in_use(store, cli, db):
    done = cli("verify", "--name", store.name, "--json")
    assert done.code == 0
    report = json.loads(done.out)
    assert (report["ok"], report["database"], report["name"]) == (True, str(db), store.name)
    assert (report["counts"]["contexts"], report["counts"]["undrained"]) == (2, 0)


def test_the_default_store(store, cli):
    assert json.loads(cli("verify", "--json", env={"SHMCTX_SEGMENT": store.name}).out)["name"] == store.name


def test_problems_end_with_5_and_are_told(store, cli, db):
    damage(db)
    done = cli("verify", "--db", db, "--json")
    assert done.code == 5
    report = json.loads(done.out)
    assert not report["ok"]
    assert report["problem_counts"] == {"changed": 1}
    assert report["problems"][0]["where"].startswith("ctx_")
    plain = cli("verify", "--db", db)
    assert plain.code == 5
    assert "problem_counts.changed\t1\n" in plain.out


def test_on_a_terminal_findings_are_a_table(store, terminal, db):
    damage(db)
    done = terminal("verify", "--db", db)
    assert done.code == 5
    assert "problems: 1 changed" in done.out
    assert "Finding" in done.out
    assert "checksum" in done.out


def test_against_several_logs(store, cli, db, tmp_path):
    def line(number, told):
        fields = {"_event_id": f"evt_{number:08x}"}
        return json.dumps({"event_name": "agent:spawn", "data": {"number": told, "_ksi_context": fields}}) + "\n"

    (tmp_path / "a.jsonl").write_text(line(1, 1))
    (tmp_path / "b.jsonl").write_text(line(3, 3))
    done = cli("verify", "--db", db, "--json", "--against", tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert done.code == 5
    against = json.loads(done.out)["against"]
    assert (against["events"], against["missing"]) == (2, 1)


@pytest.mark.parametrize(
    "arguments, code, told",
    [
        (["--db", "/nowhere/none.db"], 1, "no database"),
        (["--name", "none-of-that-name"], 3, "segment"),
        (["stray"], 2, "--against"),
        (["--limit", "0"], 2, "limit"),
    ],
)
def test_what_cannot_be_looked_at(cli, arguments, code, told):
    done = cli("verify", *arguments)
    assert done.code == code
    assert told in done.err
    assert done.out == ""
