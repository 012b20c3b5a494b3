"""Routes: a correlation as a tree, as a timeline, and what can be said about it."""

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.params import QueryParameter
from litestar.response.base import ASGIResponse

from shmctx import analysis
from shmctx.event import Event
from shmctx.gateway.answers import Correlation, Rows, Timeline, answered, documented
from shmctx.gateway.chains import Whole
from shmctx.gateway.parameters import Fields, Id, Limit, Offset, listed, spelt
from shmctx.gateway.state import Gate, TheGate

_PATH = "/v1/correlations/{correlation_id:str}"


async def whole(gate: Gate, correlation_id: str) -> Whole:
    """A correlation, read in a thread: it may be large."""
    return await asyncio.to_thread(gate.chains.whole, spelt(correlation_id))


@get(_PATH, responses=documented(Correlation), operation_id="correlation")
async def correlation(gate: TheGate, correlation_id: Id) -> ASGIResponse:
    """A correlation in short, with its roots."""
    return answered((await whole(gate, correlation_id)).summary())


@get(f"{_PATH}/nodes", responses=documented(Rows), operation_id="nodes")
async def nodes(
    gate: TheGate,
    correlation_id: Id,
    parent: Annotated[str | None, QueryParameter(description="A ref; otherwise the roots.")] = None,
    offset: Offset = 0,
    limit: Limit = 100,
) -> ASGIResponse:
    """What one of its contexts caused directly."""
    rows, total = (await whole(gate, correlation_id)).rows(parent, offset, limit)
    return answered(Rows(rows, total))


@get(f"{_PATH}/timeline", responses=documented(Timeline), operation_id="timeline")
async def timeline(gate: TheGate, correlation_id: Id, offset: Offset = 0, limit: Limit = 1000) -> ASGIResponse:
    """Its events in the order of their times."""
    found = await whole(gate, correlation_id)
    chain = found.chain
    rows = found.timeline(offset, limit)
    return answered(Timeline(rows, len(chain.nodes), (chain.end_ns - chain.begin_ns) / 1e6))


@get(f"{_PATH}/audit-trail", responses=documented(dict[str, Any]), operation_id="audit_trail")
async def audit_trail(gate: TheGate, correlation_id: Id, offset: Offset = 0, limit: Limit = 1000) -> ASGIResponse:
    """Who did what when, in the order in which it was stored, and what is missing in between."""
    found = await whole(gate, correlation_id)
    trail = await asyncio.to_thread(analysis.audit_trail, found.contexts)
    total = len(trail.entries)
    trail.entries = trail.entries[offset : offset + limit]
    return answered(msgspec.to_builtins(trail) | {"total": total})


@get(f"{_PATH}/compare", responses=documented(dict[str, Any]), operation_id="compare")
async def compare(
    gate: TheGate,
    correlation_id: Id,
    other: Annotated[str, QueryParameter(name="with", min_length=1, description="Another correlation's id.")],
    ignore: Fields = None,
) -> ASGIResponse:
    """Where two correlations diverge, event by event."""
    ignored = listed(ignore) or []
    ours, theirs = await whole(gate, correlation_id), await whole(gate, other)
    return answered(await asyncio.to_thread(_compared, gate, ours, theirs, ignored))


def _compared(gate: Gate, ours: Whole, theirs: Whole, ignored: list[str]) -> analysis.Comparison:
    data: dict[str, dict[str, Any] | None] = {}
    if "data" not in ignored:
        events: list[Event] = gate.store.events([*ours.contexts, *theirs.contexts])
        data = {event.ref: event.data for event in events}
    return analysis.compare(ours.contexts, theirs.contexts, data=data, ignore=tuple(ignored))


@get(f"{_PATH}/reports", responses=documented(dict[str, Any]), operation_id="reports")
async def reports(gate: TheGate, correlation_id: Id) -> ASGIResponse:
    """Frequent chains, slow handlers, bursts and depth within it."""
    return answered(await asyncio.to_thread(_reported, await whole(gate, correlation_id)))


def _reported(found: Whole) -> dict[str, Any]:
    return {
        "chains": analysis.frequent_chains(found.chain),
        "slow": analysis.slow_handlers(found.contexts),
        "bursts": analysis.bursts(found.contexts),
        "deep": analysis.deep_chains(found.contexts),
    }


ROUTES = [correlation, nodes, timeline, audit_trail, compare, reports]
