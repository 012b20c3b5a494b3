"""Contexts in the environment of a process: how a subprocess continues what its parent was in.

A child that reads the same segment needs its name and a ref. The headers of shmctx.carriers go along under their names
in upper case (https://opentelemetry.io/docs/specs/otel/context/env-carriers/), for children that know only those.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shmctx.errors import ContextNotFound, SegmentMissing
from shmctx.propagation import Scope, current, set_scope

if TYPE_CHECKING:
    from shmctx.store import Store

SEGMENT, REF = "SHMCTX_SEGMENT", "SHMCTX_REF"
"""The store's name, and the ref of the context that the process continues."""
_HEADERS = ("TRACEPARENT", "TRACESTATE", "BAGGAGE")


def child_env(store: "Store", env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a subprocess that continues the current context. `Store.child_env`.

    Without a current context a TRACEPARENT of this process's own environment goes on to the child as it is.
    """
    environ = dict(os.environ if env is None else env)
    environ[SEGMENT] = store.name
    environ.pop(REF, None)  # of whoever started this process
    context = current()
    if context is None:
        return environ
    if context.store_id == store.store_id:
        environ[REF] = context.ref
    from shmctx.carriers import inject

    headers = inject(store, context, baggage=environ.get("BAGGAGE"))
    environ.pop("TRACESTATE", None)
    return environ | {name.upper(): value for name, value in headers.items()}


def segment_of(environ: Mapping[str, str]) -> str:
    """The store that an environment names. Raises SegmentMissing where it names none."""
    name = environ.get(SEGMENT)
    if not name:
        raise SegmentMissing(
            f"The environment names no store: {SEGMENT} is not set.",
            hint="Start this process with env=store.child_env(), or call shmctx.attach(NAME).",
        )
    return name


def enter(store: "Store", environ: Mapping[str, str]) -> None:
    """Make current what an environment says to continue; nothing where it says nothing. See `shmctx.from_env`."""
    fields = _continued(store, environ)
    if fields is None:
        return
    parent = fields.get("parent")
    started = Scope(parent, store.store_id) if parent else store.enter("process:start", {"pid": os.getpid()}, **fields)
    set_scope(started)


def _continued(store: "Store", environ: Mapping[str, str]) -> dict[str, Any] | None:
    """What `carriers.extract` gives, or None where the environment names no cause."""
    headers = {name: environ[name] for name in _HEADERS if name in environ}
    ref = environ.get(REF)
    if ref:
        try:
            return {"parent": store.resolve(ref)}
        except ContextNotFound as error:
            # Aged out since: its ids still say where the chain goes on. A wrong ref is an error of its own type.
            if type(error) is not ContextNotFound or "TRACEPARENT" not in headers:
                raise
    elif "TRACEPARENT" not in headers:
        return None
    from shmctx.carriers import extract  # what it needs would cost a child with a ref half as much as attaching

    fields = extract(store, headers)
    return fields if "parent" in fields or "parent_event_id" in fields else None
