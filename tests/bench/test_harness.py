"""The harness counts as it says: turns, ratios, verdicts."""

import pytest

from bench import harness
from bench.ledger import MATCH, MISSING, Ledger


def test_contenders_take_turns():
    order = []

    def run(name, value):
        order.append(name)
        return value

    took = harness.interleave(2, {"a": lambda: run("a", 1.0), "b": lambda: run("b", 2.0)}, warmup=1)

    assert order == ["a", "b"] * 3
    assert took == {"a": [1.0, 1.0], "b": [2.0, 2.0]}


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    row = harness.versus("w", "ns", [10.0, 30.0, 20.0], ("p", [10.0, 10.0, 40.0]), harness.slower_at_most(1.0))

    assert (row.ratio, row.reached) == (1.0, True)


def test_faster_is_the_peers_time_in_ours():
    row = harness.versus("w", "ns", [10.0], ("p", [29.0]), harness.faster_at_least(3))

    assert (row.ratio, row.reached) == (2.9, False)


def test_without_a_target_a_ratio_is_only_reported():
    row = harness.versus("w", "ns", [30.0], ("p", [10.0]), None)

    assert (row.ratio, row.target, row.reached) == (3.0, "", None)


def test_a_figure_without_a_peer_is_held_against_its_bound():
    target = harness.Target("at most", 1e6, "under 1 ms")

    assert harness.alone("w", "ns", [2e6, 1e5, 1e5], target).reached
    assert not harness.alone("w", "ns", [2e6, 2e6, 1e5], target).reached


def test_a_row_whose_peer_is_missing_says_so():
    row = harness.missing("w", "ns", [1.0], "redis", harness.faster_at_least(50))

    assert row.reached is None
    assert "redis: peer not installed" in harness.table([row])


@pytest.mark.parametrize(
    "values,unit,text",
    [
        ([312.4], "ns", "312 ns"),
        ([1500.0, 1000.0, 2000.0], "ns", "1.5 µs (1-2)"),
        ([905_000.0], "/s", "905 k/s"),
        ([0.118], "s", "118 ms"),
        ([0.0], "s", "0 µs"),
        ([167.2], "bytes", "167 B"),
        ([], "ns", "-"),
    ],
)
def test_figures_are_shown_in_one_scale(values, unit, text):
    assert harness.shown(values, unit) == text


def test_a_loop_over_calls_counts_each_argument_once():
    seen = []

    assert harness.call_ns(seen.append, ["a", "b"]) >= 0
    assert seen == ["a", "b"]


def test_the_ledger_keeps_what_another_mapping_wrote(tmp_path):
    ledger, other = Ledger(tmp_path / "ledger", 3), Ledger(tmp_path / "ledger", 3)

    assert (ledger.ref(1), ledger.acknowledged(), ledger.verdict(1)) == (None, 0, 0)
    other.acknowledge(1, "ctx_0123456789abcdef", 250)
    ledger.resolved(1, MATCH, 70)
    ledger.resolved(2, MISSING, 80)

    assert (ledger.ref(1), ledger.acknowledged(), ledger.put_ns(1)) == ("ctx_0123456789abcdef", 1, 250)
    assert (other.verdict(1), other.read_ns(1), other.verdict(2)) == (MATCH, 70, MISSING)
    assert other.ref(0) is None
    assert other.ref(2) is None
