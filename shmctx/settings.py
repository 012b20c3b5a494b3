"""Settings with their defaults and units, and the one place that reads the environment."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from shmctx.errors import InvalidField

MiB = 1 << 20
DEFAULT_NAME = "default"
DEFAULT_RING_SIZE = 32 * MiB
"""Bytes. Half of the 64 MB of /dev/shm that a container gets by default."""


LARGE_FIELDS = frozenset({
    "response", "content", "prompt", "messages", "system_prompt", "profile", "composition", "pattern", "events",
    "arguments", "result",
})  # fmt: skip
"""Names under which agent systems keep what is long; KSI's list of payload fields."""


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long the database and the event log keep a context, in days since its event; None: for ever.

    A context that belongs to several classes is kept for the longest; one that is pinned, for ever.
    """

    default_days: float | None = 7.0
    error_days: float | None = 30.0
    """With an error, its own or annotated."""
    deep_days: float | None = 14.0
    deep_depth: int = 10
    """Depth from which a context is deep: beyond it."""
    read_days: float | None = 21.0
    read_count: int = 3
    """Reads from the database, by one process, from which a context is often read."""
    quarantine_days: float | None = 30.0
    """What is in the table `quarantine`; counted from when the retention first met it."""
    events: dict[str, float | None] = {}
    """Days instead of `default_days` for events whose name fits a pattern, the first that does: {"audit:*": 365}."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How one process uses a store."""

    lock_timeout: float = 5.0
    """Seconds to wait for the append lock. A living holder has it for less than a microsecond."""
    put_timeout: float = 5.0
    """Seconds a put waits for space in a full ring before it raises RingFull."""
    durable_timeout: float = 30.0
    """Seconds a durable put waits for the commit that covers it before it raises NotDurable."""
    attach_timeout: float = 5.0
    """Seconds to wait for a segment that another process is about to make."""
    batch_records: int = 4096
    """Records in one drain transaction at most."""
    batch_bytes: int = 4 * MiB
    """Payload bytes in one drain transaction at most."""
    scan_records: int = 256
    """Records that the drain copies in one call that holds the interpreter lock."""
    batch_window: float = 0.005
    """Seconds that the drain lets records gather before it commits them."""
    poll_interval: float = 0.1
    """Seconds between a standby's tries to lead."""
    idle_interval: float = 0.5
    """Seconds that an idle leader sleeps before it looks after the segment's name and the WAL."""
    retry_limit: float = 2.0
    """Seconds: the longest pause between tries of a drain transaction that failed."""
    wal_limit: int = 64 * MiB
    """Bytes of write-ahead log beyond which the leader makes room whatever readers do."""
    large_size: int = 1024
    """Bytes of JSON from which a field of event data named in `large_fields` is stored on its own, once."""
    large_fields: frozenset[str] = LARGE_FIELDS
    """Fields of event data that may be large; only these are looked at."""
    log_rotate_bytes: int = 64 * MiB
    """Bytes after which the event log begins a new file; it also does so every day (UTC)."""
    hot_ttl: float | None = 86_400.0
    """Seconds after which a context that is in the database leaves the ring; None: when it is overwritten."""
    retention: Retention = Retention()
    """What leaves database and event log when; the leader's counts."""
    prune_interval: float = 3600.0
    """Seconds from the end of one round through what has expired to the next."""
    rehydrate: bool = True
    """Whether a new segment is filled with the newest records of the database."""


class Environment(msgspec.Struct, frozen=True):
    """What the environment says; None where it says nothing."""

    segment: str | None
    database: Path | None
    log: Path | None
    ring_size: int | None
    shadow: str | None = None


def parse_size(text: str) -> int:
    """Bytes from `67108864`, `64M`, `64MiB` or `1G`. Raises InvalidField."""
    number = text.strip().rstrip("iBb")
    factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(number[-1:].upper(), 1)
    digits = number[:-1] if factor > 1 else number
    try:
        return int(digits) * factor
    except ValueError:
        raise InvalidField(f"{text!r} is not a size.", hint="Write bytes, or a number with K, M or G.") from None


def environment(environ: Mapping[str, str] = os.environ) -> Environment:
    """Read SHMCTX_SEGMENT, SHMCTX_DB, SHMCTX_LOG, SHMCTX_RING_SIZE and SHMCTX_SHADOW."""
    database = environ.get("SHMCTX_DB")
    log = environ.get("SHMCTX_LOG")
    size = environ.get("SHMCTX_RING_SIZE")
    return Environment(
        segment=environ.get("SHMCTX_SEGMENT") or None,
        database=Path(database) if database else None,
        log=Path(log) if log else None,
        ring_size=parse_size(size) if size else None,
        shadow=environ.get("SHMCTX_SHADOW") or None,
    )


def default_database(name: str) -> Path:
    """Where a store's database lies unless somebody says otherwise: the XDG state directory, per user."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "shmctx" / f"{name}.db"
