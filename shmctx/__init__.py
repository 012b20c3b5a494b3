"""shmctx: a multiprocess store for event contexts in shared memory.

One process opens a store (and drains it to SQLite), others attach; a put returns a 20-byte ref that every process on
the machine turns back into the context by reading shared memory.
"""

from shmctx.api import attach, current_store, from_env, open, unlink  # noqa: A004  (always written shmctx.open)
from shmctx.context import Context
from shmctx.errors import (
    ColdError,
    ContextNotFound,
    ForeignRef,
    InvalidField,
    MalformedRef,
    NotDurable,
    PutError,
    RecordDamaged,
    RingFull,
    SegmentCorrupt,
    SegmentError,
    SegmentMismatch,
    SegmentMissing,
    SessionNotFound,
    ShmctxError,
    StoreClosed,
    WriterStalled,
)
from shmctx.event import Event
from shmctx.follow import Follower
from shmctx.propagation import bound, carry, current, propagating, task
from shmctx.settings import Retention, Settings
from shmctx.store import Store

__all__ = [
    "ColdError",
    "Context",
    "ContextNotFound",
    "Event",
    "Follower",
    "ForeignRef",
    "InvalidField",
    "MalformedRef",
    "NotDurable",
    "PutError",
    "RecordDamaged",
    "Retention",
    "RingFull",
    "SegmentCorrupt",
    "SegmentError",
    "SegmentMismatch",
    "SegmentMissing",
    "SessionNotFound",
    "Settings",
    "ShmctxError",
    "Store",
    "StoreClosed",
    "WriterStalled",
    "attach",
    "bound",
    "carry",
    "current",
    "current_store",
    "from_env",
    "open",
    "propagating",
    "task",
    "unlink",
]


def __getattr__(name: str) -> str:
    """`__version__`, read from the installed package when asked for."""
    if name == "__version__":
        from importlib.metadata import version

        return version("shmctx")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
