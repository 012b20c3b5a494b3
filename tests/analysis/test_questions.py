"""Impact, failures, the critical path, comparison, audit trail and reports, against what they are said to be."""

import itertools
from collections import Counter

import hypothesis
import msgspec
from hypothesis import strategies as st
from made import START, context, forests, refs

from shmctx import analysis
from shmctx.context import Context

# ---- impact ----


@hypothesis.given(forests(doubled=False))
def test_impact_counts_what_is_below(contexts):
    chain = analysis.chain(contexts)
    by_ref = {each.ref: each for each in contexts}
    for node in chain.nodes:
        below = [by_ref[other.ref] for other in chain.below(node)]
        told = analysis.impact(by_ref[node.ref], below)

        assert told.events == len(below) == sum(told.by_name.values())
        assert told.by_agent == Counter(each.agent_id for each in below if each.agent_id)
        assert told.errors == len(told.failed) == sum(each.error_text is not None for each in below)
        assert told.end_ns == max(other.end_ns for other in (node, *chain.below(node)))
        assert told.levels == max((other.level - node.level for other in chain.below(node)), default=0)
        assert msgspec.json.decode(msgspec.json.encode(told), type=analysis.Impact) == told


def test_impact_of_a_member_of_a_ring_ends():
    ring = [context(1, "b", event="a"), context(2, "a", event="b")]

    assert analysis.impact(ring[0], ring[1:]).levels == 1


# ---- failures ----


def failing(position, parent=None, **fields):
    return context(position, parent, error=True, error_type="E", error_message=str(position), **fields)


def test_an_error_is_put_down_to_where_it_began():
    """Request waits for step, which waits for tool, which fails: all three fail; the tool did it."""
    chain = analysis.chain(
        [
            context(1, name="root", agent="a"),
            failing(2, 1, agent="b", _duration_ms=900),
            failing(3, 2, agent="c", at=0.1, _duration_ms=500),
            failing(4, 3, agent="d", at=0.2, _duration_ms=100),
            context(5, 4, agent="e", at=0.3),
            failing(6, 1, agent="f", at=5),
        ]
    )
    tool, later = analysis.failures(chain)

    assert refs([tool.origin, later.origin]) == [4, 6]
    assert refs(tool.path) == [1, 2, 3, 4]
    assert refs(tool.spread) == [3, 2]
    assert refs(tool.after) == [6]
    assert (tool.effects, tool.agents) == (1, ["d", "c", "b", "e", "f"])
    assert (later.spread, later.after, later.effects) == ([], [], 0)


def test_what_fails_after_its_cause_has_ended_did_not_explain_it():
    """The compensation that a failed event starts, and which fails too, is an error of its own."""
    chain = analysis.chain([failing(1, _duration_ms=100), failing(2, 1, at=0.2)])

    assert refs(failure.origin for failure in analysis.failures(chain)) == [1, 2]
    assert refs(analysis.failures(chain)[0].after) == [2]


@hypothesis.given(forests())
def test_every_error_is_told_of(contexts):
    chain = analysis.chain(contexts)
    failures = analysis.failures(chain)
    failed = {node.ref for node in chain.nodes if node.error is not None}
    told = {node.ref for failure in failures for node in (failure.origin, *failure.spread, *failure.after)}

    assert bool(failures) == bool(failed)
    assert told == failed
    for failure in failures:
        assert failure.path == chain.path(failure.origin)
        assert failure.effects == len(chain.below(failure.origin))


# ---- the critical path ----


@hypothesis.given(forests())
def test_the_critical_path_leads_to_what_ended_last(contexts):
    chain = analysis.chain(contexts)
    path = analysis.critical_path(chain)
    if not contexts:
        assert path is None
        return
    ends = chain.ends()
    nodes = [step.node for step in path.steps]

    assert nodes == chain.path(nodes[-1])
    assert nodes[-1].size == 1
    assert path.begin_ns + path.total_ns == max(ends) == chain.end_ns
    for cause, effect in itertools.pairwise(nodes):
        assert ends[effect.index] == max(ends[other.index] for other in chain.children(cause))
    for number, step in enumerate(path.steps):
        assert step.offset_ns == step.node.time_ns - path.begin_ns
        handled = max([path.begin_ns, *(node.end_ns for node in nodes[:number])])
        assert step.gap_ns == max(step.node.time_ns - handled, 0)


# ---- comparison ----


@hypothesis.given(forests())
def test_a_run_is_like_itself(contexts):
    told = analysis.compare(contexts, contexts)

    assert (told.same, told.differences, told.path) == (len(contexts), [], [])


@hypothesis.given(forests(), forests())
def test_a_comparison_accounts_for_every_event(a, b):
    told = analysis.compare(a, b)
    back = analysis.compare(b, a)
    kinds = Counter(difference.kind for difference in told.differences)

    assert told.same + kinds["changed"] + kinds["removed"] == len(a) == told.a_events
    assert told.same + kinds["changed"] + kinds["added"] == len(b) == told.b_events
    assert Counter(difference.kind for difference in back.differences) == {
        {"added": "removed", "removed": "added"}.get(kind, kind): count for kind, count in kinds.items()
    }
    assert msgspec.json.decode(msgspec.json.encode(told))["same"] == told.same


def run(first, *, correlation, shuffled=False, **steps):
    """A request with two steps side by side and a reply below the second. Native ids begin at `first`."""
    rows = [
        context(first, name="request", correlation=correlation),
        context(first + 1, first, name="step", agent="a", correlation=correlation, more=steps.get("a")),
        context(first + 2, first, name="step", agent="b", correlation=correlation, more=steps.get("b")),
    ]
    if shuffled:
        rows[1:] = [
            context(first + 1, first, name="step", agent="b", correlation=correlation, more=steps.get("b")),
            context(first + 2, first, name="step", agent="a", correlation=correlation, more=steps.get("a")),
        ]
    parent = rows[1] if shuffled else rows[2]
    return [*rows, context(first + 3, parent.position, name="reply", correlation=correlation, at=1)]


def test_what_differs_from_run_to_run_is_no_difference():
    """Ids, times, durations, the order of what happens side by side, and data that names the run's own events."""
    a, b = run(10, correlation=10), run(500, correlation=500, shuffled=True)
    data = {
        a[3].ref: {"answer_to": a[2].ref, "seen": [a[0].event_id, {"in": a[0].correlation_id}]},
        b[3].ref: {"answer_to": b[1].ref, "seen": [b[0].event_id, {"in": b[0].correlation_id}]},
    }
    told = analysis.compare(a, b, data=data)

    assert (told.same, told.differences) == (4, [])
    assert analysis.compare(a, b, data={**data, b[3].ref: {}}).differences[0].event_name == "reply"


def test_a_difference_names_fields_and_paths_in_data():
    a, b = (
        run(10, correlation=10, b={"_trial": {"n": 1, "k": 0}}),
        run(500, correlation=500, b={"_trial": {"n": 2, "k": 0}}),
    )
    data = {a[3].ref: {"text": "yes", "same": 1}, b[3].ref: {"same": 1, "more": []}}
    told = analysis.compare(a, b, data=data)

    assert [(each.kind, each.event_name, each.under, each.fields) for each in told.differences] == [
        ("changed", "step", "request", {"_trial.n": (1, 2)}),
        ("changed", "reply", "step", {"data.text": ("yes", None), "data.more": (None, [])}),
    ]
    assert told.path == ["request", "step"]
    assert analysis.compare(a, b, data=data, ignore=["_trial", "data"]).differences == []


def test_what_one_run_has_more_is_told_with_all_below_it():
    a = run(10, correlation=10)
    b = [*run(500, correlation=500), context(510, 502, name="extra"), context(511, 510, name="below")]

    assert [(each.kind, each.event_name, each.under) for each in analysis.compare(a, b).differences] == [
        ("added", "extra", "step"),
        ("added", "below", "extra"),
    ]


# ---- the audit trail ----


@hypothesis.given(forests())
def test_an_audit_trail_has_everything_in_order(contexts):
    trail = analysis.audit_trail(contexts[::-1])
    known = {each.identity for each in contexts}
    orphans = [each for each in contexts if each.parent_identity is not None and each.parent_identity not in known]

    assert refs(trail.entries) == refs(contexts)
    assert [entry.number for entry in trail.entries] == list(range(1, len(contexts) + 1))
    assert sum("cause missing" in entry.notes for entry in trail.entries) == len(orphans)
    assert set(trail.missing) == {each.parent_event_id for each in orphans}
    for before, entry in itertools.pairwise(trail.entries):
        assert entry.gap_ns == entry.time_ns - before.time_ns
        assert ("clock went back" in entry.notes) == (entry.gap_ns < 0)
    doubled = len(contexts) - len({each.event_id for each in contexts})
    assert sum("id used before" in entry.notes for entry in trail.entries) == doubled


# ---- reports ----


@hypothesis.given(forests(), st.integers(2, 4) | st.none())
def test_frequent_chains_are_counted_as_they_are_spelt(contexts, length):
    chain = analysis.chain(contexts)
    paths = [
        tuple(node.event_name for node in chain.path(node))
        for node in chain.nodes
        if (node.size == 1 if length is None else node.level + 1 >= length)
    ]
    expected = Counter(path if length is None else path[-length:] for path in paths)
    found = analysis.frequent_chains(chain, length=length, limit=1000)

    assert {tuple(row.names): row.count for row in found} == expected
    assert [row.count for row in found] == sorted(expected.values(), reverse=True)
    for row in found:
        example = chain.node(row.example)
        assert [node.event_name for node in chain.path(example)][-len(row.names) :] == row.names


def test_slow_handlers_have_their_percentiles_by_nearest_rank():
    times = [*range(1, 101)]
    contexts = [context(n, _handlers={"h": n, "quick": 0.5}, _duration_ms=n, name="e") for n in times]
    contexts.append(context(200, _handlers={"h": 1}, error=True, _handler="h", name="e"))
    slow, quick = analysis.slow_handlers(contexts)

    assert (slow.name, slow.count, slow.p50_ms, slow.p95_ms, slow.max_ms, slow.failed) == ("h", 101, 50, 95, 100, 1)
    assert (quick.name, quick.total_ms, quick.failed) == ("quick", 50, 0)
    assert refs([context(100)]) == refs([Context(event_name="", ref=slow.slowest)])
    (event,) = analysis.slow_handlers(contexts, by_event=True)
    assert (event.name, event.count, event.p50_ms, event.failed) == ("e", 100, 50, 1)


def test_a_burst_is_where_much_more_happens_than_is_usual():
    steady = [context(n, at=n / 5, name="steady") for n in range(1, 500)]  # 5 a second for 100 seconds
    burst = [context(1000 + n, at=40 + n / 50, name="burst", agent="a") for n in range(100)]  # 50 a second for 2
    (found,) = analysis.bursts(steady + burst)

    assert found.usual == 5
    assert found.events == 110
    assert found.rate == 55
    assert found.by_name == {"burst": 100, "steady": 10}
    assert found.by_agent == {"a": 100}
    assert START + 40e9 <= found.begin_ns <= found.end_ns < START + 42e9
    assert analysis.bursts(steady) == []
    assert len(analysis.bursts(steady, least=5, factor=1)) == 1


def test_a_burst_stands_out_from_silence_and_far_times_cost_nothing():
    quiet = [context(1, at=-1_600_000_000), context(2, at=7_000_000_000)]
    burst = [context(10 + n, at=n / 1000) for n in range(30)]

    assert [found.events for found in analysis.bursts(quiet + burst)] == [30]
    assert analysis.bursts(quiet + burst, least=31) == []
    assert analysis.bursts([]) == []


def test_a_chain_is_deep_beside_the_others():
    usual = [context(n, depth=n % 3, correlation=100 + n // 3) for n in range(300)]
    deep = [context(1000 + n, depth=n, correlation="loop", name="again") for n in range(40)]
    (found,) = analysis.deep_chains(usual + deep)

    assert (found.correlation_id, found.depth, found.usual, found.events) == ("loop", 39, 2, 40)
    assert (found.begins_with, found.repeats) == ("again", {"again": 40})
    assert refs([Context(event_name="", ref=found.deepest)]) == [1039]
    assert analysis.deep_chains(usual) == analysis.deep_chains([]) == []
    assert analysis.deep_chains(usual + deep, least=40) == []
