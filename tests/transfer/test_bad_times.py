"""Moments as other systems write them: every form is understood, and comes back as it was written."""

import contextlib
import sqlite3

import pytest
from moving import Move, event, log_of


@pytest.fixture
def move(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    return Move(folder)


MOMENT = 1_753_156_000_123_456_000  # ns
TIMES = {
    "seconds": (1_753_156_000, 1_753_156_000 * 10**9),
    "seconds with a fraction": (1_753_156_000.123456, MOMENT),
    "milliseconds": (1_753_156_000_123, 1_753_156_000_123 * 10**6),
    "milliseconds with a fraction": (1_753_156_000_123.456, MOMENT),
    "microseconds": (1_753_156_000_123_456, MOMENT),
    "nanoseconds": (MOMENT, MOMENT),
    "ISO, UTC": ("2025-07-22T03:46:40.123456Z", MOMENT),
    "ISO with an offset": ("2025-07-22T05:46:40.123456+02:00", MOMENT),
    "ISO without a zone": ("2025-07-22T03:46:40.123456", MOMENT),
    "ISO with a space": ("2025-07-22 03:46:40.123456", MOMENT),
}


@pytest.mark.parametrize("place", ["context", "event"])
def test_times_of_every_form_are_understood_and_come_back_as_they_were(move, tmp_path, place):
    events = [
        event(number, _event_timestamp=given if place == "context" else ...) | {"timestamp": given}
        for number, (given, _) in enumerate(TIMES.values())
    ]
    source = log_of(tmp_path / "log.jsonl", events)

    move.run(source)

    with contextlib.closing(sqlite3.connect(move.db)) as database:
        stored = [time_ns for (time_ns,) in database.execute("SELECT time_ns FROM record ORDER BY position")]
    wrong = {
        name: time_ns
        for (name, (_, expected)), time_ns in zip(TIMES.items(), stored, strict=True)
        if abs(time_ns - expected) >= 1000  # what a double has of a time in our days
    }
    assert wrong == {}
    assert move.events() == events


NO_TIMES = ["soon", "", None, -5, 0, True, [1], {"s": 1}, 1e300, 10**30, "9999-12-31", "2025-13-45T99:00:00Z"]


def test_a_time_that_is_none_is_counted_and_kept(move, tmp_path):
    odd = [event(number, _event_timestamp=given) | {"timestamp": given} for number, given in enumerate(NO_TIMES)]
    source = log_of(tmp_path / "log.jsonl", [*odd, event(100)])

    counts = move.run(source).counts

    assert (counts["stored"], counts["bad"], counts["without_time"]) == (len(odd) + 1, 0, len(odd))
    assert move.events() == [*odd, event(100)]
