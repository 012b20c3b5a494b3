"""`shmctx prune`, `pin`, `unpin` and `forget`."""

import contextlib
import json
import sqlite3
import time

import pytest
from commands import assert_refused

import shmctx
from shmctx.cold.survey import survey

DAY = 86_400 * 10**9  # ns


@pytest.fixture
def old(agent, db, wait_for):
    """A context of long ago with an event, and a young one; the daemon's next round by itself is an hour away."""

    def rounds():
        with contextlib.closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT 1 FROM pruning WHERE position = 0").fetchall()

    wait_for(rounds)
    ref = agent.put("old", data={"x": 1}, time_ns=time.time_ns() - 8 * DAY)
    agent.put("young", durable=True)
    return ref


def test_a_dry_run_tells_and_the_leader_removes(agent, old, cli, segment_name, db):
    agent.pin(old)
    agent.unpin(old)
    dry = json.loads(cli("prune", segment_name, "--dry-run", "--json").out)
    done = json.loads(cli("prune", segment_name, "--json").out)

    assert (dry["dry_run"], done["dry_run"]) == (True, False)
    assert (dry["contexts"], done["contexts"], survey(db).contexts) == (1, 1, 0)
    assert dry.keys() == done.keys()
    assert agent.query(event_name="old") == []
    assert len(agent.query(event_name="young")) == 1


def test_what_is_pinned_stays(agent, old, cli, segment_name):
    assert cli("pin", old).out == f"Pinned {old}.\n"

    done = json.loads(cli("prune", segment_name, "--older-than", "0s", "--json").out)

    assert done["classes"] == {"default": 1}
    assert [context.ref for context in agent.query()] == [old]
    assert cli("unpin", old).code == 0
    assert json.loads(cli("prune", segment_name, "--json").out)["contexts"] == 1


def test_forgotten_refs_do_not_resolve_any_more(agent, old, cli):
    result = cli("forget", old, "evt_nowhere0")

    assert result.code == 1
    assert result.out == f"Forgot {old}.\n"
    assert "evt_nowhere0" in result.err
    assert agent.get(old) is None
    assert cli("forget", old).code == 0


def test_without_a_leader_the_command_does_it(dead, cli, segment_name, db):
    ref = dead.put("old", data={"x": 1}, time_ns=time.time_ns() - 8 * DAY)
    assert cli("forget", ref).code == 0
    assert dead.get(ref) is None

    other = dead.put("old", time_ns=time.time_ns() - 8 * DAY)
    done = json.loads(cli("prune", segment_name, "--older-than", "1d", "--json").out)

    assert done["contexts"] <= 1  # the new leader's first round may have come before
    assert dead.query(event_name="old") == []
    assert other != ref


def test_a_database_that_nobody_has_open(old, agent, daemon, cli, segment_name, db):  # noqa: PLR0917
    assert_refused(cli("prune", "--db", db), 6, "drains", "shmctx prune NAME")
    daemon.terminate()
    daemon.wait(30)
    shmctx.unlink(segment_name)

    assert json.loads(cli("prune", "--db", db, "--older-than", "0s", "--json").out)["contexts"] >= 1


@pytest.mark.parametrize("age", ["7", "d", "-1d", "7 d", "1y"])
def test_an_age_that_is_none_is_wrong_usage(cli, segment_name, age):
    assert_refused(cli("prune", segment_name, "--older-than", age), 2, "is no age", "shmctx prune --help")


def test_a_database_that_is_not_there(cli, tmp_path):
    assert cli("prune", "--db", tmp_path / "none.db").code == 1
    assert cli("prune", "--db", tmp_path / "none.db", "--dry-run").code == 1
    assert not (tmp_path / "none.db").exists()
