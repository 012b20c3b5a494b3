"""`shmctx checkpoint`: list, show, restore."""

import json
import re
from pathlib import Path

import click
import pytest
from apps import fail
from commands import assert_refused
from running import run

from shmctx.cli import checkpoint as command
from shmctx.cli.main import COMMANDS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
SECTION = DOCUMENT.partition("\n## checkpoint\n")[2].partition("\n## ")[0]


@pytest.fixture
def taken(application):
    """Two checkpoints of an application, in the second of which one participant failed."""
    app = application(agents={"a-1": "idle"}, late=[1])
    old = run(app.checkpoints.take())
    app.states["agents"] = {"a-1": "busy"}
    app.failing("late", fail)
    return old, run(app.checkpoints.take())


def test_list_has_the_newest_first_and_says_what_the_next_start_uses(cli, stores, taken):
    old, new = taken
    found = json.loads(cli("list", stores.name, "--json").out)

    assert [(one["ref"], one["application"], one["next_start"], one["errors"]) for one in found] == [
        (new.ref, "shop", True, ["late"]),
        (old.ref, "shop", False, []),
    ]
    assert (found[1]["participants"], found[1]["size"], found[1]["time_ns"]) == (2, old.size, old.time_ns)
    assert [row["ref"] for row in cli("list", stores.name, "--limit", 1).rows] == [new.ref]
    assert json.loads(cli("list", stores.name, "--application", "other", "--json").out) == []


def test_show_has_the_states_and_the_failures(cli, taken):
    old, new = taken
    shown = json.loads(cli("show", new.ref, "--json").out)

    assert (shown["application"], shown["next_start"]) == ("shop", True)
    assert shown["states"]["late"]["captured"] == old.ref
    assert shown["errors"] == {"late": {"error_type": "RuntimeError", "error_message": "it cannot"}}
    assert json.loads(cli("show", old.ref, "--state", "agents").out) == {"a-1": "idle"}
    assert_refused(cli("show", old.ref, "--state", "nobody"), 2, "no state of 'nobody'", "agents, late")


def test_the_next_start_restores_what_restore_names(cli, stores, taken, application):
    old, _ = taken
    result = cli("restore", old.ref)

    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"The next start of shop uses {old.ref}, taken ")
    assert [row["next_start"] for row in cli("list", stores.name).rows] == ["false", "true"]
    app = application(agents=None, late=None)
    run(app.checkpoints.restore())
    assert app.states == {"agents": {"a-1": "idle"}, "late": [1]}
    assert [row["reason"] for row in cli("list", stores.name).rows] == ["restored", "demand", "demand"]


def test_restore_works_where_every_process_is_dead(cli, stores, taken, application, store):
    old, _ = taken
    store.close()
    assert cli("restore", old.ref, "--name", stores.name).code == 0

    app = application(stores.open(), agents=None)
    run(app.checkpoints.restore())
    assert app.states["agents"] == {"a-1": "idle"}


def test_what_is_no_checkpoint_is_refused(cli, store, stores):
    ref = store.put("something")
    for arguments in (("show", ref), ("restore", ref)):
        assert_refused(cli(*arguments), 2, "not a checkpoint", "checkpoint list")
        missing = cli(arguments[0], "ctx_nothing", "--name", stores.name)
        assert_refused(missing, 1, "ctx_nothing", "query() finds contexts")
    assert_refused(cli("list", f"{stores.name}-not"), 3, "There is no segment", "shmctx daemon")


def test_without_a_subcommand_it_says_what_is_missing(cli):
    assert_refused(cli(), 2, "Missing command", "shmctx checkpoint --help")


@pytest.mark.parametrize("name", command.checkpoint.commands)
def test_every_subcommand_is_documented(name):
    """As tests/cli does for commands."""
    sub = command.checkpoint.commands[name]
    told = set(re.findall(r"[\w/.-]+", " ".join(re.findall(r"`([^`]+)`", SECTION))))
    options = {option for parameter in sub.params for option in parameter.opts if option.startswith("-")}
    with sub.make_context(name, [], parent=click.Context(command.checkpoint), resilient_parsing=True) as context:
        text = sub.get_help(context)

    assert f"`shmctx checkpoint {name}" in SECTION
    assert options - {"--json", "--jsonl"} <= told
    assert "Examples:" in text
    assert {column.key for column in command.CHECKPOINTS.columns} <= told
    assert "checkpoint" in COMMANDS
