"""`shmctx tree`: every context of a correlation once, below what caused it."""

import json

import pytest
from commands import assert_refused


def drawn(result):
    return [row["event"] for row in result.rows]


@pytest.fixture
def family(agent):
    """Root -> (one, two -> deep, three), put in this order."""
    with agent.span("root", agent_id="a-1") as root:
        agent.put("one")
        with agent.span("two", agent_id="a-2") as two:
            agent.put("deep", error_type="ValueError", error_message="no")
        agent.put("three")
    agent.put("unrelated")
    return root, two


def test_indentation_shows_who_caused_what(family, cli, segment_name):
    result = cli("tree", segment_name, family[0].correlation_id)
    rows = {row["event"].strip(): row for row in result.rows}

    assert drawn(result) == ["root", "  one", "  two", "    deep", "  three"]
    assert rows["deep"]["error"] == "ValueError: no"
    assert rows["two"]["agent_id"] == "a-2"
    assert rows["root"]["offset_seconds"] == "0.0"
    offsets = [float(rows[name]["offset_seconds"]) for name in ("root", "one", "two", "deep", "three")]
    assert offsets == sorted(offsets)


def test_any_member_names_the_correlation(family, cli, segment_name):
    root, two = family
    expected = drawn(cli("tree", segment_name, root.correlation_id))

    assert len(expected) == 5
    for name in (root.ref, two.ref, two.event_id):
        assert drawn(cli("tree", segment_name, name)) == expected


def test_json_has_levels_instead_of_indentation(family, cli, segment_name):
    rows = json.loads(cli("tree", segment_name, family[0].ref, "--json").out)
    lines = [json.loads(line) for line in cli("tree", segment_name, family[0].ref, "--jsonl").out.splitlines()]

    assert rows == lines
    assert [(row["level"], row["_event_name"], row["root"]) for row in rows] == [
        (0, "root", "start"),
        (1, "one", None),
        (1, "two", None),
        (2, "deep", None),
        (1, "three", None),
    ]
    assert rows[3]["_error_type"] == "ValueError"


def test_a_terminal_shows_branches(family, terminal, segment_name):
    shown = terminal("tree", segment_name, family[0].ref, env={"NO_COLOR": "1"}).out

    assert "├─ one" in shown
    assert "│  └─ deep" in shown
    assert "└─ three" in shown
    assert "ValueError: no" in shown


def test_whose_parent_is_unknown_is_a_root(agent, cli, segment_name):
    agent.put("orphan", parent_event_id="evt_gone", correlation_id="c-1")
    agent.put("start", event_id="e-1", correlation_id="c-1")
    agent.put("child", parent_event_id="e-1", correlation_id="c-1")
    rows = cli("tree", segment_name, "c-1").rows

    assert [(row["event"], row["note"]) for row in rows] == [
        ("orphan", "parent unknown"),
        ("start", ""),
        ("  child", ""),
    ]


def test_contexts_that_name_each_other_as_parents_are_shown_once(agent, cli, segment_name):
    for event, parent in (("a", "c"), ("b", "a"), ("c", "b"), ("self", "self"), ("below", "c")):
        agent.put(event, event_id=event, parent_event_id=parent, correlation_id="ring")
    rows = json.loads(cli("tree", segment_name, "ring", "--json").out)

    assert [(row["level"], row["_event_name"], row["root"]) for row in rows] == [
        (0, "a", "cycle"),
        (1, "b", None),
        (2, "c", None),
        (3, "below", None),
        (0, "self", "cycle"),
    ]


def test_a_chain_may_be_longer_than_python_s_stack(agent, cli, segment_name):
    ref = root = agent.put("event:0")
    for i in range(1, 2500):
        ref = agent.put(f"event:{i}", parent=ref)
    rows = json.loads(cli("tree", segment_name, root, "--json").out)

    assert [row["level"] for row in rows] == list(range(2500))
    assert drawn(cli("tree", segment_name, ref))[-1].strip() == "event:2499"


def test_what_is_neither_correlation_nor_context_is_said(agent, cli, segment_name):
    assert_refused(cli("tree", segment_name, "corr_nothing"), 1, "neither a correlation nor a context", "shmctx query")


def test_without_a_correlation_it_is_wrong_usage(cli, segment_name):
    assert_refused(cli("tree", segment_name), 2, "CORRELATION_OR_REF", "shmctx tree --help")
