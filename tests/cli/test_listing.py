"""`shmctx ls`, `stat` and `ps`: each form of output, and segments that cannot be used."""

import json
import os
import signal

import pytest
from commands import assert_refused, interrupt

from shmctx.cli.inspect import PROCESSES, RATES, SEGMENTS
from shmctx.hot import segment as segments


def keys(listing):
    return [column.key for column in listing.columns]


def row_of(name, rows):
    return next(row for row in rows if row["name"] == name)


def test_ls_in_plain_text_is_a_header_and_numbers(agent, daemon, cli, segment_name, db):
    agent.put("one", durable=True)
    result = cli("ls")
    row = row_of(segment_name, result.rows)

    assert (result.code, result.err) == (0, "")
    assert result.out.split("\n", 1)[0].split("\t") == keys(SEGMENTS)
    assert row["state"] == "open"
    assert row["database"] == str(db)
    assert row["leader_pid"] == str(daemon.pid)
    assert row["leader_alive"] == "true"
    assert int(row["segment_bytes"]) == os.stat(segments.path_of(segment_name)).st_size
    assert row["used_bytes"] == "128"  # a header of 64 bytes, and what the context takes
    assert row["lag_bytes"] == "0"


def test_ls_as_json_has_the_same_rows(agent, daemon, cli, segment_name):
    document = json.loads(cli("ls", "--json").out)
    lines = [json.loads(line) for line in cli("ls", "--jsonl").out.splitlines()]
    row = row_of(segment_name, document)

    assert list(row) == keys(SEGMENTS)
    assert row == row_of(segment_name, lines)
    assert row["store_id"] == f"{agent.store_id:06x}"
    assert row["leader_pid"] == daemon.pid
    assert row["leader_alive"] is True


def test_ls_on_a_terminal_is_a_table(agent, terminal, segment_name):
    shown = terminal("ls", env={"NO_COLOR": "1"})
    line = next(line for line in shown.out.splitlines() if segment_name in line)

    assert shown.out.split() != []
    assert "Undrained" in shown.out
    assert "yes" in line
    assert "MiB" in line
    assert "\t" not in shown.out


def test_ls_says_that_a_leader_is_dead(dead, cli, segment_name):
    dead.put("undrained")
    row = row_of(segment_name, cli("ls").rows)

    assert row["leader_alive"] == "false"
    assert row["lag_bytes"] == "128"


@pytest.mark.parametrize(
    "content,mode,state",
    [(b"", 0o600, "damaged"), (b"\xff" * 70000, 0o600, "damaged"), (None, 0o644, "foreign")],
    ids=["empty", "garbage", "readable by others"],
)
@pytest.mark.usefixtures("dead")
def test_ls_names_what_cannot_be_used_and_goes_on(cli, segment_name, content, mode, state):
    path = segments.path_of(f"{segment_name}-bad")
    path.write_bytes(segments.path_of(segment_name).read_bytes() if content is None else content)
    path.chmod(mode)
    result = cli("ls")
    row = row_of(f"{segment_name}-bad", result.rows)

    assert (result.code, result.err) == (0, "")
    assert row["state"] == state
    assert row["reason"]
    assert row_of(segment_name, result.rows)["state"] == "open"


def test_stat_has_one_shape_in_json_and_in_python(agent, cli, segment_name):
    agent.put("one", durable=True)
    told = json.loads(cli("stat", segment_name, "--json").out)
    expected = agent.stats()

    assert list(told) == list(expected)
    assert told["positions"] == expected["positions"]
    assert told["leader"].keys() == expected["leader"].keys()
    assert told["counters"].keys() == expected["counters"].keys()
    assert told["counters"]["puts"] == 1
    assert told["lag_bytes"] == 0
    assert json.loads(cli("stat", segment_name, "--jsonl").out)["positions"] == told["positions"]


def test_stat_in_plain_text_has_dotted_keys(agent, daemon, cli, segment_name):
    rows = {row["key"]: row["value"] for row in cli("stat", segment_name).rows}

    assert rows["name"] == segment_name
    assert rows["leader.pid"] == str(daemon.pid)
    assert rows["counters.puts"] == "0"


def test_stat_on_a_terminal_speaks_to_people(agent, daemon, terminal, segment_name):
    shown = terminal("stat", segment_name, env={"NO_COLOR": "1"}).out

    assert f"pid {daemon.pid}, alive" in shown
    assert "of 1.0 MiB used" in shown


def test_the_store_is_named_by_the_environment(agent, cli, segment_name):
    told = json.loads(cli("stat", "--json", env={"SHMCTX_SEGMENT": segment_name}).out)

    assert told["name"] == segment_name


def test_stat_watches_until_it_is_interrupted(agent, start, segment_name):
    watch = start("stat", segment_name, "--watch", "--interval", "0.05", "--jsonl")
    rows = [json.loads(watch.stdout.readline()) for _ in range(3)]
    done = interrupt(watch, signal.SIGINT)

    assert all(list(row) == keys(RATES) for row in rows)
    assert rows[0]["participants"] == 2
    assert (done.code, done.err) == (130, "")


def test_stat_watches_in_plain_text_under_one_header(agent, start, segment_name):
    watch = start("stat", segment_name, "-w", "--interval", "0.05")
    lines = [watch.stdout.readline().rstrip("\n").split("\t") for _ in range(3)]
    interrupt(watch, signal.SIGINT)

    assert lines[0] == keys(RATES)
    assert len(lines[1]) == len(lines[2]) == len(lines[0])
    assert lines[1] != lines[0]


def test_watching_without_end_is_no_document(cli, segment_name):
    assert_refused(cli("stat", segment_name, "--watch", "--json"), 2, "use --jsonl", "shmctx stat --help")


def test_ps_lists_who_uses_the_store(agent, daemon, cli, segment_name):
    agent.put("one")
    rows = {row["pid"]: row for row in json.loads(cli("ps", segment_name, "--json").out)}
    plain = {int(row["pid"]): row for row in cli("ps", segment_name).rows}

    assert rows.keys() == plain.keys() == {os.getpid(), daemon.pid}
    assert set(keys(PROCESSES)) == set(rows[daemon.pid])
    assert rows[daemon.pid]["role"] == "leader"
    assert rows[os.getpid()]["role"] == plain[os.getpid()]["role"] == "agent"
    assert rows[os.getpid()]["puts"] == 1
    assert "daemon" in plain[daemon.pid]["command"]


def test_ps_shows_the_dead(agent, daemon, cli, terminal, segment_name):
    daemon.kill()
    daemon.wait()
    states = {row["pid"]: row["alive"] for row in cli("ps", segment_name).rows}

    assert states.pop(str(os.getpid())) == "true"
    assert list(states.values()) == ["false"]
    assert "no" in terminal("ps", segment_name).out


@pytest.mark.parametrize("command", ["stat", "ps", "tail", "query"])
def test_a_store_that_is_not_there_is_unavailable(cli, segment_name, command):
    assert_refused(cli(command, segment_name), 3, f"no segment {segment_name!r}", "shmctx daemon")


@pytest.mark.parametrize("command", ["ls", "stat", "ps", "query", "tail"])
def test_json_is_either_a_document_or_lines(cli, command):
    assert_refused(cli(command, "--json", "--jsonl"), 2, "exclude each other", f"shmctx {command} --help")
