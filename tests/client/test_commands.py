"""Reading commands over --url print what they print on the machine itself."""

import asyncio
import json
import os

import pytest

from shmctx.cli import main


@pytest.fixture
def shmctx(capsys, monkeypatch, tmp_path):
    """Runs a command as its entry point does: (exit code, output, what it complained of)."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def execute(*arguments):
        code = main.run(main.shmctx, list(map(str, arguments)))
        return code, *capsys.readouterr()

    return execute


def both(shmctx, served, command, *arguments, named=False):
    """What a command prints locally and over the gateway. `named`: the store is an argument, not an option."""
    there = (served.name,) if named else ("--name", served.name)
    here = shmctx(*command, *there, *arguments)
    far = shmctx(*command, "--url", served.gateway.url, "--token-file", served.gateway.token_file, *arguments)
    assert here[0] == 0, here
    assert far[2] == ""
    return here, far


@pytest.mark.parametrize("form", [(), ("--json",), ("--jsonl",)], ids=["plain", "json", "jsonl"])
@pytest.mark.parametrize(
    "command",
    [
        ("query",),
        ("query", "--newest-first", "--limit", "3", "--event", "*:do"),
        ("query", "--session", "s/1", "--errors"),
        ("query", "--parent", "{step}"),
        ("query", "--after", "{step}"),
        ("events",),
        ("events", "--text", "fishing", "--fields", "full"),
        ("report", "slow"),
        ("report", "chains"),
        ("tail", "-n", "3"),
        ("tail", "--agent", "lead", "--fields", "ref,data"),
    ],
    ids=" ".join,
)
def test_lists_are_the_same(shmctx, served, command, form):
    command = [part.format(step=served.steps[0]) for part in command]

    here, far = both(shmctx, served, command, *form, named=True)

    assert read(far[1], form) == read(here[1], form)
    assert far[0] == 0


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["plain", "json"])
@pytest.mark.parametrize(
    "command",
    [
        ("get", "{step}", "evt_00000002", "{leaf}"),
        ("trace", "{root}"),
        ("trace", "{step}", "--below"),
        ("impact", "{root}"),
        ("errors", "{root}"),
        ("compare", "{root}", "c/2"),
        ("audit-trail", "c/2"),
        ("audit-trail", "{root}"),
        ("session", "s/1"),
    ],
    ids=" ".join,
)
def test_what_refs_name_is_the_same(shmctx, served, command, form):
    known = {"step": served.steps[0], "leaf": served.leaf, "root": served.root.ref}
    command = [part.format(**known) for part in command]

    here, far = both(shmctx, served, command, *form)

    assert read(far[1], form) == read(here[1], form)
    assert far[0] == 0


@pytest.fixture(scope="module")
def checkpoints(served):
    return asyncio.run(served.checkpointed())


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["plain", "json"])
def test_checkpoints_are_the_same(shmctx, served, checkpoints, form):
    old, new = checkpoints

    for command, named in (
        (("checkpoint", "list"), True),
        (("checkpoint", "list", "--limit", 1), True),
        (("checkpoint", "list", "--application", "other"), True),
        (("checkpoint", "show", old.ref), False),
        (("checkpoint", "show", new.ref), False),
        (("checkpoint", "show", old.ref, "--state", "agents/all"), False),
    ):
        here, far = both(shmctx, served, command, *form, named=named)
        assert far[:2] == here[:2]
    assert json.loads(far[1]) == {"a/1": "idle"}


def test_processes_and_segments_are_those_of_the_store(shmctx, served):
    here, far = both(shmctx, served, ("ps",), "--json", named=True)
    assert [row["pid"] for row in json.loads(far[1])] == [row["pid"] for row in json.loads(here[1])] == [os.getpid()]
    assert json.loads(far[1])[0]["role"] == "leader"

    code, shown, said = shmctx("ls", "--json", "--url", served.gateway.url, "--token-file", served.gateway.token_file)
    assert (code, said) == (0, "")
    assert shmctx("ls", "--json")[0] == 0
    (row,) = json.loads(shown)
    assert (row["name"], row["state"], row["leader_pid"]) == (served.name, "open", os.getpid())


def read(output, form):
    """JSON by its values: the order of a context's custom fields is nobody's promise."""
    assert output.strip()
    return [json.loads(line) for line in output.splitlines()] if form else output


def test_stat_tells_of_the_same_store(shmctx, served):
    here, far = both(shmctx, served, ("stat",), "--json", named=True)

    here, far = json.loads(here[1]), json.loads(far[1])
    assert here.keys() == far.keys()
    same = ("name", "store_id", "generation", "created_ns", "database", "ring_bytes", "state")
    assert {key: here[key] for key in same} == {key: far[key] for key in same}


def test_what_goes_wrong_has_its_exit_code(shmctx, served, checkpoints, tmp_path):
    url = ("--url", served.gateway.url)
    right = ("--token-file", served.gateway.token_file)
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong\n")

    for arguments, code, said in (
        (("get", "ctx_nothing", *url, *right), 1, "Nothing in this store has this id"),
        (("query", *url), 1, "token is missing or wrong"),
        (("query", *url, "--token-file", wrong), 1, "token is missing or wrong"),
        (("query", "--url", f"unix:{tmp_path}/nobody"), 3, "No gateway answers"),
        (("query", "--url", "ftp://host"), 2, "no address of a gateway"),
        (("query", served.name, *url, *right), 2, "there is no name to give"),
        (("query", served.name, *right), 2, "--token-file is for --url"),
        (("session", "s/2", *url, *right), 1, "s/2"),
        (("checkpoint", "show", served.leaf, *url, *right), 2, "not a checkpoint"),
        (("checkpoint", "show", "ctx_nothing", *url, *right), 1, "Nothing in this store has this id"),
        (("checkpoint", "show", checkpoints[0].ref, "--state", "nobody", *url, *right), 2, "no state of 'nobody'"),
        (("ls", "--url", f"unix:{tmp_path}/nobody"), 3, "No gateway answers"),
    ):
        done = shmctx(*arguments)
        assert done[0] == code, done
        assert said in done[2].splitlines()[0]
        assert done[2].startswith("Error: ")
        assert len(done[2].splitlines()) == 2, done[2]


def test_no_command_that_writes_takes_a_url(shmctx):
    for command in ("daemon", "prune", "pin", "unpin", "forget", "unlink", "migrate"):
        assert command in main.COMMANDS
        assert "--url" not in shmctx(command, "--help")[1]
