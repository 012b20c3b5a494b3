"""What must be true of an event log beside its database: every event with data has one line, in the order of positions,
where its row says; nothing else is there."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from shmctx.cold.connection import Connection, connect
from shmctx.log.reader import LogReader
from shmctx.refs import parse_ref


def written(directory: Path) -> dict[int, dict[str, Any]]:
    """The events in the log's files, by place as the database spells it."""
    reader = LogReader(directory)
    found = ((segment.number, *line) for segment in reader.segments() for line in reader.scan(segment.number))
    return {number << 32 | offset: json.loads(line) for number, offset, line in found}


def position(event: dict[str, Any]) -> int:
    parsed = parse_ref(event["ref"])
    assert parsed is not None, event
    return parsed[1]


def check(database: Path, directory: Path | None = None, *, ordered: bool = True) -> dict[int, dict[str, Any]]:
    """Assert that log and database agree; returns the events by position. Nobody writes meanwhile.

    `ordered`: no generation was found and drained after a later one.
    """
    directory = directory or database.with_suffix(".events")
    events = written(directory)
    with contextlib.closing(connect(database, Connection, readonly=True)) as db:
        places = dict(db.execute("SELECT position, log_place FROM record WHERE log_place IS NOT NULL"))
        number, size = db.execute("SELECT log_number, log_size FROM store").fetchone()
    positions = [position(event) for event in events.values()]
    assert len(positions) == len(set(positions)), "an event has two lines"
    assert not ordered or positions == sorted(positions)
    assert dict(zip(positions, events, strict=True)) == places
    _check_current(directory, number, size)
    return dict(zip(positions, events.values(), strict=True))


def _check_current(directory: Path, number: int, size: int) -> None:
    """`current.jsonl` leads to the newest segment, which ends where the database says."""
    segments = LogReader(directory).segments()
    if size:
        assert segments[-1].number == number
        assert segments[-1].size == size
        assert os.readlink(directory / "current.jsonl") == segments[-1].path.name
    else:
        assert all(segment.number < number for segment in segments)
    assert not list(directory.glob("*.tmp"))
