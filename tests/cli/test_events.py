"""`shmctx events`, and `tail` with filters: any filter, any fields, each form of output."""

import itertools
import json
import re
import select

import pytest
from commands import assert_refused

from shmctx.events.monitor import Monitor
from shmctx.events.selection import BUNDLES


@pytest.fixture
def story(agent):
    """Refs by name of events of two agents, one in error, half of them in the database."""
    with agent.span("agent:spawn", agent_id="a-1", session="s-1", data={"prompt": "Find the needle"}) as start:
        refs = {
            "spawn": start.ref,
            "status": agent.put("agent:status", data={"n": 1, "text": "tab\there"}),
            "failed": agent.put("agent:failed", agent_id="a-2"),
        }
        agent.annotate(refs["failed"], error_type="ValueError", error_message="no", _handler="h")
        agent.flush()
        refs["result"] = agent.put("completion:result", agent_id="a-2", _trial=4, data={"usage": {"tokens": 7}})
        agent.annotate(refs["result"], _duration_ms=2.5)
    return refs


FILTERS = {
    "all": ([], ["spawn", "status", "failed", "result"]),
    "pattern": (["--event", "agent:*"], ["spawn", "status", "failed"]),
    "name": (["--name", "agent:status"], ["status"]),
    "agent": (["--agent", "a-2"], ["failed", "result"]),
    "errors": (["--errors"], ["failed"]),
    "no errors": (["--no-errors", "--agent", "a-2"], ["result"]),
    "text in data": (["--text", "NEEDLE"], ["spawn"]),
    "text of an annotation": (["--text", "valueerror"], ["failed"]),
    "session": (["--session", "s-1", "--event", "*:s*"], ["spawn", "status"]),
    "since": (["--since", "1h", "--event", "completion:?esult"], ["result"]),
    "until": (["--until", "1h"], []),
}


@pytest.mark.parametrize("options, expected", FILTERS.values(), ids=FILTERS)
def test_every_filter_in_events_query_and_tail(story, cli, segment_name, options, expected):
    refs = [story[name] for name in expected]
    paged = [*options, "--limit", "1", "--newest-first"]

    assert [row["ref"] for row in cli("events", segment_name, *options).rows] == refs
    assert [row["ref"] for row in cli("events", segment_name, *paged).rows] == refs[-1:]
    assert [row["ref"] for row in cli("tail", segment_name, *options).rows] == refs
    assert [row["ref"] for row in cli("tail", segment_name, "-n", "1", *options).rows] == refs[-1:]
    if "--text" not in options:
        assert [row["ref"] for row in cli("query", segment_name, *options).rows] == refs


@pytest.mark.parametrize("command", ["events", "query"])
def test_the_last_ref_of_a_page_gives_the_next_page(story, cli, segment_name, command):
    order = list(story.values())

    first = cli(command, segment_name, "--limit", "3").rows[-1]["ref"]
    assert [row["ref"] for row in cli(command, segment_name, "--after", first).rows] == order[3:]
    last = cli(command, segment_name, "--newest-first", "--limit", "1").rows[-1]["ref"]
    rest = cli(command, segment_name, "--newest-first", "--after", last).rows
    assert [row["ref"] for row in rest] == order[-2::-1]


def test_what_was_put_after_a_ref(story, cli, segment_name):
    order = list(story.values())

    assert [row["ref"] for row in cli("tail", segment_name, "--after", order[1]).rows] == order[2:]
    assert [row["ref"] for row in cli("tail", segment_name, "--after", order[0], "-n", "2").rows] == order[-2:]


@pytest.mark.parametrize("words", [*itertools.product(["events", "tail"], BUNDLES)], ids=" ".join)
def test_every_bundle_in_each_form(story, agent, cli, terminal, words):
    command, bundle = words
    expected = json.loads(json.dumps(Monitor(agent).query(fields=bundle)))
    call = (command, agent.name, "--fields", bundle)

    assert json.loads(cli(*call, "--json").out) == expected
    assert [json.loads(line) for line in cli(*call, "--jsonl").out.splitlines()] == expected
    rows = cli(*call).rows
    assert [tuple(row) for row in rows] == [BUNDLES[bundle]] * 4
    assert [row["ref"] for row in rows] == list(story.values())
    assert all(ref in terminal(*call, env={"COLUMNS": "400"}).out for ref in story.values())


def test_fields_by_a_list_with_paths_into_the_data(story, cli, segment_name):
    rows = cli("events", segment_name, "--fields", "_ref,data.usage.tokens,_trial,data.text,agent_id").rows

    assert [tuple(row.values())[1:] for row in rows] == [
        ("", "", "", "a-1"), ("", "", "tab\\there", "a-1"), ("", "", "", "a-2"), ("7", "4", "", "a-2")
    ]  # fmt: skip
    assert [row["_ref"] for row in rows] == list(story.values())


def test_a_field_that_does_not_exist_is_wrong_usage(story, cli, segment_name):
    for command in ("events", "tail"):
        assert_refused(cli(command, segment_name, "--fields", "agent"), 2, "no field 'agent'", "agent_id")
        assert_refused(cli(command, segment_name, "--fields", "ref,nothing"), 2, "no field 'nothing'", "data.NAME")


def test_an_unknown_ref_to_go_on_behind_is_an_error(story, cli, segment_name):
    for command in ("events", "query", "tail"):
        assert_refused(cli(command, segment_name, "--after", "evt_nothing"), 1, "'evt_nothing' resolves", "query()")


def test_following_with_filters_fields_and_a_text(agent, start, segment_name):
    agent.put("agent:status", data={"text": "a needle, at first"})
    agent.put("agent:status", data={"text": "something else"})
    options = ["--event", "agent:*", "--text", "Needle", "--fields", "event_name,data.text", "--jsonl"]
    tail = start("tail", segment_name, "-f", *options)
    assert json.loads(tail.stdout.readline()) == {"event_name": "agent:status", "data.text": "a needle, at first"}
    agent.put("agent:status", data={"text": "nothing"})
    agent.put("other", data={"text": "needle"})
    agent.put("agent:spawn", data={"text": "the needle"})

    assert json.loads(tail.stdout.readline()) == {"event_name": "agent:spawn", "data.text": "the needle"}


def test_following_errors_shows_what_an_annotation_puts_into_error(agent, start, segment_name):
    agent.annotate(agent.put("first"), error="e")
    tail = start("tail", segment_name, "-f", "--errors", "--jsonl")
    assert json.loads(tail.stdout.readline())["_event_name"] == "first"
    late = agent.put("late")
    agent.put("fine")
    agent.annotate(late, error="e", error_type="E")
    shown = json.loads(tail.stdout.readline())

    assert (shown["_event_name"], shown["_error_type"]) == ("late", "E")


def test_what_the_rate_drops_is_told(agent, start, segment_name, wait_for):
    agent.put("first")
    tail = start("tail", segment_name, "-f", "--max-rate", "2", "--jsonl", "--fields", "data.n")
    tail.stdout.readline()
    agent.put_many([("x", {"data": {"n": number}}) for number in range(300)])
    shown = [json.loads(tail.stdout.readline())["data.n"] for _ in range(2)]

    def told():
        """Once time has let another one through."""
        agent.put("x", data={"n": 300})
        return select.select([tail.stderr], [], [], 0.05)[0]

    wait_for(told)
    assert shown == [0, 1]
    assert re.fullmatch(r"[1-9]\d* more were dropped\.\n", tail.stderr.readline())


@pytest.mark.parametrize(
    "options, error",
    [
        (["-f", "--newest-first"], "--newest-first"), (["--max-rate", "0"], "--max-rate"),
        (["--since", "soon"], "no time"), (["--limit", "-1"], "limit"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_options_that_make_no_sense(cli, segment_name, options, error):
    result = cli("tail", segment_name, *options)

    assert result.code == 2
    assert error in result.err
