"""`shmctx get` and `query`: refs and filters in, contexts out, in each form."""

import json
import os
import signal
import subprocess
import time
from datetime import UTC, datetime

import pytest
from commands import LIMIT, SHMCTX, assert_refused

import shmctx
from shmctx.cli.render import CONTEXTS
from shmctx.hot import segment as segments
from shmctx.refs import make_ref

COLUMNS = [column.key for column in CONTEXTS.columns]


def lines(result):
    return [json.loads(line) for line in result.out.splitlines()]


def names(result):
    return [row["event_name"] for row in result.rows]


def test_get_finds_the_store_by_the_ref(agent, cli):
    ref = agent.put("agent:spawn", agent_id="a-7", session={"id": "s-1"}, _trial=4)
    result = cli("get", ref)

    assert (result.code, result.err) == (0, "")
    assert result.out.split("\n", 1)[0].split("\t") == COLUMNS
    assert (result.rows[0]["ref"], result.rows[0]["event_name"]) == (ref, "agent:spawn")


def test_get_as_json_prints_wire_names(agent, cli):
    ref = agent.put("agent:spawn", agent_id="a-7", session={"id": "s-1"}, _trial=4)
    expected = [agent[ref].to_dict()]

    assert json.loads(cli("get", ref, "--json").out) == expected
    assert lines(cli("get", ref, "--jsonl")) == expected
    assert expected[0]["_session"] == {"id": "s-1"}


def test_get_on_a_terminal_is_a_table(agent, terminal):
    ref = agent.put("agent:spawn", agent_id="a-7")
    shown = terminal("get", ref)

    assert shown.code == 0
    assert "Event" in shown.out
    assert ref in shown.out


def test_get_reads_refs_from_standard_input(agent, cli):
    refs = agent.put_many(["a", "b", "c"])
    result = cli("get", refs[2], "-", stdin=f"{refs[0]}\n\n{refs[1]}\n")

    assert names(result) == ["c", "a", "b"]


def test_get_reports_what_does_not_resolve_and_prints_the_rest(agent, cli, segment_name):
    ref = agent.put("here")
    result = cli("get", "evt_nowhere", ref)

    assert names(result) == ["here"]
    assert result.code == 1
    assert result.err.startswith("Error: 'evt_nowhere' resolves neither")
    assert result.err.splitlines()[1].startswith("Try: ")


def test_get_finds_ids_that_contexts_brought(agent, cli):
    agent.put("brought", event_id="order-17")

    assert names(cli("get", "order-17")) == ["brought"]


def test_get_says_whose_ref_it_is(agent, cli, segment_name):
    foreign = make_ref(agent.store_id ^ 1, 5)

    unknown = cli("get", foreign)
    assert (unknown.code, unknown.rows) == (3, [])
    assert f"store {agent.store_id ^ 1:06x}" in unknown.err
    assert "Try: " in unknown.err
    named = cli("get", foreign, "--name", segment_name)
    assert named.code == 1
    assert "belongs to store" in named.err


def test_get_takes_the_store_from_the_environment(agent, cli, segment_name):
    ref = agent.put("here")

    assert names(cli("get", ref, env={"SHMCTX_SEGMENT": segment_name})) == ["here"]
    assert cli("get", ref, env={"SHMCTX_SEGMENT": f"{segment_name}-no"}).code == 3


def test_get_without_a_ref_is_wrong_usage(cli):
    assert_refused(cli("get"), 2, "REF", "shmctx get --help")


def test_query_filters_by_everything_it_offers(agent, cli, segment_name):
    with agent.span("root", agent_id="a-1", session={"id": "s-1"}) as root:
        agent.put("child", agent_id="a-2")
    agent.put("other", agent_id="a-1")

    def found(*options):
        return names(cli("query", segment_name, *options))

    assert found() == ["root", "child", "other"]
    assert found("--correlation", root.correlation_id) == ["root", "child"]
    assert found("--agent", "a-1") == ["root", "other"]
    assert found("--session", "s-1") == ["root", "child"]
    assert found("--event", "child") == ["child"]
    assert found("--parent", root.ref) == ["child"]
    assert found("--agent", "a-1", "--event", "root") == ["root"]
    assert found("--limit", "1") == ["root"]
    assert found("--newest-first", "--limit", "2") == ["other", "child"]
    assert found("--agent", "nobody") == []


def test_query_sees_what_is_drained_and_what_is_not(dead, cli, segment_name):
    dead.put("undrained")

    assert names(cli("query", segment_name)) == ["before", "undrained"]


@pytest.mark.parametrize("form", ["age", "seconds", "zone", "local"])
def test_query_understands_times(agent, cli, segment_name, form):
    now = time.time()
    agent.put("old", timestamp=now - 7200)
    agent.put("new", timestamp=now - 60)
    hour_ago = datetime.fromtimestamp(now - 3600, UTC)
    moment = {
        "age": "1h",
        "seconds": str(now - 3600),
        "zone": hour_ago.isoformat(),
        "local": hour_ago.astimezone().replace(tzinfo=None).isoformat(),
    }[form]

    assert names(cli("query", segment_name, "--since", moment)) == ["new"]
    assert names(cli("query", segment_name, "--until", moment)) == ["old"]


@pytest.mark.parametrize("text", ["yesterday", "10", "-5m", "10y", "2026-13-01"])
def test_a_time_that_is_none_is_wrong_usage(agent, cli, segment_name, text):
    result = cli("query", segment_name, f"--since={text}")

    if text == "10":  # ten seconds after 1970 began
        assert result.code == 0
    else:
        assert_refused(result, 2, "is no time", "shmctx query --help")


def test_query_prints_each_form(agent, cli, terminal, segment_name):
    refs = agent.put_many(["a", "b"])
    expected = [agent[ref].to_dict() for ref in refs]

    assert json.loads(cli("query", segment_name, "--json").out) == expected
    assert lines(cli("query", segment_name, "--jsonl")) == expected
    assert all(ref in terminal("query", segment_name).out for ref in refs)
    assert json.loads(cli("query", segment_name, "--event", "none", "--json").out) == []


def test_text_cannot_break_lines_or_drive_the_terminal(agent, cli, terminal, segment_name):
    agent.put("tab\tline\nescape\x1b]0;title\x07 back\\slash", error="two\nlines", error_type="E")

    row = cli("query", segment_name).rows[0]
    assert row["event_name"] == r"tab\tline\nescape\x1b]0;title\x07 back\\slash"
    assert row["error"] == r"E: two\nlines"
    assert "\x1b]0;" not in terminal("query", segment_name, env={"COLUMNS": "200"}).out


def test_colours_are_for_terminals_that_want_them(agent, cli, terminal, segment_name):
    agent.put("one")

    assert "\x1b[" in terminal("query", segment_name).out
    assert "\x1b[" not in terminal("query", segment_name, env={"NO_COLOR": "1"}).out
    assert "\x1b[" not in cli("query", segment_name, env={"FORCE_COLOR": "1"}).out
    assert cli("query", "no-such-store", env={"FORCE_COLOR": "1"}).err.startswith("\x1b[")
    assert cli("query", "no-such-store").err.startswith("Error: ")


def test_a_reader_that_goes_away_is_no_accident(agent, environ, segment_name):
    agent.put_many(["an event with a name of some length"] * 3000)
    command = [*SHMCTX, "query", segment_name, "--jsonl"]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()

    assert process.wait(LIMIT) == 128 + signal.SIGPIPE
    assert err == b""


@pytest.mark.parametrize(
    "command",
    [
        ["stat", "NAME"], ["ps", "NAME"], ["query", "NAME"], ["tail", "NAME"], ["get", "REF", "--name", "NAME"],
        ["doctor", "NAME"], ["trace", "REF"], ["impact", "REF"], ["errors", "REF"], ["compare", "REF", "REF"],
        ["audit-trail", "REF"], ["session", "s-1", "--name", "NAME"], ["report", "chains", "NAME"], ["ls"],
    ],
    ids=lambda command: command[0],
)
def test_reading_leaves_no_trace(dead, cli, segment_name, tmp_path, command):
    """Everybody is dead: the commands answer, make nothing, take no slot and change not one byte of the segment."""
    dead.put("undrained")
    ref = dead.put("last", session={"id": "s-1"})
    dead.close()
    words = [{"REF": ref, "NAME": segment_name}.get(word, word) for word in command]
    before = segments.path_of(segment_name).read_bytes()
    files = {path for path in tmp_path.rglob("*") if not path.name.endswith(("-wal", "-shm"))}
    result = cli(*words)

    assert result.code in ((5,) if words[0] == "doctor" else (0,)), result
    assert segments.path_of(segment_name).read_bytes() == before
    assert {path for path in tmp_path.rglob("*") if not path.name.endswith(("-wal", "-shm"))} == files


def test_reading_goes_on_while_a_writer_is_stopped(daemon, agent, cli, segment_name):
    ref = agent.put("before", durable=True)
    os.kill(daemon.pid, signal.SIGSTOP)
    last = agent.put("during")

    assert names(cli("get", ref, last)) == ["before", "during"]
    assert names(cli("query", segment_name)) == ["before", "during"]
    os.kill(daemon.pid, signal.SIGCONT)


def test_what_is_no_store_s_database_any_more_is_said(dead, cli, segment_name, db):
    """The database is gone and a ref is looked for in it: an error with a hint, not a traceback."""
    shmctx.attach(segment_name).close()
    db.unlink()
    result = cli("query", segment_name)

    assert_refused(result, 1, f"no database {db}", "shmctx daemon")
