"""`shmctx tail`: the newest contexts in the ring, and following them."""

import json
import signal

import pytest
from commands import LIMIT, assert_refused, interrupt

from shmctx.cli.tails import newest
from shmctx.hot import segment as segments


def names(result):
    return [row["event_name"] for row in result.rows]


def next_context(tail):
    return json.loads(tail.stdout.readline())


def test_tail_prints_the_newest_oldest_first(agent, cli, segment_name):
    agent.put_many([f"event:{i}" for i in range(25)])

    assert names(cli("tail", segment_name)) == [f"event:{i}" for i in range(15, 25)]
    assert names(cli("tail", segment_name, "-n", "3")) == ["event:22", "event:23", "event:24"]
    assert names(cli("tail", segment_name, "-n", "100")) == [f"event:{i}" for i in range(25)]
    assert names(cli("tail", segment_name, "-n", "0")) == []


def test_tail_in_each_form(agent, cli, terminal, segment_name):
    refs = agent.put_many(["a", "b"])
    expected = [agent[ref].to_dict() for ref in refs]

    assert json.loads(cli("tail", segment_name, "--json").out) == expected
    assert [json.loads(line) for line in cli("tail", segment_name, "--jsonl").out.splitlines()] == expected
    assert all(ref in terminal("tail", segment_name).out for ref in refs)


def test_tail_shows_contexts_only_and_annotations_in_them(agent, cli, segment_name):
    ref = agent.put("work", session={"id": "s-1"})
    agent.annotate(ref, error="late")
    rows = cli("tail", segment_name).rows

    assert [(row["event_name"], row["error"]) for row in rows] == [("work", "late")]


@pytest.mark.parametrize("records", [100, 12_000], ids=["before the wrap", "after it"])
def test_the_walk_back_finds_the_last_of_any_number(agent, records):
    """The ring has 16,384 granules; every put here takes two."""
    refs = agent.put_many([("event", {"_text": "x" * 60})] * records)
    ring = agent._ring
    head = ring.positions()[1]

    for count in (0, 1, 7, 90):
        found = newest(ring, head, count)
        assert found == [agent[ref].position for ref in refs[-count:]][: count or 0]


def test_following_sees_what_another_process_puts(agent, start, spawn, segment_name):
    agent.put("earlier")
    tail = start("tail", segment_name, "-f", "--jsonl")
    assert next_context(tail)["_event_name"] == "earlier"

    other = spawn(
        "import sys, shmctx\nwith shmctx.attach(sys.argv[1]) as s: print(s.put('elsewhere', agent_id='b'))",
        segment_name,
    )
    ref = other.line()
    seen = next_context(tail)
    other.finish()

    assert (seen["_ref"], seen["_event_name"], seen["_agent_id"]) == (ref, "elsewhere", "b")


def test_following_misses_and_repeats_nothing(agent, start, segment_name):
    agent.put("first")
    tail = start("tail", segment_name, "-f", "--jsonl", "-n", "1")
    assert next_context(tail)["_event_name"] == "first"
    refs = agent.put_many([f"event:{i}" for i in range(1500)])

    assert [next_context(tail)["_ref"] for _ in refs] == refs


def test_following_ends_quietly_when_it_is_interrupted(agent, start, segment_name):
    agent.put("one")
    tail = start("tail", segment_name, "--follow", "--jsonl")
    next_context(tail)
    done = interrupt(tail, signal.SIGINT)

    assert done == (130, "", "")


def test_following_ends_when_nobody_reads_any_more(agent, start, segment_name):
    """Even if nothing is put any more: it would otherwise sleep for ever."""
    agent.put("one")
    tail = start("tail", segment_name, "-f", "--jsonl")
    next_context(tail)
    tail.stdout.close()

    assert tail.wait(LIMIT) == 128 + signal.SIGPIPE
    assert tail.stderr.read() == ""


def test_following_goes_on_with_the_next_segment(agent, start, segment_name, wait_for):
    agent.put("before")
    tail = start("tail", segment_name, "-f", "--jsonl")
    assert next_context(tail)["_event_name"] == "before"
    generation = agent.stats()["generation"]
    segments.unlink(segment_name)
    wait_for(lambda: segments.path_of(segment_name).exists())
    agent.put("after")

    assert next_context(tail)["_event_name"] == "after"
    assert agent.stats()["generation"] != generation


def test_following_takes_part_and_leaves(agent, daemon, start, segment_name, cli):
    agent.put("one")
    tail = start("tail", segment_name, "-f", "--jsonl")
    next_context(tail)
    during = {row["pid"] for row in cli("ps", segment_name).rows}
    interrupt(tail, signal.SIGINT)
    after = {row["pid"] for row in cli("ps", segment_name).rows}

    assert during - after == {str(tail.pid)}


def test_following_without_end_is_no_document(cli, segment_name):
    assert_refused(cli("tail", segment_name, "-f", "--json"), 2, "use --jsonl", "shmctx tail --help")
