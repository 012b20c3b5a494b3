"""`shmctx ls`, `stat` and `ps`: what is there, and how it is."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from shmctx.cli import render
from shmctx.cli.main import HELP_OPTIONS, INTERRUPTED, examples
from shmctx.cli.readers import Reader, gateway, with_url
from shmctx.cli.render import Column, Form, Listing, Output, number, size, with_output, yes
from shmctx.cli.stores import optional_name, reading, view
from shmctx.errors import SegmentCorrupt, SegmentError, SegmentMissing
from shmctx.hot import segment as segments

SEGMENTS = Listing(
    (
        Column("name", "Name"),
        Column("store_id", "Store"),
        Column("state", "State"),
        Column("segment_bytes", "Size", size, right=True),
        Column("used_bytes", "Used", size, right=True),
        Column("lag_bytes", "Undrained", size, right=True),
        Column("leader_pid", "Leader", right=True),
        Column("leader_alive", "Alive", yes),
        Column("database", "Database"),
        Column("reason", "Reason"),
    )
)

PROCESSES = Listing(
    (
        Column("pid", "PID", right=True),
        Column("role", "Role"),
        Column("alive", "Alive", yes),
        Column("state", "State"),
        Column("puts", "Puts", number, right=True),
        Column("put_bytes", "Put", size, right=True),
        Column("hot_hits", "Hot", number, right=True),
        Column("cold_hits", "Cold", number, right=True),
        Column("misses", "Missed", number, right=True),
        Column("torn_reads", "Torn", number, right=True, wide=True),
        Column("space_waits", "Space waits", number, right=True, wide=True),
        Column("lock_waits", "Lock waits", number, right=True, wide=True),
        Column("last_seen_ns", "Seen", render.age, right=True),
        Column("command", "Command"),
    )
)

RATES = Listing(
    (
        Column("time", "Time", width=8),
        Column("puts_per_second", "Puts/s", number, width=12),
        Column("used_bytes", "Used", size, width=10),
        Column("lag_bytes", "Undrained", size, width=10),
        Column("oldest_undrained_seconds", "Oldest", render.duration, width=9),
        Column("participants", "Processes", width=9),
        Column("leader_pid", "Leader", width=8),
        Column("leader_alive", "Alive", yes, width=5),
    )
)


@click.command(context_settings=HELP_OPTIONS, epilog=examples("shmctx ls", "shmctx ls --json"))
@with_url
@with_output
def ls(out: Output) -> None:
    """List the segments of this machine, those included that cannot be used, with the reason."""
    with gateway() as remote:
        rows = map(_segment_row, segments.names()) if remote is None else iter([_row(remote.stats())])
        out.rows(SEGMENTS, filter(None, rows))


def _segment_row(name: str) -> dict[str, Any] | None:
    """A segment's row; None if it went away meanwhile."""
    try:
        with view(name) as found:
            return _row(found.store.stats())
    except SegmentMissing:
        return None
    except SegmentError as error:
        state = "damaged" if isinstance(error, SegmentCorrupt) else "foreign"
        return _row({"name": name, "state": state}) | {"reason": error.message}


def _row(told: dict[str, Any]) -> dict[str, Any]:
    """A row of what a store says about itself."""
    row: dict[str, Any] = dict.fromkeys(column.key for column in SEGMENTS.columns)
    leader = told.get("leader") or {"pid": None, "alive": None, "error": ""}
    row |= {key: told[key] for key in row if key in told}
    return row | {"leader_pid": leader["pid"], "leader_alive": leader["alive"], "reason": leader["error"] or None}


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples("shmctx stat ksi", "shmctx stat ksi --json", "shmctx stat ksi --watch --interval 5"),
)
@optional_name
@click.option("--watch", "-w", is_flag=True, help="Print a line with rates again and again.")
@click.option("--interval", type=click.FloatRange(min=0.05), default=1.0, help="Seconds between lines of --watch.")
@with_url
@with_output
def stat(out: Output, name: str, watch: bool, interval: float) -> None:
    """Show positions, occupancy, lag, leader, counters and sizes of a store."""
    if watch and out.form is Form.JSON:
        raise click.UsageError("--watch has no end, so it is no JSON document; use --jsonl.")
    with reading(name) as store:
        if watch:
            _watch(out, store, interval)
        told = store.stats()
        out.document(told, _for_people(told))


def _watch(out: Output, store: Reader, interval: float) -> None:
    """Print rates until Ctrl-C."""
    try:
        if out.form is Form.TABLE:
            click.echo("  ".join(column.title.ljust(column.width) for column in RATES.columns).rstrip())
        line = out.lines(RATES)
        for row in _rates(store.stats, interval):
            line(row)
            out.flush()
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None


def _rates(sample: Callable[[], dict[str, Any]], interval: float) -> Iterator[dict[str, Any]]:
    before, then = sample()["counters"]["puts"], time.monotonic()
    while True:
        time.sleep(interval)
        told, now = sample(), time.monotonic()
        leader = told["leader"] or {}
        puts = told["counters"]["puts"]
        yield {
            "time": time.strftime("%H:%M:%S"),
            "puts_per_second": round((puts - before) / (now - then), 1),
            "used_bytes": told["used_bytes"],
            "lag_bytes": told["lag_bytes"],
            "oldest_undrained_seconds": told["oldest_undrained_seconds"],
            "participants": told["participants"],
            "leader_pid": leader.get("pid"),
            "leader_alive": leader.get("alive"),
        }
        before, then = puts, now


def _for_people(told: dict[str, Any]) -> list[tuple[str, str]]:
    leader = told["leader"]
    share = told["used_bytes"] / told["ring_bytes"]
    oldest = told["oldest_undrained_seconds"]
    waiting = f", the oldest since {render.duration(oldest)}" if oldest is not None else ""
    rows = [
        ("Store", f"{told['name']} ({told['store_id']}), {told['state']}, made {render.clock(told['created_ns'])}"),
        ("Ring", f"{size(told['used_bytes'])} of {size(told['ring_bytes'])} used ({share:.0%})"),
        ("Undrained", f"{size(told['lag_bytes'])} ({told['lag_share']:.1%} of the ring){waiting}"),
        ("Leader", _leader(leader)),
        ("Last drain", f"{render.age(leader['last_drain_ns'])} ago" if leader and leader["last_drain_ns"] else "never"),
        ("Processes", str(told["participants"])),
        ("Database", f"{told['database']} ({size(told['database_bytes'])}, log {size(told['wal_bytes'])})"),
        ("Event log", f"{told['log_directory'] or '?'} ({size(told['log_bytes'] or 0)})"),
    ]
    return rows + [(key.replace("_", " ").capitalize(), number(value)) for key, value in told["counters"].items()]


def _leader(leader: dict[str, Any] | None) -> str:
    if leader is None:
        return "none yet"
    life = "alive" if leader["alive"] else "dead"
    stopped = ", stopped" if leader["state"] in ("T", "t") else ""
    error = f", last error: {leader['error']}" if leader["error"] else ""
    return f"pid {leader['pid']}, {life}{stopped}, epoch {leader['epoch']}{error}"


@click.command(context_settings=HELP_OPTIONS, epilog=examples("shmctx ps ksi", "shmctx ps ksi --jsonl"))
@optional_name
@with_url
@with_output
def ps(out: Output, name: str) -> None:
    """List the processes that use a store, with their counters."""
    with reading(name) as store:
        out.rows(PROCESSES, store.participants())
