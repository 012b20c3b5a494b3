"""What was moved in leaves as it came, up to the order of keys."""

import contextlib
import gzip
import json

import msgspec
import pytest
from exporting import exported

from shmctx import records
from shmctx.hot._core import CONTEXT
from shmctx.transfer.arrivals import arrival_of
from shmctx.transfer.export import export, from_store
from shmctx.transfer.forms import event_of
from shmctx.transfer.migrate import migrate

CONTEXT_OF = {
    "_event_id": "evt_377df9c5", "_event_timestamp": 1795331471.5404649, "_correlation_id": "corr_d3ac94af",
    "_ref": "ctx_evt_377df9c5", "_root_event_id": "evt_377df9c5", "_event_depth": 0, "_agent_id": "a",
    "_session": {"id": "s", "created_at": 1753156000},
}  # fmt: skip


def sort(value):
    """As text in which 1, 1.0 and true differ and the order of keys does not."""
    return msgspec.json.encode(value, order="sorted").decode()


def with_context(changes=(), line=(), without=()):
    context = {**CONTEXT_OF, **dict(changes)}
    data = {"x": 1.0, "_ksi_context": {name: value for name, value in context.items() if name not in without}}
    return {"timestamp": 1795331471.6, "event_name": "n", "data": data, **dict(line)}


LINES = [
    with_context(),
    *(with_context({"_event_id": f"evt_{n:08x}", "_ref": f"ctx_evt_{n:08x}", **changes}) for n, changes in enumerate([
        {"_event_timestamp": 1795331471}, {"_event_timestamp": "2026-01-31T12:00:00Z"}, {"_event_timestamp": None},
        {"_parent_event_id": None}, {"_event_name": "n"}, {"_event_name": "another"}, {"_event_depth": "3"},
        {"_event_depth": 1.0}, {"_agent_id": 7}, {"_client_id": None}, {"_session": "s"}, {"_session": {"no": "id"}},
        {"_mine": {"a": [1, 1.0, True, None]}}, {"_tags": ["a"]}, {"_error": False}, {"_user_id": 1}, {"odd": 1},
        {"_root_event_id": "evt_00000000"}, {"_correlation_id": 'own words "é"'}, {"_ref": "ctx_of_another_form"},
        {"_event_timestamp": 1795331471540.25}, {"_event_depth": -1}, {"_correlation_id": ""}, {"_none": None},
    ])),
    *(with_context({"_event_id": f"evt_{n:08x}", "_ref": f"ctx_evt_{n:08x}"}, without=without)
      for n, without in enumerate([["_session"], ["_event_depth"], ["_root_event_id"], ["_event_timestamp"],
                                   ["_correlation_id"], ["_agent_id", "_session"]], 100)),
    *(with_context({"_event_id": f"evt_{n:08x}", "_ref": f"ctx_evt_{n:08x}"}, line) for n, line in enumerate([
        {"timestamp": "2026-01-31T12:00:00+01:00"}, {"timestamp": 1795331471}, {"level": "info", "n": [1, {}]},
        {"timestamp": None}], 200)),
    with_context({"_event_id": "free text"}, without=["_ref"]),
]  # fmt: skip


@pytest.fixture
def moved(stores, tmp_path):
    """`moved(lines)`: what comes back of lines that were moved in."""

    def run(lines):
        source = tmp_path / "source.jsonl"
        source.write_text("".join(json.dumps(line) + "\n" for line in lines))
        migrate([source], stores.database)
        back, report = exported(stores, tmp_path / "back.jsonl")
        assert report.whole
        return back

    return run


def test_the_log_of_a_daemon_comes_back_as_it_was(stores, ksi_log, ksi_count, tmp_path):
    with gzip.open(ksi_log) as file:
        source = [sort(msgspec.json.decode(line)) for line in file]
    migrate([ksi_log], stores.database)

    back, report = exported(stores, tmp_path / "back.jsonl")

    assert report.whole
    assert len(back) == len(source) == ksi_count
    assert [one for one, other in zip(source, map(sort, back), strict=True) if one != other] == []


def test_contexts_of_every_form_come_back_as_they_were(moved):
    back = moved(LINES)

    assert [(one, other) for one, other in zip(map(sort, LINES), map(sort, back), strict=True) if one != other] == []


def test_a_line_without_a_time_comes_back_without(moved):
    line = with_context()
    del line["timestamp"]

    assert moved([line]) == [line]


@pytest.mark.parametrize("time", [{}, {"timestamp": 1795331471.6}])
def test_an_event_without_a_context_comes_back_without(moved, time):
    line = {"event_name": "n", "data": {"x": 1}, **time}

    assert moved([line]) == [line]


def test_flat_metadata_comes_back_embedded(moved):
    flat = {"_event_id": "evt_00000001", "_correlation_id": "corr_00000001", "_event_depth": 0}
    (back,) = moved([{"timestamp": 1795331471.5, "event_name": "n", "data": {"x": 1, **flat}}])

    assert back["data"].pop("_ksi_context").items() >= flat.items()
    assert back == {"timestamp": 1795331471.5, "event_name": "n", "data": {"x": 1}}


def test_events_of_others_that_only_the_ring_has_leave_with_their_own_time_and_fields(stores, tmp_path):
    """As those that a store in use takes over."""
    store = stores.leaderless()
    for line in LINES:
        arrival = arrival_of(event_of(json.dumps(line).encode()), store.store_id, 1)
        fields = records.with_origin(arrival.placed(None), arrival.data, (), arrival.logged, arrival.origin)
        payload = records.encode_fields(fields)
        store._ring.append(CONTEXT, payload, arrival.time_ns, arrival.event, None, None, None, None)

    with contextlib.closing(from_store(store, store._attachment)) as leaving:
        report = export(leaving, tmp_path / "hot.jsonl", "jsonl")

    back = [json.loads(line) for line in (tmp_path / "hot.jsonl").read_text().splitlines()]
    for line in LINES:
        if isinstance(session := line["data"]["_ksi_context"].get("_session"), dict) and "id" in session:
            del line["data"]["_ksi_context"]["_session"]  # is a record of its own
    assert report.events == len(LINES)
    assert [(one, other) for one, other in zip(map(sort, LINES), map(sort, back), strict=True) if one != other] == []
