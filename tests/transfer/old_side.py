"""An application's old side, as it is without shmctx: a log of events with embedded contexts."""

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

Fields = dict[str, Any]


class OldLog:
    """Appends JSON lines; finds an event by reading the file. `asked` counts how often."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked = 0

    def write(self, event: Fields) -> int:
        """Returns the offset of the line."""
        with self.path.open("ab") as file:
            offset = file.tell()
            file.write(json.dumps(event).encode() + b"\n")
        return offset

    def read(self, event_id: str) -> Fields | None:
        self.asked += 1
        return next((event for event in self.events() if id_of(event) == event_id), None)

    def events(self) -> list[Fields]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]


def id_of(event: Fields) -> str:
    return event["data"]["_ksi_context"]["_event_id"]


def real_events(log: Path, count: int | None) -> list[Fields]:
    """The first events of a gzipped log, or all."""
    with gzip.open(log, "rt") as lines:
        return [json.loads(line) for line in itertools.islice(lines, count)]


def made_event(number: int, **context: Any) -> Fields:
    """One event in the old form; `context` adds fields, or takes them away with None."""
    event_id = f"evt_{number:08x}"
    fields = {
        "_event_id": event_id, "_event_timestamp": 1_795_331_471.5 + number / 1024, "_correlation_id": "corr_0000abcd",
        "_ref": f"ctx_{event_id}", "_parent_event_id": "evt_ffffffff", "_root_event_id": "evt_ffffffff",
        "_event_depth": 1, "_agent_id": "agent_7",
    } | context  # fmt: skip
    fields = {name: value for name, value in fields.items() if value is not None}
    return {
        "timestamp": 1_795_331_471.6 + number / 1024,
        "event_name": "agent:status",
        "data": {"number": number, "_ksi_context": fields},
    }
