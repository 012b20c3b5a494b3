"""Trouble of shmctx while it shadows a log: counted, and the application goes on as if it were not there."""

import headers_of_segments as headers
import pytest
from old_side import made_event

import shmctx

LATER = {"pause": 60.0, "longest_pause": 60.0}
"""A pause that no test outlives: after an error shmctx is not called again."""
SOON = {"pause": 0.001, "longest_pause": 0.01}


@pytest.mark.parametrize("mode", ["shadow", "primary"])
@pytest.mark.parametrize(
    "event,error",
    [
        ({"event_name": 5, "data": {}}, "InvalidField"),
        ({**made_event(1), "data": {"x": "\ud800"}}, "InvalidField"),
        ({"event_name": "lean", "data": {}, "ref": "ctx_evt_1"}, "InvalidField"),
        ({"event_name": "listed", "data": [1]}, "InvalidField"),
        (made_event(1, _blob="x" * (1 << 20)), "PayloadTooLarge"),
    ],
)
def test_what_is_wrong_with_one_event_is_counted_and_does_not_keep_the_next_out(beside, old, mode, event, error):
    log = beside(mode, **LATER)
    log.write(event)
    log.write(made_event(2))
    report = log.report()

    assert len(old.path.read_text().splitlines()) == 2
    assert {kind: found.count for kind, found in report.writes.shmctx.errors.items()} == {error: 1}
    assert (report.writes.shmctx.calls, report.writes.left_alone) == (2, 0)


def test_a_full_ring_stops_nobody(beside, old, stores):
    """No leader: after the first refusal shmctx is left alone, and the old log goes on."""
    leaderless = stores.leaderless(4096)
    log = beside("shadow", connect=lambda settings: shmctx.attach(stores.name, settings=settings), **LATER)
    for number in range(200):
        log.write(made_event(number))
    report = log.report()
    stored = len(leaderless)

    assert len(old.events()) == 200
    assert 0 < stored < 64
    assert report.writes.shmctx.errors["RingFull"].count == 1
    assert (report.writes.shmctx.calls, report.writes.left_alone) == (stored + 1, 199 - stored)
    assert (report.compared, report.equal) == (stored, stored)


def test_a_ring_that_is_drained_again_is_used_again(beside, old, stores):
    stores.leaderless(4096)
    log = beside("shadow", connect=lambda settings: shmctx.attach(stores.name, settings=settings), **SOON)
    number = 0
    while "RingFull" not in log.report().writes.shmctx.errors:
        log.write(made_event(number))
        number += 1
    stores.open(4096)
    before = log.report().equal
    while log.report().equal == before:
        assert number < 100_000
        log.write(made_event(number))
        number += 1

    assert len(old.events()) == number


HOLDER = """
import ctypes, mmap, sys
libc = ctypes.CDLL(None)
file = open(f"/dev/shm/shmctx.{sys.argv[1]}", "r+b")
control = mmap.mmap(file.fileno(), 4096, offset=4096)  # the append lock is the first thing in it
assert libc.pthread_mutex_lock(ctypes.byref(ctypes.c_char.from_buffer(control))) == 0
print("held", flush=True)
sys.stdin.read()
"""


def test_a_writer_that_never_gives_the_lock_back_is_waited_for_once(beside, old, stores, spawn):
    stores.open()
    log = beside("shadow", shadow_patience=0.05, **LATER)
    holder = spawn(HOLDER, stores.name)
    assert holder.line() == "held"
    for number in range(100):
        log.write(made_event(number))
    report = log.report()
    holder.end()

    assert len(old.events()) == 100
    assert report.writes.shmctx.errors["WriterStalled"].count == report.writes.shmctx.calls == 1
    assert report.writes.left_alone == 99


@pytest.mark.parametrize("mode", ["shadow", "primary"])
def test_without_a_segment_the_old_side_goes_on_until_there_is_one(beside, old, stores, wait_for, mode):
    log = beside(mode, connect=lambda settings: shmctx.attach(stores.name, settings=settings), **SOON)
    for number in range(50):
        log.write(made_event(number))
        assert log.read(f"evt_{number:08x}") == made_event(number)
    report = log.report()
    assert report.writes.shmctx.calls == 0
    assert report.writes.left_alone == report.reads.left_alone == 50
    assert report.opening.errors["SegmentMissing"].count >= 1
    assert report.reads.fallbacks == (50 if mode == "primary" else 0)

    stores.open()

    def shadowed():
        log.write(made_event(50))
        return log.report().writes.shmctx.calls

    wait_for(shadowed)
    assert log.report().writes.shmctx.errors == {}


def test_a_damaged_segment_stops_nobody_and_its_successor_is_used(beside, old, stores, wait_for):
    stores.leaderless().close()
    log = beside("shadow", connect=lambda settings: shmctx.attach(stores.name, settings=settings), **SOON)
    log.write(made_event(1))
    headers.poison(stores.name)
    for number in range(2, 50):
        log.write(made_event(number))
    assert log.report().writes.shmctx.errors["SegmentCorrupt"].count >= 1
    assert len(old.events()) == 49

    def written(seen):
        log.write(made_event(50))
        return seen(log.report())

    shmctx.unlink(stores.name)
    wait_for(lambda: written(lambda report: "SegmentMissing" in report.opening.errors))
    stores.open()
    before = log.report().equal
    wait_for(lambda: written(lambda report: report.equal > before))


def test_a_leader_whose_segment_is_damaged_is_closed_and_opens_the_next(beside, old, stores, wait_for):
    log = beside("shadow", **SOON)
    log.write(made_event(1))
    headers.poison(stores.name)
    while not log.report().writes.shmctx.errors:
        log.write(made_event(2))
    shmctx.unlink(stores.name)
    before = log.report().equal

    def shadowed():
        log.write(made_event(3))
        return log.report().equal > before

    wait_for(shadowed, 60)


def test_in_primary_mode_a_damaged_store_is_fallen_back_from(beside, old, stores):
    log = beside("primary", **LATER)
    log.write(made_event(1))
    headers.poison(stores.name)
    log.write(made_event(2))

    assert log.read("evt_00000002") == made_event(2)
    assert log.report().reads.fallbacks == 1


def test_a_slow_call_is_followed_by_a_pause(beside, old):
    """Every call is slower than no time at all."""
    log = beside("shadow", shadow_patience=0.0, **LATER)
    for number in range(10):
        log.write(made_event(number))

    assert (log.report().writes.shmctx.calls, log.report().writes.left_alone) == (1, 9)


def test_after_close_the_old_side_goes_on(beside, old):
    log = beside("shadow")
    log.write(made_event(1))
    log.close()
    log.close()
    log.write(made_event(2))

    assert log.read("evt_00000002") == made_event(2)
    assert log.report().writes.shmctx.errors == {}
    assert log.report().writes.left_alone == 1
