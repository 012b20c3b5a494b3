"""`shmctx unlink` and `completion`."""

import shutil

import pytest
from commands import assert_refused, run

from shmctx.hot import segment as segments


def test_unlink_refuses_while_the_database_lacks_something(dead, cli, segment_name, db):
    dead.put("undrained")
    result = cli("unlink", segment_name, "--yes")

    assert_refused(result, 1, "they would be lost", f"shmctx-recover {segment_name} --db {db}")
    assert segments.path_of(segment_name).exists()


def test_unlink_by_force_does_it_all_the_same(dead, cli, segment_name):
    dead.put("undrained")
    result = cli("unlink", segment_name, "--force")

    assert (result.code, result.err) == (0, "")
    assert str(segments.path_of(segment_name)) in result.out
    assert not segments.path_of(segment_name).exists()


def test_unlink_removes_what_is_drained(dead, cli, segment_name):
    assert cli("unlink", segment_name, "--yes").code == 0
    assert not segments.path_of(segment_name).exists()


def test_under_a_leader_the_store_goes_on(agent, daemon, cli, segment_name, wait_for):
    ref = agent.put("before", durable=True)
    assert cli("unlink", segment_name, "--yes").code == 0
    wait_for(lambda: segments.path_of(segment_name).exists())

    assert agent.put("after")
    assert cli("get", ref).code == 0


@pytest.mark.parametrize("answer,code", [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_unlink_asks_on_a_terminal(dead, terminal, segment_name, answer, code):
    shown = terminal("unlink", segment_name, keys=answer)

    assert "The database has everything." in shown.out
    assert shown.code == code
    assert segments.path_of(segment_name).exists() == (code != 0)


def test_unlink_says_who_goes_on(agent, daemon, terminal, segment_name):
    agent.flush()

    assert f"pid {daemon.pid} " in terminal("unlink", segment_name, keys="n\n").out


def test_where_nobody_can_be_asked_it_must_be_said(dead, cli, segment_name):
    assert_refused(cli("unlink", segment_name), 2, "--yes", "shmctx unlink --help")
    assert segments.path_of(segment_name).exists()


def test_a_damaged_segment_goes_by_force_only(cli, segment_name):
    segments.path_of(segment_name).write_bytes(b"")
    segments.path_of(segment_name).chmod(0o600)

    assert_refused(cli("unlink", segment_name, "--yes"), 1, "cannot be told", "--force")
    assert cli("unlink", segment_name, "--force").code == 0
    assert not segments.path_of(segment_name).exists()


@pytest.mark.parametrize("options", [["--yes"], ["--force"]])
def test_what_is_not_there_is_unavailable(cli, segment_name, options):
    assert_refused(cli("unlink", segment_name, *options), 3, f"no segment {segment_name!r}", "shmctx ls")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_one(cli, environ, shell):
    result = cli("completion", shell)

    assert (result.code, result.err) == (0, "")
    assert "_SHMCTX_COMPLETE" in result.out
    if shutil.which(shell):
        parsed = run([shell, "-n"], environ, result.out)
        assert (parsed.code, parsed.err) == (0, "")


@pytest.mark.parametrize(
    "words,expected",
    [(["shmctx", "st"], {"stat"}), (["shmctx", "query", "--new"], {"--newest-first"}), (["shmctx", "stat", ""], None)],
    ids=["commands", "options", "names"],
)
def test_what_a_shell_completes(dead, cli, segment_name, words, expected):
    env = {"_SHMCTX_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    offered = {line.split(",", 1)[1] for line in cli(env=env).out.splitlines()}

    assert offered == expected if expected else segment_name in offered, offered


def test_another_shell_is_wrong_usage(cli):
    assert_refused(cli("completion", "tcsh"), 2, "tcsh", "shmctx completion --help")
