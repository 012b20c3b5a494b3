"""Error events: `event:error`, a child of the event whose handler failed."""

from collections.abc import Callable, Coroutine
from typing import Any

from shmctx.context import Context
from shmctx.errors import ShmctxError
from shmctx.events.emission import Emission
from shmctx.events.isolation import isolated
from shmctx.events.names import ERROR_EVENT
from shmctx.events.results import Failure, logger
from shmctx.store import Store

MAX_CHAIN = 64
"""Ancestors that an error event names; `store.ancestors` has the rest."""


async def tell(emit: Callable[..., Coroutine[Any, Any, Any]], store: Store, emission: Emission) -> None:
    """Emit one error event for each handler that failed. What fails meanwhile is logged, never raised."""
    if emission.tells_errors:
        return  # the handler of an error event, or one that it called: its failure is logged and annotated
    try:
        chain = await chain_of(store, emission.results.context)
        for failure in emission.results.errors:
            # As its handlers did: the error event is a child of the event, and inside of what surrounds it.
            await isolated(emission.context(), emit(ERROR_EVENT, error_data(emission.event_name, failure, chain)))
    except Exception:  # noqa: BLE001  (the emitter's results matter more)
        logger.exception("The failure of %s (%s) could not be told", emission.event_name, emission.results.ref)


def error_data(event_name: str, failure: Failure, chain: list[str]) -> dict[str, Any]:
    """The data of an error event: event, handler, error_type, error_message, chain (refs, the failing event's last)."""
    return {"event": event_name, "handler": failure.handler, **failure.fields, "chain": chain}


async def chain_of(store: Store, context: Context) -> list[str]:
    """The refs that led to an event, oldest first, its own last; as far as they are known, and not beyond MAX_CHAIN."""
    chain = [context.ref]
    parent = context.parent_ref
    while parent is not None and len(chain) <= MAX_CHAIN:
        try:
            found: Context | None = await store.aio.get(parent)
        except ShmctxError:
            break
        if found is None or found.ref in chain:
            break
        chain.append(found.ref)
        parent = found.parent_ref
    return chain[::-1]
