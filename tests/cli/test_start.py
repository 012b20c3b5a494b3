"""Starting `shmctx`: what loads, how it is found, and what it answers to nonsense."""

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from commands import LIMIT, assert_refused

ROOT = Path(__file__).parents[2]


def loaded(environ, *arguments):
    """Top-level packages that a run imports."""
    command = [sys.executable, "-X", "importtime", "-m", "shmctx", *arguments]
    done = subprocess.run(command, env=environ, text=True, capture_output=True, timeout=LIMIT, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_help_loads_no_command(environ):
    packages = loaded(environ, "--help")

    assert "click" in packages
    assert not packages & {"asyncio", "rich", "sqlite3", "psutil", "aiosqlite"}


def test_output_into_a_pipe_loads_no_rich(agent, environ):
    packages = loaded(environ, "get", agent.put("one"))

    assert "sqlite3" in packages
    assert not packages & {"asyncio", "rich", "psutil", "aiosqlite"}


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_an_answer(cli, option):
    result = cli(option)

    assert (result.code, result.err) == (0, "")
    assert "Exit codes:" in result.out
    assert cli("stat", option).code == 0


def test_no_command_shows_the_help_as_wrong_usage(cli):
    result = cli()

    assert (result.code, result.out) == (2, "")
    assert "Commands:" in result.err


def test_nonsense_is_wrong_usage(cli):
    assert_refused(cli("stta"), 2, "stta", "shmctx --help")
    assert_refused(cli("ls", "--colour"), 2, "--colour", "shmctx ls --help")
    assert_refused(cli("ls", "extra"), 2, "extra", "shmctx ls --help")


@pytest.mark.parametrize("script", ["shmctx", "shmctx-recover"])
def test_the_console_scripts_lead_to_functions(script):
    target = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"][script]
    module, _, function = target.partition(":")

    assert callable(getattr(import_module(module), function))
