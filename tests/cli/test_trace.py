"""`shmctx trace`: every context of a correlation once, below what caused it."""

import json
import time
from xml.etree import ElementTree as ET

import pytest
from commands import assert_refused

import shmctx


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
    result = cli("trace", "--name", segment_name, family[0].correlation_id)
    rows = {row["event"].strip(): row for row in result.rows}

    assert drawn(result) == ["root", "  one", "  two", "    deep", "  three"]
    assert rows["deep"]["error"] == "ValueError: no"
    assert rows["two"]["agent_id"] == "a-2"
    assert rows["root"]["offset_seconds"] == "0.0"
    offsets = [float(rows[name]["offset_seconds"]) for name in ("root", "one", "two", "deep", "three")]
    assert offsets == sorted(offsets)


def test_any_member_names_the_correlation(family, cli, segment_name):
    root, two = family
    expected = drawn(cli("trace", "--name", segment_name, root.correlation_id))

    assert len(expected) == 5
    for name in (root.ref, two.ref, two.event_id):
        assert drawn(cli("trace", "--name", segment_name, name)) == expected


def test_json_has_levels_instead_of_indentation(family, cli, segment_name):
    rows = json.loads(cli("trace", "--name", segment_name, family[0].ref, "--json").out)
    lines = [
        json.loads(line) for line in cli("trace", "--name", segment_name, family[0].ref, "--jsonl").out.splitlines()
    ]

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
    shown = terminal("trace", "--name", segment_name, family[0].ref, env={"NO_COLOR": "1"}).out

    assert "├─ one" in shown
    assert "│  └─ deep" in shown
    assert "└─ three" in shown
    assert "ValueError: no" in shown


def test_whose_parent_is_unknown_is_a_root(agent, cli, segment_name):
    agent.put("orphan", parent_event_id="evt_gone", correlation_id="c-1")
    agent.put("start", event_id="e-1", correlation_id="c-1")
    agent.put("child", parent_event_id="e-1", correlation_id="c-1")
    rows = cli("trace", "--name", segment_name, "c-1").rows

    assert [(row["event"], row["note"]) for row in rows] == [
        ("orphan", "parent unknown"),
        ("start", ""),
        ("  child", ""),
    ]


def test_contexts_that_name_each_other_as_parents_are_shown_once(agent, cli, segment_name):
    for event, parent in (("a", "c"), ("b", "a"), ("c", "b"), ("self", "self"), ("below", "c")):
        agent.put(event, event_id=event, parent_event_id=parent, correlation_id="ring")
    rows = json.loads(cli("trace", "--name", segment_name, "ring", "--json").out)

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
    rows = json.loads(cli("trace", "--name", segment_name, root, "--json").out)

    assert [row["level"] for row in rows] == list(range(2500))
    assert drawn(cli("trace", "--name", segment_name, ref))[-1].strip() == "event:2499"


def test_what_is_neither_correlation_nor_context_is_said(agent, cli, segment_name):
    assert_refused(
        cli("trace", "--name", segment_name, "corr_nothing"), 1, "neither a correlation nor a context", "shmctx query"
    )


def test_without_a_correlation_it_is_wrong_usage(cli, segment_name):
    assert_refused(cli("trace", "--name", segment_name), 2, "CORRELATION_OR_REF", "shmctx trace --help")


def test_the_ref_or_the_name_tells_the_store(family, cli, segment_name):
    root, _ = family
    expected = drawn(cli("trace", "--name", segment_name, root.ref))

    assert drawn(cli("trace", root.ref)) == expected
    assert drawn(cli("trace", root.correlation_id)) == expected
    assert drawn(cli("trace", root.ref, env={"SHMCTX_SEGMENT": segment_name})) == expected


def test_a_brought_correlation_is_looked_for_in_every_store(agent, cli, segment_name):
    correlation = f"c-{segment_name}"
    agent.put("one", correlation_id=correlation)

    assert drawn(cli("trace", correlation)) == ["one"]


@pytest.mark.parametrize("where", ["before", "behind"])
def test_a_store_whose_database_is_gone_hides_nothing_of_the_others(agent, cli, segment_name, tmp_path, where):
    """Which of them is asked first is a matter of their names."""
    db = tmp_path / "removed.db"
    name = {"before": f"0-{segment_name}", "behind": f"z-{segment_name}"}[where]
    with shmctx.open(name, db=db, ring_size=1 << 20) as broken:
        broken.put("x", durable=True)
    for path in tmp_path.glob("removed.db*"):
        path.unlink() if path.is_file() else None
    event = f"e-{segment_name}"
    agent.put("one", event_id=event)

    try:
        assert cli("get", event).code == 0
        assert "removed.db" in cli("get", f"{event}-unknown").err
    finally:
        shmctx.unlink(name)


def test_below_a_context_is_what_it_caused_wherever_that_is(family, agent, cli):
    _, two = family
    agent.put("elsewhere", parent=two.ref, correlation_id="another")
    rows = cli("trace", two.ref, "--below").rows

    assert [(row["event"], row["note"]) for row in rows] == [
        ("two", "parent unknown"),
        ("  deep", ""),
        ("  elsewhere", ""),
    ]


@pytest.fixture
def timed(agent):
    """Root -> (quick, slow -> last), with durations: the chain through `slow` ends last."""
    begin = float(int(time.time()) - 60)  # what is older than a day leaves the ring
    with agent.span("root", timestamp=begin) as root:
        agent.put("quick", timestamp=begin + 0.1)
        with agent.span("slow", timestamp=begin + 0.2) as slow:
            last = agent.put("last", timestamp=begin + 0.4)
    for ref, milliseconds in ((root.ref, 150.0), (slow.ref, 500.0), (last, 100)):
        agent.annotate(ref, _duration_ms=milliseconds)
    return root, slow


def test_the_critical_path_has_durations_and_gaps(timed, cli):
    rows = cli("trace", timed[0].ref, "--critical-path").rows

    assert [row["event"] for row in rows] == ["root", "slow", "last"]
    assert [float(row["before_seconds"]) for row in rows] == pytest.approx([0.2, 0.2, 0.1])
    assert [float(row["gap_seconds"]) for row in rows] == pytest.approx([0, 0.05, 0])
    assert [float(row["after_seconds"]) for row in rows] == pytest.approx([0, 0.2, 0])


def test_a_file_s_ending_chooses_the_format(family, cli, tmp_path):
    root, _ = family
    for name in ("t.svg", "t.mmd", "t.json", "t.jsonl", "t.txt"):
        assert cli("trace", root.ref, "-o", tmp_path / name) == (0, "", "")
    written = {path.name: path.read_text() for path in tmp_path.glob("t.*")}

    assert [element.tag for element in ET.fromstring(written["t.svg"])][:1] == ["{http://www.w3.org/2000/svg}title"]
    assert written["t.mmd"].startswith("flowchart TD\n")
    assert [row["_event_name"] for row in json.loads(written["t.json"])] == ["root", "one", "two", "deep", "three"]
    assert len(written["t.jsonl"].splitlines()) == 5
    assert "│  └─ deep" in written["t.txt"]
    assert "ERROR ValueError: no" in written["t.txt"]
    assert cli("trace", root.ref, "-o", tmp_path / "t.svg", "--format", "tree").code == 0
    assert (tmp_path / "t.svg").read_text() == written["t.txt"]


def test_what_cannot_be_written_is_said_and_leaves_the_old_file(family, cli, tmp_path):
    root, _ = family
    old = tmp_path / "old.svg"
    old.write_text("old")

    assert_refused(cli("trace", root.ref, "-o", tmp_path / "no" / "x.svg"), 1, "cannot be written: No such file")
    assert_refused(cli("trace", "corr_nothing", "-o", old), 1, "neither a correlation nor a context", "shmctx query")
    assert old.read_text() == "old"
    assert [path.name for path in tmp_path.glob("*.unfinished")] == []


@pytest.mark.parametrize(
    "options,error",
    [
        (["--format", "svg", "--critical-path"], "the critical path anyway"),
        (["--format", "svg", "--json"], "exclude each other"),
        (["--format", "gif"], "gif"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_go_together_is_wrong_usage(family, cli, options, error):
    assert_refused(cli("trace", family[0].ref, *options), 2, error, "shmctx trace --help")
