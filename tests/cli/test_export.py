"""`shmctx export`."""

import json
import os
import sqlite3

import pytest
from commands import assert_refused, ended

KEYS = {
    "database", "log", "to", "form", "events", "without_data", "expired", "missing", "fields_missing", "bytes",
    "seconds", "whole",
}  # fmt: skip


@pytest.fixture
def filled(agent):
    """The daemon's store with some events, the last ones maybe not drained."""
    for number in range(50):
        agent.put("event", data={"n": number}, agent_id=f"a-{number % 2}")
    return agent


def numbers(text):
    return [json.loads(line)["data"]["n"] for line in text.splitlines()]


def test_a_store_in_use_is_exported_by_name(filled, cli, segment_name, tmp_path):
    target = tmp_path / "out.jsonl"
    report = json.loads(cli("export", segment_name, "--to", target, "--json").out)

    assert report.keys() == KEYS
    assert (report["events"], report["whole"], report["bytes"]) == (50, True, target.stat().st_size)
    assert numbers(target.read_text()) == list(range(50))
    assert target.stat().st_mode & 0o777 == 0o600
    context = json.loads(target.read_text().splitlines()[7])["data"]["_ksi_context"]
    assert filled[context["_ref"]].agent_id == context["_agent_id"] == "a-1"


def test_a_database_of_nobody_is_exported_with_filters_to_standard_output(filled, daemon, cli, db, tmp_path):
    filled.flush()
    daemon.terminate()
    ended(daemon)
    log = db.with_suffix(".events")
    elsewhere = log.rename(tmp_path / "elsewhere")

    result = cli("export", "--db", db, "--log", elsewhere, "--to", "-", "--agent", "a-1", "--since", "1h")

    assert (result.code, result.err) == (0, "")
    assert numbers(result.out) == list(range(1, 50, 2))


def test_forms_go_by_the_ending_or_as_asked(filled, cli, segment_name, tmp_path):
    filled.flush()
    shown = cli("export", segment_name, "--to", tmp_path / "out.db")
    assert cli("export", segment_name, "--to", tmp_path / "out", "--format", "csv").code == 0

    assert shown.out.splitlines()[0] == "key\tvalue"
    with sqlite3.connect(tmp_path / "out.db") as database:
        assert database.execute("SELECT count(*) FROM event").fetchone() == (50,)
    database.close()
    assert len((tmp_path / "out").read_text().splitlines()) == 51


def test_annotations_can_be_left_out(filled, cli, segment_name):
    filled.annotate(filled.query(limit=1)[0].ref, _note="later")

    assert "later" in cli("export", segment_name, "--to", "-").out
    assert "later" not in cli("export", segment_name, "--to", "-", "--as-put").out


def test_a_file_that_is_there_is_replaced_only_by_force(filled, cli, segment_name, tmp_path):
    target = tmp_path / "out.jsonl"
    target.write_text("before")

    assert_refused(cli("export", segment_name, "--to", target), 1, "there already", "--force")
    assert target.read_text() == "before"
    assert cli("export", segment_name, "--to", target, "--force").code == 0
    assert len(numbers(target.read_text())) == 50


def test_wrong_usage_is_told(filled, cli, segment_name, tmp_path):
    assert_refused(cli("export", segment_name), 2, "--to", "--help")
    assert_refused(cli("export", segment_name, "--to", tmp_path / "out.txt"), 2, "does not say", "--format")
    assert_refused(cli("export", segment_name, "--to", "-", "--format", "parquet"), 2, "standard output", "--help")
    assert_refused(cli("export", "--db", tmp_path / "none.db", "--to", "-"), 1, "no database", "daemon")
    assert_refused(cli("export", "no-such-store", "--to", "-"), 3, "no-such-store", "shmctx")
    assert list(tmp_path.glob("out*")) == []


def test_damage_is_told_and_the_rest_exported(filled, daemon, cli, db, tmp_path):
    filled.flush()
    daemon.terminate()
    ended(daemon)
    os.truncate(next(db.with_suffix(".events").glob("0*.jsonl")), 100)

    result = cli("export", "--db", db, "--to", tmp_path / "out.jsonl", "--json")
    streamed = cli("export", "--db", db, "--to", "-")

    report = json.loads(result.out)
    assert (result.code, report["whole"], report["events"]) == (5, False, 50)
    assert report["missing"] >= 48
    assert "verify" in result.err
    assert (streamed.code, len(streamed.out.splitlines())) == (5, 50)


def test_a_reader_that_goes_away_ends_it(agent, start, segment_name):
    for number in range(300):
        agent.put("event", data={"n": number, "text": "t" * 2000})
    process = start("export", segment_name, "--to", "-")
    process.stdout.close()
    code = process.wait(30)

    assert (code, process.stderr.read()) == (141, "")


def test_on_a_terminal_progress_and_result_are_shown(filled, terminal, segment_name, tmp_path):
    result = terminal("export", segment_name, "--to", tmp_path / "out.jsonl")

    assert result.code == 0
    assert "Exported" in result.out
    assert "50 events as jsonl" in result.out
