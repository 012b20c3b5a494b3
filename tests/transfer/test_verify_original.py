"""A store compared with the logs that it was made from, event by event and field by field."""

import gzip
import json

import pytest
from old_side import made_event

from shmctx.transfer.migrate import migrate
from shmctx.transfer.verify import verify


@pytest.fixture
def store(stores):
    return stores.open()


def put(store, events):
    for event in events:
        data = {name: value for name, value in event["data"].items() if name != "_ksi_context"}
        store.put(event["event_name"], data=data, **event["data"]["_ksi_context"])
    store.flush()


def written(path, events):
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


def test_every_event_of_a_real_log_is_there_and_the_same(db, ksi_log, ksi_count):
    migrate([ksi_log], db)
    report = verify(db, against=[ksi_log])
    assert report.ok, report.problems[:5]
    assert report.counts["contexts"] == report.against.events == report.against.equal == ksi_count
    assert (report.against.besides, report.against.repeated, report.against.bad_lines) == (0, 0, 0)


CHANGES = [
    (lambda event: event.update(event_name="agent:gone"), "its name"),
    (lambda event: event["data"].update(number=99), "data differs in number"),
    (lambda event: event["data"].update(more=None), "data differs in more"),
    (lambda event: event["data"].pop("number"), "data differs in number"),
    (lambda event: event["data"]["_ksi_context"].update(_agent_id="agent_8"), "_agent_id"),
    (lambda event: event["data"]["_ksi_context"].update(_event_depth=7), "_event_depth"),
    (lambda event: event["data"]["_ksi_context"].update(_parent_event_id="evt_11111111"), "_parent_event_id"),
    (lambda event: event["data"]["_ksi_context"].update(_correlation_id="corr_9"), "_correlation_id"),
    (lambda event: event["data"]["_ksi_context"].update(_event_timestamp=1_795_331_471.25), "_event_timestamp"),
    (lambda event: event["data"]["_ksi_context"].update(_session={"id": "s", "mood": "bad"}), "_session"),
    (lambda event: event["data"]["_ksi_context"].update(_custom=[1, {"a": 2.5}]), "_custom"),
    (lambda event: event["data"]["_ksi_context"].pop("_agent_id"), "_agent_id"),
]


@pytest.mark.parametrize("change, told", CHANGES)
def test_one_field_that_differs_is_named(store, stores, tmp_path, change, told):
    events = [made_event(number, _session={"id": "s", "mood": "good"}) for number in range(5)]
    put(store, events)
    change(events[3])
    report = verify(stores.database, against=[written(tmp_path / "log.jsonl", events)])
    assert report.problem_counts == {"differs": 1}
    assert told in report.problems[0].detail
    assert report.problems[0].where.endswith("log.jsonl:4")
    assert (report.against.equal, report.against.differing) == (4, 1)


def test_events_that_are_missing_repeated_or_there_besides(store, stores, tmp_path):
    events = [made_event(number) for number in range(6)]
    put(store, events[:4])
    store.put("of:shmctx", data={"own": True})
    store.flush()
    log = written(tmp_path / "log.jsonl", [events[0], *events[0:3], *events[4:]])
    report = verify(stores.database, against=[log])
    assert report.problem_counts == {"missing": 2}
    assert (report.against.equal, report.against.missing, report.against.repeated) == (4, 2, 1)
    assert report.against.besides == 2


def test_lines_that_cannot_be_compared_are_told(store, stores, tmp_path):
    events = [made_event(1)]
    put(store, events)
    log = written(tmp_path / "log.jsonl", [*events, {"event_name": "x", "data": {}}])
    with log.open("a") as file:
        file.write("{broken\n")
    report = verify(stores.database, against=[log])
    assert report.ok
    assert (report.against.without_id, report.against.bad_lines) == (1, 1)
    assert report.note_counts["bad_line"] == 1


def test_large_fields_are_compared_whole(stores, tmp_path):
    events = [made_event(number) for number in range(3)]
    for event in events:
        event["data"]["prompt"] = "a word and another " * 200
    with stores.open(large_size=512) as store:
        put(store, events)
    assert verify(stores.database, against=[written(tmp_path / "a.jsonl", events)]).ok
    events[1]["data"]["prompt"] += "more"
    report = verify(stores.database, against=[written(tmp_path / "b.jsonl", events)])
    assert report.problem_counts == {"differs": 1}
    assert "data differs in prompt" in report.problems[0].detail


def test_one_id_of_two_events_is_compared_with_both(store, stores, tmp_path):
    events = [made_event(1), made_event(1, _agent_id="agent_9"), made_event(1, _agent_id="agent_3")]
    put(store, events[:2])
    report = verify(stores.database, against=[written(tmp_path / "log.jsonl", events)])
    assert (report.against.equal, report.against.differing) == (2, 1)


def test_days_in_a_folder_and_packed(store, stores, tmp_path):
    events = [made_event(number) for number in range(8)]
    put(store, events)
    folder = tmp_path / "logs"
    folder.mkdir()
    written(folder / "2026-11-21.jsonl", events[:5])
    (folder / "2026-11-22.jsonl.gz").write_bytes(gzip.compress(written(tmp_path / "x", events[5:]).read_bytes()))
    report = verify(stores.database, against=[folder])
    assert report.ok
    assert report.against.equal == 8


def test_events_without_an_id_are_found_by_their_moment(store, stores, tmp_path):
    events = [
        {"event_name": "tick", "timestamp": 1_795_331_471.5 + number, "data": {"n": number}} for number in range(3)
    ]
    for event in events:
        store.put("tick", data=event["data"], timestamp=event["timestamp"])
        store.put("tock", timestamp=event["timestamp"])
    store.flush()
    events[1]["data"]["n"] = 9
    events.append({"event_name": "tick", "timestamp": 1_795_331_999.5, "data": {}})
    report = verify(stores.database, against=[written(tmp_path / "log.jsonl", events)])
    assert (report.against.equal, report.against.differing, report.against.missing) == (2, 1, 1)
    assert report.against.besides == 3


ODD = [
    {"event_name": "a", "timestamp": 1_795_331_471.5, "data": {"n": 1.0}, "level": "info", "host": {"name": "x"}},
    {"event_name": "b", "timestamp": "2026-11-22T10:00Z", "data": {"_event_id": "evt_0000000a", "_odd": None, "n": 1}},
    {"event_name": "c", "timestamp": 1_795_331_471_500, "_event_id": "evt_0000000b", "_correlation_id": 7, "data": {}},
    {"event_name": "d", "timestamp": 1_795_331_472, "data": {"_ksi_context": {"_event_id": "evt_0000000c",
     "_event_depth": "3", "_session": "sess_1", "_agent_id": None, "_tags": ["x"], "_parent_event_id": ""}}},
    {"event_name": "e", "timestamp": 1_795_331_473.25, "ref": "ctx_evt_0000000d", "data": {"m": [1, True, None]}},
    {"event_name": "f", "event_id": "evt_0000000e", "agent_id": "a-1", "timestamp": 1_795_331_474.5, "data": {"k": 1}},
    made_event(20, _ref=None),
    made_event(21, _session={"id": "s", "created_at": 1, "deep": {"list": [1.5]}}, _custom={"a": 1}),
]  # fmt: skip


def test_what_is_odd_in_an_original_is_in_the_store_that_was_made_from_it(tmp_path):
    log = written(tmp_path / "log.jsonl", ODD)
    report = migrate([log], tmp_path / "new" / "contexts.db")
    assert report.contexts == len(ODD)
    report = verify(tmp_path / "new" / "contexts.db", against=[log])
    assert report.ok, report.problems
    assert report.against.equal == len(ODD)
    assert report.against.besides == 0
    assert "log_time" not in report.note_counts
