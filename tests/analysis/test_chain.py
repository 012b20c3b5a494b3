"""Chains: every context once, in its place, whatever it claims; against a model that only follows the definition."""

import hypothesis
import msgspec
from hypothesis import strategies as st
from made import context, forests, refs

from shmctx import analysis
from shmctx.analysis.chain import CYCLE, ORPHAN, START
from shmctx.analysis.text import drawn


def in_ring(contexts, member):
    """Whether one comes back to a context on the way up, when any bearer of an id may be the parent."""
    met, row = set(), [member]
    while row:
        row = [other for each in row for other in contexts if other.identity == each.parent_identity]
        if any(other.ref == member.ref for other in row):
            return True
        row = [other for other in row if other.ref not in met]
        met |= {other.ref for other in row}
    return False


@hypothesis.settings(max_examples=1000)
@hypothesis.given(forests(largest=12))
def test_every_context_is_in_its_place(contexts):
    chain = analysis.chain(contexts)
    by_ref = {each.ref: each for each in contexts}
    known = {each.identity for each in contexts}

    assert sorted(refs(chain.nodes)) == sorted(refs(contexts))
    for index, node in enumerate(chain.nodes):
        member = by_ref[node.ref]
        assert node.index == index
        assert (node.event_id, node.correlation_id) == (member.event_id, member.correlation_id)
        if node.parent is not None:
            assert by_ref[chain.nodes[node.parent].ref].identity == member.parent_identity
            assert (node.root, node.parent < index) == (None, True)
        elif member.parent_identity is None:
            assert node.root == START
        elif member.parent_identity not in known:
            assert node.root == ORPHAN
        else:
            assert node.root == CYCLE
            assert in_ring(contexts, member)


@hypothesis.given(forests())
def test_walks_agree_with_each_other(contexts):
    chain = analysis.chain(contexts)
    for node in chain.nodes:
        path, below = chain.path(node), chain.below(node)

        assert len(path) == node.level + 1
        assert path[0].parent is None
        assert path[-1] is node
        assert below == [other for other in chain.nodes if other is not node and node in chain.path(other)]
        assert list(chain.children(node)) == [other for other in chain.nodes if other.parent == node.index]
        assert chain.siblings(node) == [
            other for other in chain.nodes if other.parent == node.parent and other is not node
        ]
        assert refs(chain.children(node)) == sorted(refs(chain.children(node)))
        assert chain.ends()[node.index] == max(other.end_ns for other in (node, *below))
    assert list(chain.roots()) == [node for node in chain.nodes if node.parent is None]


@hypothesis.given(forests(), st.randoms())
def test_the_order_in_which_contexts_come_decides_nothing(contexts, dice):
    chain = analysis.chain(contexts)
    dice.shuffle(contexts)

    assert analysis.chain(contexts) == chain
    assert analysis.chain(contexts * 2) == chain


@hypothesis.given(forests())
def test_a_chain_survives_json(contexts):
    chain = analysis.chain(contexts)

    assert msgspec.json.decode(msgspec.json.encode(chain), type=analysis.Chain) == chain


@hypothesis.given(forests())
def test_every_line_of_the_tree_hangs_below_its_cause(contexts):
    """Read back from the drawing: the column of a name gives its level, and the line above in a smaller column is its
    parent."""
    chain = analysis.chain(contexts)
    columns = []
    for node, lines in drawn(chain):
        assert len(lines) == 3 * node.level
        assert lines[-3:] in ("", "├─ ", "└─ ")
        if node.parent is not None:
            above = next(index for index in range(node.index - 1, -1, -1) if columns[index] < len(lines))
            assert above == node.parent
            is_last = list(chain.children(chain.nodes[node.parent]))[-1] is node
            assert (lines[-3:] == "└─ ") == is_last
        columns.append(len(lines))
    assert analysis.tree(chain).count("\n") == len(chain.nodes)


def test_a_ring_begins_with_its_oldest_member_not_with_what_hangs_below():
    below = context(1, "c", event="below")
    ring = [context(2, "c", event="a"), context(3, "a", event="b"), context(4, "b", event="c")]
    chain = analysis.chain([below, *ring])

    assert [(node.event_id, node.level, node.root) for node in chain.nodes] == [
        ("a", 0, CYCLE),
        ("b", 1, None),
        ("c", 2, None),
        ("below", 3, None),
    ]


def test_two_bearers_of_one_id_on_both_sides_of_a_ring():
    """The first `a` hangs below a root, the second below a context that is its own parent."""
    root, first = context(1), context(2, 1, event="a")
    second, ring = context(3, 4, event="a"), context(4, 4)
    chain = analysis.chain([root, first, second, ring])

    assert [(refs([node])[0], node.level, node.root) for node in chain.nodes] == [
        (1, 0, START),
        (2, 1, None),
        (4, 0, CYCLE),
        (3, 1, None),
    ]


def test_a_chain_may_be_longer_than_python_s_stack():
    chain = analysis.chain([context(1), *(context(n, n - 1) for n in range(2, 20_001))])
    lines = analysis.tree(chain).splitlines()

    assert [chain.nodes[-1].level, chain.nodes[0].size, len(lines)] == [19_999, 20_000, 20_000]
    assert "… 19999 event" in lines[-1]
    assert len(lines[-1]) < 300
    assert len(msgspec.json.encode(chain)) > 0


def test_what_is_no_duration_is_none():
    """Anybody may annotate anything under the router's names."""
    wrong = [True, "3", -1, float("nan"), float("inf"), 1e300, None, [1], {}, 10**30]
    nodes = analysis.chain(context(n + 1, _duration_ms=value) for n, value in enumerate(wrong)).nodes

    assert [node.duration_ns for node in nodes] == [None] * len(wrong)
    assert analysis.chain([context(1, _duration_ms=1.5)]).nodes[0].duration_ns == 1_500_000
    put = context(1, more={"_duration_ms": 1.5, "_handlers": {"h": 1.5}})  # as any custom field, inherited
    assert (analysis.chain([put]).nodes[0].duration_ns, analysis.slow_handlers([put])) == (None, [])
    assert analysis.slow_handlers([context(1, _handlers=wrong), context(2, _handlers={"h": "x"})]) == []


def test_a_node_is_found_by_ref_and_event_id():
    chain = analysis.chain([context(1), context(2, 1, event="brought")])

    assert chain.node("brought") is chain.nodes[1]
    assert chain.node(chain.nodes[0].ref) is chain.nodes[0]
    assert chain.node("nothing") is None


def test_no_contexts_are_an_empty_chain():
    chain = analysis.chain([])

    assert (chain.nodes, chain.begin_ns, chain.end_ns, list(chain.roots())) == ([], 0, 0, [])
    assert (analysis.tree(chain), analysis.critical_path(chain), analysis.failures(chain)) == ("", None, [])
    assert "no events" in analysis.svg(chain)
    assert analysis.mermaid(chain).startswith("flowchart TD\n")
