"""In and out again: what an old log has is in the store, is proven to be, and comes back equal."""

import json
import subprocess
import sys

import pytest
from old_side import id_of, real_events

COUNT = 2000


@pytest.fixture
def command(tmp_path):
    """`command(*arguments)` runs shmctx and gives its JSON."""

    def run(*arguments):
        line = [sys.executable, "-m", "shmctx", *map(str, arguments), "--json"]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def without_moment_of_logging(events):
    """When an old log's line was written is not what a store is told by an application that puts into it."""
    return [{**event, "timestamp": event["data"]["_ksi_context"]["_event_timestamp"]} for event in events]


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
    assert lines(folder / "live.jsonl") == lines(folder / "cold.jsonl") == without_moment_of_logging(events)


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
    assert lines(back) == without_moment_of_logging(events[100:200])
