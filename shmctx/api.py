"""How a process comes by a Store: open, attach, unlink."""

import os
from collections.abc import Mapping
from pathlib import Path

from shmctx import attachment as attachments
from shmctx.context import sources
from shmctx.errors import ContextRequired, StoreClosed
from shmctx.hot import segment as segments
from shmctx.propagation import current
from shmctx.settings import DEFAULT_RING_SIZE, Settings, default_database
from shmctx.store import Store


def open(  # noqa: A001  (the public name, always written shmctx.open)
    name: str,
    *,
    db: str | Path | None = None,
    log: str | Path | None = None,
    ring_size: int = DEFAULT_RING_SIZE,
    settings: Settings | None = None,
) -> Store:
    """Make the store's segment or adopt the one that is there; then lead, or stand by to.

    `db`: the SQLite file (default: $XDG_STATE_HOME/shmctx/NAME.db). `log`: the event log's directory (default: beside
    the database, as NAME.events; the database remembers it). `ring_size`: bytes, rounded up to a power of two; an
    existing segment keeps its size. Raises SegmentError, ColdError.
    """
    database = Path(db).absolute() if db is not None else default_database(name)
    directory = Path(log).absolute() if log is not None else None
    return Store(attachments.open_or_create(name, database, ring_size, settings or Settings(), directory))


def attach(name: str, *, standby: bool = False, readonly: bool = False, settings: Settings | None = None) -> Store:
    """Attach to a segment that exists.

    `standby`: lead when the leader dies. Without it this process never drains: when nobody does, its puts go on until
    the ring is full and then raise RingFull. `readonly`: map the segment read-only.

    Raises SegmentMissing, SegmentMismatch, SegmentCorrupt.
    """
    return Store(attachments.attach(name, settings or Settings(), standby=standby, readonly=readonly))


def from_env(
    environ: Mapping[str, str] | None = None, *, standby: bool = False, settings: Settings | None = None
) -> Store:
    """Attach to the store that the environment names, and continue the context it names: what a child process calls
    first that was started with `env=store.child_env()`. `environ`: os.environ.

    The context of SHMCTX_REF becomes the current one here, in this thread or task and in the tasks it starts. Without
    one, a TRACEPARENT is continued by a context `process:start`; without that either, nothing is current. A ref that
    has aged out is continued by what TRACEPARENT and BAGGAGE say of it.

    Raises SegmentMissing (also where SHMCTX_SEGMENT is not set), ForeignRef (the ref is left over from another
    segment), MalformedRef, ContextNotFound; then nothing stays attached.
    """
    from shmctx import environment

    environ = os.environ if environ is None else environ
    store = attach(environment.segment_of(environ), standby=standby, settings=settings)
    try:
        environment.enter(store, environ)
    except BaseException:
        store.close()
        raise
    return store


def current_store() -> Store:
    """The open store that the current context belongs to: for code that is given no store, such as a pooled task.

    Raises ContextRequired where no context is current, StoreClosed where its store is not open in this process.
    """
    context = current()
    if context is None:
        raise ContextRequired("No context is current, so there is no store of it.")
    for store in sources(context.store_id):
        if isinstance(store, Store):
            return store
    raise StoreClosed(f"The store of {context.ref} is not open in this process.")


def unlink(name: str) -> None:
    """Remove a segment's name. Processes that use it move on to a new one; the database is not touched.

    Raises SegmentMissing.
    """
    segments.unlink(name)
