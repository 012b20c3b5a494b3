"""Every command, option, key and exit code is in docs/cli.md, and every command has help with an example."""

import re
from pathlib import Path

import click
import msgspec
import pytest
from commands import SHMCTX, run

from shmctx.analysis import Comparison, Failure, Impact, Trail
from shmctx.cli import audit, consequences, doctor, inspect, main, recover, render, report, trace
from shmctx.cli.main import COMMANDS, shmctx
from shmctx.drain.recover import Report
from shmctx.sessions import Session
from shmctx.transfer.export import Report as Export

DOCUMENT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
CONTEXT = click.Context(shmctx)
ALL = {name: shmctx.get_command(CONTEXT, name) for name in COMMANDS} | {"shmctx-recover": recover.recover}
OUTPUT = {"--json", "--jsonl"}


def section(name):
    """What the document says under a command's heading."""
    found = re.search(rf"(?ms)^## {re.escape(name)}\n(.*?)(?=^## |\Z)", DOCUMENT)
    assert found, f"docs/cli.md has no section {name}"
    return found[1]


def words(text):
    """Everything in the document's code marks, taken apart."""
    return set(re.findall(r"[\w/.-]+", " ".join(re.findall(r"`([^`]+)`", text))))


@pytest.mark.parametrize("name", ALL)
def test_every_option_is_documented_with_its_command(name):
    options = {option for parameter in ALL[name].params for option in parameter.opts if option.startswith("-")}
    told = words(section(name))

    assert [option for option in sorted(options - OUTPUT - {"--version"}) if option not in told] == []
    assert words(section("Output")) >= OUTPUT
    assert "--version" in words(DOCUMENT)


@pytest.mark.parametrize("name", ALL)
def test_every_argument_is_in_the_synopsis(name):
    synopsis = section(name).strip().splitlines()[0]
    arguments = [parameter for parameter in ALL[name].params if isinstance(parameter, click.Argument)]

    assert synopsis.startswith(f"`{name}" if name == "shmctx-recover" else f"`shmctx {name}")
    for argument in arguments:
        shown = argument.make_metavar(CONTEXT).strip("[]{}.")
        assert shown in synopsis


@pytest.mark.parametrize("name", ALL)
def test_every_command_explains_itself_with_an_example(name):
    command = ALL[name]
    with command.make_context(name, [], resilient_parsing=True) as context:
        text = command.get_help(context)
    called = name if name == "shmctx-recover" else f"shmctx {name}"

    assert "-h, --help" in text
    assert re.search(rf"(?s)Examples:\n.*{re.escape(called)}", text)
    assert all(getattr(option, "help", "") for option in command.params if isinstance(option, click.Option))


def test_every_command_is_in_the_list():
    assert [name for name in ALL if f"[`{name}`](#{name})" not in DOCUMENT] == []


@pytest.mark.parametrize(
    "name,listing",
    [
        ("ls", inspect.SEGMENTS),
        ("ps", inspect.PROCESSES),
        ("stat", inspect.RATES),
        ("get", render.CONTEXTS),
        ("doctor", doctor.CHECKS),
        ("trace", trace.tree(render.Form.PLAIN)),
        ("trace", trace.PATH),
        ("errors", consequences.ERRORS),
        ("compare", consequences.DIFFERENCES),
        ("audit-trail", consequences.ENTRIES),
        ("audit", audit.FINDINGS),
        ("audit", audit.RULE_LIST),
        *(("report", listing) for listing in report.LISTINGS.values()),
    ],
)
def test_every_column_is_documented(name, listing):
    told = words(section(name))

    assert [column.key for column in listing.columns if column.key not in told] == []


def test_every_key_of_a_recovery_is_documented():
    keys = {field.name for field in msgspec.structs.fields(Report)} | {"exit_code"}

    assert keys - words(section("shmctx-recover")) == set()


@pytest.mark.parametrize(
    "name,result",
    [("impact", Impact), ("errors", Failure), ("compare", Comparison), ("audit-trail", Trail), ("export", Export)],
)
def test_every_key_of_a_result_is_documented(name, result):
    keys = {field.name for field in msgspec.structs.fields(result)}

    assert keys - words(section(name)) == set()


def test_every_key_of_a_session_is_documented():
    assert Session("s", {}, []).to_dict().keys() - words(section("session")) == set()


def test_every_key_of_stat_is_documented(agent):
    told = words(section("stat"))
    keys = {part for key, _ in render.flat(agent.stats()) for part in key.split(".")}

    assert keys - told == set()


def test_exit_codes_are_in_the_document_and_in_the_help(environ):
    codes = [main.SUCCESS, main.ERROR, main.USAGE, main.UNAVAILABLE, main.DAMAGED, main.PROBLEMS, main.LEADER_ALIVE]
    codes += [main.INTERRUPTED, main.NO_READER]
    shown = run([*SHMCTX, "--help"], environ, "").out

    for code in codes:
        assert re.search(rf"(?m)^\| {code} \| \w", section("Exit codes")), code
        assert re.search(rf"\b{code} \w", shown.partition("Exit codes:")[2]), code
