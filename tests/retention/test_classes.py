"""How long which context is kept: every class, its boundary, and the longest of several."""

import time

import pytest
from traces import DAY

from shmctx.cold.retention import Candidate, Plan
from shmctx.settings import Retention

PLAN = Plan(Retention(events={"audit:*": 365, "debug:*": 1, "law:*": None}))


def candidate(**changed):
    fields = {
        "position": 1, "time_ns": 0, "event_name": "a:b", "depth": 0, "log_place": None, "failed": 0, "pinned": 0,
        "often": 0,
    }  # fmt: skip
    return Candidate(**{**fields, **changed})


@pytest.mark.parametrize(
    "changed, days, kind",
    [
        ({}, 7, "default"),
        ({"failed": 1}, 30, "error"),
        ({"depth": 10}, 7, "default"),
        ({"depth": 11}, 14, "deep"),
        ({"often": 1}, 21, "read"),
        ({"often": 1, "depth": 11}, 21, "read"),
        ({"often": 1, "depth": 11, "failed": 1}, 30, "error"),
        ({"event_name": "audit:login"}, 365, "audit:*"),
        ({"event_name": "audit:login", "failed": 1}, 365, "audit:*"),
        ({"event_name": "debug:step"}, 1, "debug:*"),
        ({"event_name": "debug:step", "failed": 1}, 30, "error"),
        ({"event_name": "Debug:step"}, 7, "default"),
    ],
)
def test_the_longest_class_decides(changed, days, kind):
    assert (days * DAY, kind) == PLAN.keep(candidate(**changed))


@pytest.mark.parametrize("changed", [{"pinned": 1}, {"pinned": 1, "event_name": "debug:x"}, {"event_name": "law:x"}])
def test_some_are_kept_for_ever(changed):
    kept, _ = PLAN.keep(candidate(**changed))

    assert kept > 100 * 365 * DAY


def test_a_limit_spares_only_what_is_pinned():
    plan = Plan(Retention(events={"law:*": None}), DAY)

    assert DAY == plan.shortest_ns == plan.keep(candidate(event_name="law:x"))[0] == plan.keep(candidate(failed=1))[0]
    assert plan.keep(candidate(pinned=1))[0] > 100 * 365 * DAY


@pytest.mark.parametrize(
    "days, fields, annotated, stays",
    [
        (6.99, {}, False, True),
        (7.01, {}, False, False),
        (-3, {}, False, True),
        (7.01, {"error": True}, False, True),
        (29.9, {"error_message": "no"}, False, True),
        (30.1, {"error": True}, False, False),
        (29.9, {}, True, True),
        (30.1, {}, True, False),
        (7.01, {"error": False}, False, False),
        (13.9, {"depth": 11}, False, True),
        (14.1, {"depth": 11}, False, False),
        (13.9, {"depth": 10}, False, False),
    ],
)
def test_a_round_removes_what_has_expired_and_nothing_else(quiet, days, fields, annotated, stays):
    store = quiet()
    ref = store.put("event", data={"x": 1}, time_ns=time.time_ns() - int(days * DAY), **fields)
    if annotated:
        store.annotate(ref, error_type="ValueError")
    store.flush()

    report = store.prune()

    assert (1 - stays) == report["contexts"] == report["events"]
    assert (store.query(event_name="event") != []) == stays
