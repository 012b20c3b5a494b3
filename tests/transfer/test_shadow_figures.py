"""What the report is made of: durations, pauses, differences; and how a process is configured."""

import json
import math
import random

import msgspec
import pytest

import shmctx
from shmctx.settings import environment
from shmctx.transfer.shadow import Shadowing
from shmctx.transfer.shadow.breaker import Breaker
from shmctx.transfer.shadow.differences import of_contexts, of_data
from shmctx.transfer.shadow.guard import Guard, configured
from shmctx.transfer.shadow.tally import Durations, Tally


def test_quantiles_are_exact_to_an_eighth(seed):
    dice = random.Random(seed)
    added = [round(math.exp(dice.uniform(0, 23))) for _ in range(5000)]
    durations = Durations()
    for ns in added:
        durations.add(ns)
    found, added = durations.timings(), sorted(added)

    for figure, exact in ((found.p50, added[2499]), (found.p99, added[4949])):
        assert exact * 7 / 8 <= figure * 1000 <= exact * 9 / 8
    assert found.longest * 1000 == pytest.approx(added[-1], abs=1)
    assert found.mean * 1000 == pytest.approx(sum(added) / 5000, abs=1)


def test_small_durations_are_exact():
    durations = Durations()
    for ns in (0, 1, 1, 7):
        durations.add(ns)

    assert durations.timings().longest == 0.007
    assert durations.timings().p50 == 0.001


def test_no_durations_have_figures_too():
    assert Durations().timings() == Tally(0).report("off").writes.old.microseconds


def test_each_pause_is_twice_as_long_until_a_call_goes_well():
    breaker = Breaker(1000.0, 3000.0)
    lengths = []
    for _ in range(4):
        breaker.trip()
        lengths.append(breaker._next)
    assert not breaker.ready()
    breaker.worked()

    assert lengths == [2000.0, 3000.0, 3000.0, 3000.0]
    assert breaker._next == 1000.0
    assert not breaker.ready()
    assert Breaker(0.0, 0.0).ready()


def test_a_trial_lets_interrupts_through_and_nothing_else():
    guard = Guard(Shadowing(mode="shadow"))
    with guard.trial(guard.tally.checks) as trial:
        raise ZeroDivisionError
    with pytest.raises(KeyboardInterrupt), guard.trial(guard.tally.checks):
        raise KeyboardInterrupt

    assert type(trial.error) is ZeroDivisionError
    assert list(guard.report().checks.errors) == ["ZeroDivisionError"]


@pytest.mark.parametrize(
    "old,new,fields",
    [
        ({}, {"_ref": "r", "_event_id": "e", "_correlation_id": "c", "_root_event_id": "e", "_event_depth": 0}, []),
        ({"_agent_id": None}, {}, []),
        ({"_agent_id": None}, {"_agent_id": "a"}, ["_agent_id"]),
        ({"_event_depth": 1}, {"_event_depth": 1.0}, []),
        ({"_event_depth": 1}, {"_event_depth": True}, ["_event_depth"]),
        ({"_session": {"id": "s", "n": (1, 2)}}, {"_session": {"n": [1, 2], "id": "s"}}, []),
        ({"_session": {"id": "s", "n": [1, 2]}}, {"_session": {"id": "s", "n": [1, 3]}}, ["_session"]),
        ({"_session": {"id": "s", "n": None}}, {"_session": {"id": "s"}}, ["_session"]),
    ],
)
def test_contexts_differ_where_json_does(old, new, fields):
    assert list(of_contexts(old, new)) == fields


def test_data_differs_where_a_field_is_left_out():
    assert of_data({"a": None, "b": 1}, {"b": 1}) == {"data.a": (None, "(absent)")}
    assert of_data({"a": 1}, None) == {"data.a": (1, "(absent)")}
    assert of_data({}, None) == {}


def test_a_report_is_json_whatever_the_sides_hold():
    tally = Tally(examples=2)
    tally.compared("evt_1", {"a": ({1}, object), "b": (1, 2), "c": (float("inf"), 2)})
    tally.compared("evt_2", {})
    report = json.loads(tally.report("shadow").to_json())

    assert (report["clean"], report["compared"], report["equal"]) == (False, 2, 1)
    assert report["mismatches"] == {"a": 1, "b": 1, "c": 1}
    assert [(found["field"], found["old"]) for found in report["examples"]] == [("a", [1]), ("b", 1)]
    assert report["examples"][0]["shmctx"] == "<class 'object'>"


def test_the_environment_says_the_mode(monkeypatch):
    monkeypatch.delenv("SHMCTX_SHADOW", raising=False)
    assert configured() == Shadowing(mode="off")
    for mode in ("off", "shadow", "primary"):
        monkeypatch.setenv("SHMCTX_SHADOW", mode)
        assert configured(pause=1.0) == Shadowing(mode=mode, pause=1.0)
    monkeypatch.setenv("SHMCTX_SHADOW", "shadwo")
    with pytest.raises(shmctx.InvalidField, match=r"'shadwo'.*off, shadow, primary"):
        configured()
    assert environment({"SHMCTX_SHADOW": ""}).shadow is None


def test_settings_are_decoded_strictly():
    assert msgspec.json.decode(b'{"mode":"primary","pause":1}', type=Shadowing).pause == 1.0
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"mode":"secondary"}', type=Shadowing)


APPLICATION = """
    import json, sys
    from shmctx.transfer.shadow import ShadowLog

    def write(event):
        with open(sys.argv[1], "a") as file:
            file.write(json.dumps(event) + "\\n")

    def read(event_id):
        with open(sys.argv[1]) as file:
            events = map(json.loads, file)
            return next((event for event in events if event["data"]["_ksi_context"]["_event_id"] == event_id), None)

    with ShadowLog(write, read) as log:
        for number in map(int, sys.argv[2:]):
            context = {"_event_id": f"evt_{number:08x}", "_agent_id": "a-7"}
            log.write({"timestamp": 1.5 + number, "event_name": "app", "data": {"n": number, "_ksi_context": context}})
            assert log.read(f"evt_{number:08x}")["data"]["n"] == number
        print(json.dumps(log.report().to_dict()))
"""


def test_one_application_adopts_and_goes_back_by_its_environment_alone(spawn, tmp_path, segment_name):
    """The same program three times; then the store has what was written while it was asked to."""
    base = {"SHMCTX_SEGMENT": segment_name, "SHMCTX_DB": str(tmp_path / "contexts.db")}
    reports = []
    for mode, numbers in (("off", (1, 2)), ("shadow", (3, 4)), ("primary", (5, 6)), ("off", (7,))):
        process = spawn(APPLICATION, tmp_path / "old.jsonl", *numbers, env={**base, "SHMCTX_SHADOW": mode})
        reports.append(json.loads(process.line()))
        process.finish()

    assert [report["mode"] for report in reports] == ["off", "shadow", "primary", "off"]
    assert [report["writes"]["shmctx"]["calls"] for report in reports] == [0, 2, 2, 0]
    assert [report["reads"]["old"]["calls"] for report in reports] == [2, 2, 0, 1]
    assert all(report["clean"] for report in reports)
    assert len((tmp_path / "old.jsonl").read_text().splitlines()) == 7
    with shmctx.attach(segment_name) as store:
        assert [event.data["n"] for event in store.events(store.query())] == [3, 4, 5, 6]
