"""shmctx: a multiprocess store for event contexts in shared memory.

One process opens a store (and drains it to SQLite), others attach; a put returns a 20-byte ref that every process on
the machine turns back into the context by reading shared memory.
"""

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
    ShmctxError,
    StoreClosed,
    WriterStalled,
)
from shmctx.propagation import bound, current
from shmctx.settings import Settings
from shmctx.store import Store, attach, open, unlink

__all__ = [
    "ColdError",
    "Context",
    "ContextNotFound",
    "ForeignRef",
    "InvalidField",
    "MalformedRef",
    "NotDurable",
    "PutError",
    "RecordDamaged",
    "RingFull",
    "SegmentCorrupt",
    "SegmentError",
    "SegmentMismatch",
    "SegmentMissing",
    "Settings",
    "ShmctxError",
    "Store",
    "StoreClosed",
    "WriterStalled",
    "attach",
    "bound",
    "current",
    "open",
    "unlink",
]
