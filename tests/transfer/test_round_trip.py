"""In and out again: what an old log has is in the store, is proven to be, and comes back equal."""

import json
import subprocess
import sys

import pytest
from old_side import id_of, made_event, real_events

from shmctx.transfer.migrate import migrate

COUNT = 2000


@pytest.fixture
def command(tmp_path):
    """`command(*arguments)` runs shmctx and gives its JSON."""

    def run(*arguments, code=0):
        line = [sys.executable, "-m", "shmctx", *map(str, arguments), "--json"]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    return run


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_whole_log_is_moved_in_proven_and_comes_back_equal(command, ksi_log, ksi_count, tmp_path):
    """All events of a KSI daemon, the moments of logging included."""
    events = real_events(ksi_log, None)
    report = migrate([ksi_log], tmp_path / "ksi.db")
    proven = command("verify", "--db", "ksi.db", "--against", ksi_log)
    command("export", "--db", "ksi.db", "--to", "back.jsonl")

    assert len(events) == report.stored_now == proven["against"]["equal"] == ksi_count
    assert proven["ok"]
    assert lines(tmp_path / "back.jsonl") == events


def test_history_is_moved_in_before_both_sides_run_and_everything_comes_back(beside, old, stores, command, ksi_log):
    """History, then shadowed events, then shmctx first: one store, one order, and the old log has the same."""
    folder, events = stores.database.parent, real_events(ksi_log, 900)
    for event in events[:300]:
        old.write(event)
    migrate([old.path], stores.database)
    for mode, part in (("shadow", events[300:600]), ("primary", events[600:])):
        with beside(mode) as log:
            for event in part:
                log.write(event)
            asked = old.asked
            found = [log.read(id_of(event)) for event in events[:600:50]]
            assert (old.asked > asked) == (mode == "shadow")
            assert [event["data"] for event in found] == [event["data"] for event in events[:600:50]]
            assert log.report().clean
    proven = command("verify", "--db", stores.database, "--against", old.path)
    command("export", "--db", stores.database, "--to", folder / "back.jsonl")

    assert (proven["ok"], proven["against"]["equal"]) == (True, 900)
    assert old.events() == events
    assert lines(folder / "back.jsonl") == events


def test_what_was_missed_is_seen_and_brought_by_a_migration(beside, old, stores, command):
    """A verification against the old log tells what shmctx was not given; migrating that log again stores just this."""
    for mode, numbers in (("shadow", range(10)), ("off", range(10, 15)), ("primary", range(15, 20))):
        with beside(mode) as log:
            for number in numbers:
                log.write(made_event(number))
    missing = command("verify", "--db", stores.database, "--against", old.path, code=5)["against"]
    stores.open()
    brought = [command("migrate", old.path, "--name", stores.name)["counts"] for _ in range(2)]
    proven = command("verify", "--name", stores.name, "--against", old.path)

    assert (missing["equal"], missing["missing"]) == (15, 5)
    assert [(counts["stored"], counts["duplicates"], counts["reused"]) for counts in brought] == [
        (5, 15, 0),
        (0, 20, 0),
    ]
    assert (proven["ok"], proven["against"]["equal"], proven["against"]["repeated"]) == (True, 20, 0)


def test_what_was_shadowed_is_proven_and_comes_back(beside, old, stores, command, ksi_log):
    """With the store in use, and from its files alone."""
    folder, events = stores.database.parent, real_events(ksi_log, COUNT)
    with beside("shadow") as log:
        for event in events:
            log.write(event)
        assert log.report().clean
        live = command("verify", "--name", stores.name, "--against", old.path)
        command("export", stores.name, "--to", folder / "live.jsonl")
    cold = command("verify", "--db", stores.database, "--against", old.path)
    command("export", "--db", stores.database, "--to", folder / "cold.jsonl")

    for report in (live, cold):
        assert report["ok"]
        assert (report["against"]["events"], report["against"]["equal"]) == (COUNT, COUNT)
    assert lines(folder / "live.jsonl") == lines(folder / "cold.jsonl") == events


def test_going_back_after_shmctx_was_first(beside, old, stores, command, ksi_log):
    """Events of three modes: the old log has all of them, the store those that it was asked to take."""
    back, events = stores.database.with_name("back.jsonl"), real_events(ksi_log, 300)
    for mode, part in (("off", events[:100]), ("primary", events[100:200]), ("off", events[200:])):
        with beside(mode) as log:
            for event in part:
                log.write(event)
            assert log.read(id_of(part[0]))["data"] == part[0]["data"]
    command("export", "--db", stores.database, "--to", back)

    assert old.events() == events
    assert lines(back) == events[100:200]
