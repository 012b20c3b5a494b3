"""`shmctx impact`, `errors`, `compare`, `audit-trail`, `session` and `report` on a running store."""

import json
import time

import pytest
from commands import assert_refused


@pytest.fixture
def runs(agent):
    """Two runs of the same request; in the second, the step fails and a reply is missing."""
    roots = []
    for number, session in ((1, "s-1"), (2, "s-2")):
        with (
            agent.span("request", agent_id="a-1", session={"id": session, "topic": "tests"}, user_id="u") as root,
            agent.span("step", agent_id="a-2", data={"n": number, "same": True}) as step,
        ):
            if number == 1:
                agent.put("reply", response_ref="resp:1")
            note = agent.put("note")
        agent.annotate(note, _handlers={"log": 2.5 * number}, _duration_ms=3.0)
        if number == 2:
            agent.annotate(step.ref, error=True, error_type="ValueError", error_message="no", _handler="run")
        roots.append((root, step))
    return roots


def test_impact_sums_up_what_came_after(runs, cli):
    root, _ = runs[0]
    told = json.loads(cli("impact", root.ref, "--json").out)

    assert (told["ref"], told["events"], told["errors"], told["levels"]) == (root.ref, 3, 0, 2)
    assert told["by_name"] == {"step": 1, "reply": 1, "note": 1}
    assert told["by_agent"] == {"a-2": 3}
    assert told["sessions"] == ["s-1"]
    assert told["span_seconds"] == pytest.approx((told["end_ns"] - told["begin_ns"]) / 1e9)
    assert json.loads(cli("impact", runs[1][0].ref, "--json").out)["failed"] == [runs[1][1].ref]


def test_errors_show_where_one_began(runs, cli):
    _, step = runs[1]
    (row,) = cli("errors", step.correlation_id).rows

    assert (row["event"], row["error"], row["ref"]) == ("step", "ValueError: no", step.ref)
    assert (row["path"], row["effects"], row["agents"]) == ("request > step", "1", "a-2")
    assert cli("errors", runs[0][0].ref).rows == []


def test_compare_shows_where_two_runs_part(runs, cli):
    (a, step_a), (b, step_b) = runs
    told = json.loads(cli("compare", a.ref, b.correlation_id, "--json").out)
    by_kind = {(row["kind"], row["event_name"]): row for row in told["differences"]}

    assert (told["a_events"], told["b_events"], told["same"]) == (4, 3, 2)
    assert told["path"] == ["request", "step"]
    assert by_kind.keys() == {("changed", "step"), ("removed", "reply")}
    changed = by_kind["changed", "step"]
    assert (changed["a"], changed["b"], changed["under"]) == (step_a.ref, step_b.ref, "request")
    assert changed["fields"]["data.n"] == [1, 2]
    assert changed["fields"]["_error_type"] == [None, "ValueError"]
    assert "data.same" not in changed["fields"]


def test_ignored_fields_do_not_differ(runs, cli):
    ignored = [
        word for name in ("data", "_error", "_error_type", "_error_message", "_handler") for word in ("--ignore", name)
    ]
    rows = cli("compare", runs[0][0].ref, runs[1][0].ref, *ignored).rows

    assert [(row["kind"], row["event_name"]) for row in rows] == [("removed", "reply")]
    assert cli("compare", runs[0][0].ref, runs[0][1].ref).rows == []


def test_a_terminal_tells_how_much_is_alike(runs, terminal):
    shown = terminal("compare", runs[0][0].ref, runs[1][0].ref, env={"NO_COLOR": "1"}).out

    assert "2 events alike, 2 differ; they part at request > step" in shown
    assert "data.n: 1 -> 2" in shown


def test_an_audit_trail_names_who_and_what_is_missing(agent, cli):
    begin = time.time() - 600
    agent.put("orphan", correlation_id="c-9", parent_event_id="gone", timestamp=begin, agent_id="a-1", user_id="u")
    agent.put("late", correlation_id="c-9", timestamp=begin + 90, agent_id="a-2")
    agent.put("back", correlation_id="c-9", timestamp=begin + 80, error="broken")
    rows = cli("audit-trail", "c-9").rows
    whole = json.loads(cli("audit-trail", "c-9", "--json").out)

    assert [row["notes"] for row in rows] == ["cause missing", "long gap", "clock went back"]
    assert [row["agent_id"] for row in rows] == ["a-1", "a-2", ""]
    assert rows[2]["error"] == "broken"
    assert (whole["users"], whole["missing"], whole["errors"]) == (["u"], ["gone"], 1)
    assert [row["notes"] for row in cli("audit-trail", "c-9", "--long-gap", "100").rows][1] == ""


def test_a_session_is_found_by_its_id(runs, agent, cli, segment_name):
    told = json.loads(cli("session", "s-1", "--name", segment_name, "--json").out)

    assert told == json.loads(json.dumps(agent.session("s-1").to_dict()))
    assert (told["data"]["topic"], told["agents"], told["response_refs"]) == ("tests", ["a-1", "a-2"], ["resp:1"])
    assert_refused(cli("session", "s-0", "--name", segment_name), 1, "has the session 's-0'", "session_id")


def test_a_terminal_shows_a_session_s_contexts(runs, terminal, segment_name):
    shown = terminal("session", "s-1", "--name", segment_name, env={"NO_COLOR": "1"}).out

    assert "a-1, a-2" in shown
    assert shown.count("ctx_") == 4


def test_reports_of_a_stretch_of_time(runs, cli, segment_name):
    def report(kind, *options):
        return json.loads(cli("report", kind, segment_name, *options, "--json").out)

    assert report("chains")[0] | {"example": ""} == {"count": 2, "names": ["request", "step", "note"], "example": ""}
    assert {(*row["names"], row["count"]) for row in report("chains", "--length", "2")} == {
        ("request", "step", 2), ("step", "note", 2), ("step", "reply", 1),
    }  # fmt: skip
    (slow,) = report("slow")
    assert (slow["name"], slow["count"], slow["p50_ms"], slow["p95_ms"]) == ("log", 2, 2.5, 5.0)
    assert report("slow", "--by-event")[0]["max_ms"] == 3.0
    assert [row["depth"] for row in report("deep", "--least", "2", "--factor", "1")] == [2, 2]
    assert report("deep") == report("bursts") == []
    assert report("chains", "--since", str(time.time() + 60)) == []


def test_a_report_of_another_kind_is_wrong_usage(cli, segment_name):
    assert_refused(cli("report", "everything", segment_name), 2, "everything", "shmctx report --help")
