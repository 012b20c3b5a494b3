"""A log of embedded contexts with shmctx beside it: what the application sees, and what the report says."""

import threading
from pathlib import Path

import pytest
from old_side import id_of, made_event, real_events

import shmctx


def test_a_real_log_is_shadowed_without_a_difference(beside, old, ksi_log):
    events = real_events(ksi_log, 1500)
    log = beside("shadow")
    offsets = [log.write(event) for event in events]
    found = [log.read(id_of(event)) for event in events[:20]]
    report = log.report()

    assert old.events() == events
    assert offsets == sorted(set(offsets))
    assert found == events[:20]
    assert (report.compared, report.equal, report.missing, report.mismatches) == (1520, 1520, 0, {})
    assert report.clean
    for calls, count in ((report.writes, 1500), (report.reads, 20)):
        assert (calls.old.calls, calls.shmctx.calls, calls.left_alone) == (count, count, 0)
        assert 0 < calls.old.microseconds.p50 <= calls.old.microseconds.p99 <= calls.old.microseconds.longest
        assert 0 < calls.shmctx.microseconds.p50 <= calls.shmctx.microseconds.longest


def test_off_means_that_nothing_of_shmctx_is_there(beside, old, segment_name, db):
    log = beside("off", connect=lambda _: pytest.fail("opened"))
    log.write(made_event(1))

    assert log.read("evt_00000001") == made_event(1)
    assert log.read("evt_00000002") is None
    assert (log.report().writes.old.calls, log.report().writes.shmctx.calls) == (1, 0)
    assert not Path(f"/dev/shm/shmctx.{segment_name}").exists()
    assert not db.exists()


def test_each_mode_can_follow_each_other_one(beside, old):
    """Adopting and going back: the old log has every event of every mode, in order."""
    number = 0
    for mode in ("off", "shadow", "primary", "shadow", "primary", "off", "primary", "off"):
        with beside(mode) as log:
            for _ in range(3):
                number += 1
                log.write(made_event(number))
                assert log.read(f"evt_{number:08x}")["data"] == made_event(number)["data"]
            assert log.report().mismatches == {}

    assert old.events() == [made_event(count + 1) for count in range(number)]


def test_in_primary_mode_shmctx_answers_and_the_old_side_what_it_cannot(beside, old):
    old.write(made_event(1))  # before shmctx was there
    log = beside("primary")
    log.write(made_event(2))
    answered = log.read("evt_00000002")

    assert old.asked == 0
    assert answered["data"] == made_event(2)["data"]
    assert answered["event_name"] == "agent:status"
    assert log.read("evt_00000001") == made_event(1)
    assert log.read("evt_00000003") is None
    assert (old.asked, log.report().reads.fallbacks) == (2, 1)
    assert not log.report().clean


@pytest.mark.parametrize(
    "changed,different",
    [
        ({"_agent_id": "agent_8"}, ("_agent_id", "agent_8", "agent_7")),
        ({"_event_depth": 2}, ("_event_depth", 2, 1)),
        ({"_agent_id": None}, ("_agent_id", "(absent)", "agent_7")),
        ({"_trial": 4}, ("_trial", 4, "(absent)")),
        ({"_event_timestamp": 1.5}, ("_event_timestamp", 1.5, 1_795_331_471.5009765625)),
    ],
)
def test_a_difference_is_reported_with_its_field(beside, old, changed, different):
    """What the old side gives is not what was written: somebody changed it there."""
    log = beside("shadow", read=lambda _: made_event(1, **changed))
    log.write(made_event(1))
    given = log.read("evt_00000001")
    report = log.report()

    assert given == made_event(1, **changed)
    assert (report.compared, report.equal, report.mismatches) == (2, 1, {different[0]: 1})
    (example,) = report.examples
    assert (example.event_id, example.field, example.old, example.shmctx) == ("evt_00000001", *different)
    assert not report.clean


def test_differences_of_data_and_of_the_event_itself_are_reported(beside):
    changed = made_event(1)
    changed["data"] |= {"number": True, "more": None}
    changed |= {"event_name": "agent:other", "source": "cli"}
    log = beside("shadow", read=lambda _: changed)
    log.write(made_event(1))
    log.read("evt_00000001")

    assert log.report().mismatches == {"data.number": 1, "data.more": 1, "event_name": 1, "source": 1}


def test_a_value_that_json_does_not_know_is_a_difference(beside):
    event = made_event(1)
    event["data"]["number"] = float("nan")
    log = beside("shadow")
    log.write(event)

    assert log.report().mismatches == {"data.number": 1}


ODD = [
    {"_event_depth": -1},
    {"_agent_id": ["a", "b"]},
    {"_session": "s-1"},
    {"_correlation_id": None, "_root_event_id": None},
    {"_event_timestamp": "2026-11-22T10:00:00Z"},
    {"_trial": {"nested": [1, 2.5, None]}, "_error": "broken"},
    {"_ref": "ctx_other"},
]


@pytest.mark.parametrize("mode", ["shadow", "primary"])
@pytest.mark.parametrize("odd", ODD, ids=str)
def test_what_a_store_has_no_place_for_comes_back_as_it_was(beside, stores, mode, odd):
    """Hot, and from the database in a ring that does not have it any more. Also what stands beside the data."""
    event = {**made_event(1, **odd), "source": "cli", "timestamp": 1795331472}
    event["data"]["_ksi_context"] |= {"_client_id": None}
    with beside(mode) as log:
        log.write(event)
        found = [log.read("evt_00000001")]
    shmctx.unlink(stores.name)
    with beside("primary") as log:
        found.append(log.read("evt_00000001"))
        assert log.report().clean

    assert found == [event, event]


def test_a_child_has_from_its_parent_what_it_says_itself(beside):
    """A context without root or client has none, whatever its parent in the store has."""
    log = beside("shadow")
    log.write(made_event(1, _client_id="cli", _parent_event_id=None, _event_depth=0, _root_event_id=None))
    log.write(made_event(2, _parent_event_id="evt_00000001", _root_event_id=None))

    assert log.report().clean


def test_a_span_around_the_write_leaves_no_trace(beside, stores):
    event = made_event(1, _parent_event_id=None, _root_event_id=None, _event_depth=None, _correlation_id=None)
    log = beside("shadow")
    with stores.attach().span("outer", agent_id="other", _trial=1) as outer:
        log.write(event)
        assert shmctx.current() is outer

    assert log.report().mismatches == {}


def test_an_event_read_by_the_old_side_alone_is_missing(beside, old):
    old.write(made_event(1))
    log = beside("shadow")

    assert log.read("evt_00000001") == made_event(1)
    assert (log.report().missing, log.report().compared) == (1, 0)


def test_errors_of_the_old_side_reach_the_application_and_shmctx_gets_nothing(beside, stores):
    def fails(event):
        raise OSError(f"no room for {id_of(event)}")

    log = beside("shadow", write=fails)
    with pytest.raises(OSError, match="no room for evt_00000001"):
        log.write(made_event(1))

    assert log.report().writes.old.errors["OSError"].last == "no room for evt_00000001"
    assert log.report().writes.shmctx.calls == 0
    assert list(stores.attach()) == []


def test_an_event_without_context_is_shadowed_too(beside, stores):
    log = beside("shadow")
    log.write({"timestamp": 1795331471.25, "event_name": "bare", "data": {"a": 1}})
    (context,) = stores.attach().query(event_name="bare")

    assert context.timestamp == 1795331471.25
    assert log.report().clean


def test_flat_metadata_is_shadowed_too(beside, stores):
    log = beside("shadow")
    flat = {"event_name": "flat", "data": {"a": 1, "_event_id": "evt_0000beef", "_agent_id": "a-7"}, "timestamp": 1.5}
    log.write(flat)

    assert stores.attach()["evt_0000beef"].agent_id == "a-7"
    assert flat["data"]["_event_id"] == "evt_0000beef"
    assert log.report().clean


def test_of_many_writes_some_are_compared(beside):
    log = beside("shadow", compare_every=10)
    for number in range(95):
        log.write(made_event(number))

    assert (log.report().writes.shmctx.calls, log.report().compared) == (95, 9)


def test_threads_are_counted_exactly(beside, old):
    lock = threading.Lock()

    def write(event):
        with lock:
            return old.write(event)

    log = beside("shadow", write=write)

    def work(first):
        for number in range(first, first + 100):
            log.write(made_event(number))

    threads = [threading.Thread(target=work, args=(start * 100,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = log.report()

    assert (report.writes.old.calls, report.writes.shmctx.calls, report.compared, report.equal) == (400,) * 4
    assert len({id_of(event) for event in old.events()}) == 400
