"""What a store looks like right now, for people and monitors. Never needed for correctness."""

import contextlib
import os
import time
from pathlib import Path
from typing import Any

from shmctx import process
from shmctx.attachment import ROLES, Attachment
from shmctx.hot._core import GRANULE, POISONED, SEALED

GAUGES = (
    ("ring_bytes", "ring_bytes", "Size of the ring."),
    ("ring_used_bytes", "used_bytes", "What of the ring has been written."),
    ("drain_lag_bytes", "lag_bytes", "What is in the ring and not in the database."),
    ("oldest_undrained_seconds", "oldest_undrained_seconds", "Age of the oldest record that is not in the database."),
    ("participants", "participants", "Processes that are attached."),
    ("database_bytes", "database_bytes", "Size of the database."),
    ("wal_bytes", "wal_bytes", "Size of its write-ahead log."),
    ("log_bytes", "log_bytes", "Size of the event log."),
    ("generation", "generation", "Generation of the segment."),
)
"""What monitoring draws of `collect`: (name of the metric without `shmctx_`, key, what it is)."""


def collect(attachment: Attachment) -> dict[str, Any]:
    """One consistent enough picture: sizes in bytes, times in ns since 1970, ages in seconds."""
    ring, header = attachment.ring, attachment.segment.header
    reserved, head, drained, tail = ring.positions()
    state = ring.state()
    lag = max(head - drained, 0)
    return {
        "name": attachment.name,
        "store_id": f"{attachment.store_id:06x}",
        "generation": header["generation"],
        "created_ns": header["created_ns"],
        "database": str(attachment.database),
        "segment_bytes": header["segment_size"],
        "ring_bytes": header["capacity"] * GRANULE,
        "state": "poisoned" if state & POISONED else "sealed" if state & SEALED else "open",
        "positions": {"reserved": reserved, "head": head, "drained": drained, "tail": tail, "base": header["base"]},
        "used_bytes": min(reserved - header["base"], header["capacity"]) * GRANULE,
        "lag_bytes": lag * GRANULE,
        "lag_share": lag / header["capacity"],
        "oldest_undrained_seconds": _oldest_undrained(attachment, drained),
        "leader": _leader(attachment),
        "participants": len(ring.participants()),
        "counters": ring.counters(),
        "database_bytes": _size(str(attachment.database)),
        "wal_bytes": _size(f"{attachment.database}-wal"),
        **_log(attachment.log_directory()),
    }


def _log(directory: Path | None) -> dict[str, Any]:
    """Where the event log is and how much there is of it; None where nothing can be said."""
    told: dict[str, Any] = {"log_directory": directory and str(directory), "log_segments": None, "log_bytes": None}
    if directory is not None:
        from shmctx.log import files

        with contextlib.suppress(OSError):
            segments = files.by_number(directory).values()
            told |= {"log_segments": len(segments), "log_bytes": sum(segment.size for segment in segments)}
    return told


def _oldest_undrained(attachment: Attachment, drained: int) -> float | None:
    _, records, _ = attachment.ring.scan(drained, attachment.ring.positions()[1], 1, 1 << 24)
    return max(0.0, (time.time_ns() - records[0][3]) / 1e9) if records else None


def _leader(attachment: Attachment) -> dict[str, Any] | None:
    note = attachment.ring.leader()
    if not note["pid"]:
        return None
    alive = process.is_alive(note["pid"], note["start"])
    return {
        "pid": note["pid"],
        "alive": alive,
        "state": process.state(note["pid"]) if alive else "",
        "epoch": note["epoch"],
        "last_drain_ns": note["last_drain_ns"],
        "error": note["error"],
    }


def participants(attachment: Attachment) -> list[dict[str, Any]]:
    """Who has a slot: pid, role, whether it lives and leads, when it was last seen, its own counters."""
    leader = attachment.ring.leader()["pid"]
    names = ("puts", "put_bytes", "hot_hits", "cold_hits", "misses", "torn_reads", "space_waits", "lock_waits")
    return [
        {
            "pid": pid,
            "role": "leader" if pid == leader else ROLES.get(role, "?"),
            "alive": process.is_alive(pid, start),
            "state": process.state(pid),
            "command": process.command(pid),
            "last_seen_ns": seen,
            **dict(zip(names, counters, strict=True)),
        }
        for pid, start, role, seen, counters in attachment.ring.participants()
    ]


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
