"""What does an event take on disk, all files counted, that used to hold its context in its line of the log?"""

import contextlib
import sqlite3
from pathlib import Path

import shmctx
from bench import stage
from bench.harness import Options, Row, Target, main, versus
from shmctx.log.reader import LogReader

ROTATE = stage.MiB // 4
"""Bytes. These logs are too short for the default of 64 MiB: nothing of them would be compressed."""
COMPRESSION = 60.0  # seconds, at most


def measure(options: Options) -> list[Row]:
    events = stage.events_of(options.events)
    count = len(events)
    with stage.Site() as site:
        drained(site, events)
        segments = LogReader(site.log).segments()
        lines = [line for segment in segments for _, line in LogReader(site.log).scan(segment.number)]
        assert len(lines) == count
        database, large = database_bytes(site.database)
    total = database + sum(segment.size for segment in segments)
    note = (
        f"{count:,} events with ids of their own: database {database / count:.0f} B (large fields in it "
        f"{large / count:.0f}), log {(total - database) / count:.0f} B, of which {segments[-1].size / count:.0f} B are "
        f"its newest file, not compressed yet, which ends at {ROTATE >> 10} KiB"
    )
    peer = ("line with the context inside", [sum(len(event.line) for event in events) / count])
    line = sum(len(line) + 1 for line in lines) / count
    return [
        versus("line of the event log, KSI events", "bytes", [line], peer, Target("at most", 0.40, "at most 0.40 x")),
        versus("all on disk per event, KSI events", "bytes", [total / count], peer,
               Target("at most", 0.34, "at most 0.34 x"), note=note),
    ]  # fmt: skip


def drained(site: stage.Site, events: list[stage.Logged]) -> None:
    """Put all events with their own ids, and let the leader store, log and compress them."""
    settings = shmctx.Settings(log_rotate_bytes=ROTATE)
    with shmctx.open(site.name, db=site.database, settings=settings) as store:
        for event in events:
            store.put(event.name, data=event.data, **event.context)
        store.flush(timeout=120)
        reader = LogReader(site.log)
        stage.until(lambda: all(segment.compressed for segment in reader.segments()[:-1]), COMPRESSION)


def database_bytes(path: Path) -> tuple[int, int]:
    """Bytes of the database after a checkpoint, and how many of them are large fields."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (payloads,) = database.execute("SELECT coalesce(sum(length(data)), 0) FROM payload").fetchone()
    return path.stat().st_size, payloads


if __name__ == "__main__":
    raise SystemExit(main(["disk"]))
