"""Routes: sessions, agents, search by any id, and how the store and the gateway are."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from litestar import get
from litestar.params import QueryParameter
from litestar.response.base import ASGIResponse

from shmctx.analysis.facts import session_ids
from shmctx.context import Context
from shmctx.errors import ContextNotFound, SessionNotFound, ShmctxError
from shmctx.gateway import metrics
from shmctx.gateway.answers import Agent, AgentCorrelation, Found, Health, Participants, answered, documented
from shmctx.gateway.errors import not_found
from shmctx.gateway.parameters import Id, spelt
from shmctx.gateway.state import Gate, TheGate
from shmctx.refs import resolve_native

_COUNTED = 10_000  # events of an agent that are looked at
_CORRELATIONS = 50


@get("/v1/sessions/{session_id:str}", responses=documented(dict[str, Any]), operation_id="session")
async def session(gate: TheGate, session_id: Id) -> ASGIResponse:
    """What belongs to a session: data, activity, agents, refs of its contexts."""
    return answered((await gate.aio.session(spelt(session_id))).to_dict())


@get("/v1/agents/{agent_id:str}", responses=documented(Agent), operation_id="agent")
async def agent(gate: TheGate, agent_id: Id) -> ASGIResponse:
    """What an agent did lately, and in which correlations."""
    agent_id = spelt(agent_id)
    found = await gate.aio.query(agent_id=agent_id, newest_first=True, limit=_COUNTED)
    if not found:
        raise not_found()
    complete = len(found) < _COUNTED
    oldest = found[-1] if complete else (await gate.aio.query(agent_id=agent_id, limit=1))[0]
    return answered(await asyncio.to_thread(_told, agent_id, found, oldest, complete=complete))


def _told(agent_id: str, newest: list[Context], oldest: Context, *, complete: bool) -> Agent:
    members: dict[str, list[Context]] = {}
    for context in newest:
        members.setdefault(context.correlation_id, []).append(context)
    return Agent(
        agent_id=agent_id,
        events=len(newest),
        complete=complete,
        first=oldest.timestamp,
        last=max(context.timestamp for context in newest),
        sessions=session_ids(newest),
        correlations=[_part(name, members[name]) for name in list(members)[:_CORRELATIONS]],
    )


def _part(correlation_id: str, newest: Sequence[Context]) -> AgentCorrelation:
    return AgentCorrelation(
        correlation_id=correlation_id,
        event_name=newest[-1].event_name,
        events=len(newest),
        errors=sum(context.error_text is not None for context in newest),
        first=min(context.timestamp for context in newest),
        last=max(context.timestamp for context in newest),
    )


@get("/v1/search", responses=documented(Found), operation_id="search")
async def search(gate: TheGate, id: Annotated[str, QueryParameter(min_length=1, max_length=1024)]) -> ASGIResponse:  # noqa: A002
    """What an id is the id of: a context (by ref or event id), a correlation, a session, an agent, or nothing."""
    native = id.startswith("corr_") and resolve_native(id) is not None
    context = None if native else await _context(gate, id)
    if context is not None:
        return answered(Found("context", id, context.ref))
    if await gate.aio.query(correlation_id=id, limit=1):
        return answered(Found("correlation", id))
    try:
        await gate.aio.session(id)
        return answered(Found("session", id))
    except SessionNotFound:
        known = await gate.aio.query(agent_id=id, limit=1)
    return answered(Found("agent" if known else "none", id))


async def _context(gate: Gate, ref: str) -> Context | None:
    try:
        found: Context | None = await gate.aio.get(ref)
    except ContextNotFound:
        return None
    return found


@get("/v1/stats", responses=documented(dict[str, Any]), operation_id="stats", sync_to_thread=False)
def stats(gate: TheGate) -> ASGIResponse:
    """Positions, occupancy, lag, leader, counters and sizes, as Store.stats."""
    return answered(gate.store.stats())


@get("/v1/participants", responses=documented(Participants), operation_id="participants")
async def participants(gate: TheGate) -> ASGIResponse:
    """The processes that use the store, with their counters and command lines."""
    return answered(Participants(await asyncio.to_thread(gate.store.participants)))


@get("/v1/health", responses=documented(Health), operation_id="health", sync_to_thread=False, security=[{}])
def health(gate: TheGate) -> ASGIResponse:
    """Whether the store can be used. Needs no token."""
    try:
        leader = gate.store.stats()["leader"]
    except ShmctxError:
        leader = None
    drained = leader is not None and leader["alive"]
    return answered(Health("ok" if drained else "degraded"), 200 if drained else 503)


@get("/metrics", include_in_schema=False, sync_to_thread=False)
def openmetrics(gate: TheGate) -> ASGIResponse:
    """The store and the gateway in numbers, as OpenMetrics."""
    text = metrics.rendered(gate.store.stats(), gate.tally, gate.hub.clients)
    return ASGIResponse(body=text.encode(), media_type=metrics.MEDIA_TYPE)


ROUTES = [session, agent, search, stats, participants, health, openmetrics]
