"""Routes: contexts by ref, many at once, by query, and who caused what."""

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody
from litestar.response.base import ASGIResponse

from shmctx import analysis
from shmctx.context import Context
from shmctx.errors import ContextNotFound
from shmctx.gateway.answers import Items, Page, Resolved, answered, documented, next_after, paged
from shmctx.gateway.errors import invalid
from shmctx.gateway.parameters import Cursor, Exact, Fields, Id, Limit, after, listed, spelt
from shmctx.gateway.state import Gate, TheGate
from shmctx.wire import selected

MAX_BATCH = 100


class Batch(msgspec.Struct, forbid_unknown_fields=True):
    """Refs to resolve, and what of each is wanted."""

    refs: Annotated[list[str], msgspec.Meta(max_length=MAX_BATCH)]
    fields: list[str] | None = None
    exact: bool = False


def shown(context: Context, names: list[str] | None = None, *, exact: bool = False) -> dict[str, Any]:
    """A context, or some fields of it, under wire names. `exact`: with its own ref and time, for who makes a Context
    of it again."""
    wire = context.to_dict()
    told = wire if names is None else selected(wire, names)
    return told | {"ref": context.ref, "time_ns": context.time_ns} if exact else told


@get("/v1/contexts/{ref:str}", responses=documented(dict[str, Any]), operation_id="resolve")
async def resolve(gate: TheGate, ref: Id, fields: Fields = None, *, exact: Exact = False) -> ASGIResponse:
    """A context under its wire names, annotations merged."""
    names = listed(fields)
    return answered(shown(await resolved(gate, ref), names, exact=exact))


async def resolved(gate: Gate, ref: str) -> Context:
    """The context of a ref in a path. Raises ContextNotFound."""
    ref = spelt(ref)
    found: Context | None = await gate.aio.get(ref)
    return found if found is not None else await gate.aio.resolve(ref)


@post("/v1/contexts/resolve", status_code=200, responses=documented(Resolved), operation_id="resolve_batch")
async def resolve_batch(gate: TheGate, data: JSONBody[Batch]) -> ASGIResponse:
    """Up to 100 contexts at once; null for what is not there."""
    found: dict[str, dict[str, Any] | None] = {}
    for ref in data.refs:
        try:
            context = await gate.aio.get(ref)
        except ContextNotFound:
            context = None
        found[ref] = None if context is None else shown(context, data.fields, exact=data.exact)
    return answered({"contexts": found})


@get("/v1/contexts", responses=documented(Page), operation_id="query")
async def query(
    gate: TheGate,
    wanted: NamedDependency[dict[str, Any]],
    *,
    limit: Limit = 100,
    newest_first: FromQuery[bool] = False,
    cursor: Cursor = None,
) -> ASGIResponse:
    """Contexts that fit all that is given."""
    found = await gate.aio.query(
        **wanted, limit=limit, newest_first=newest_first, after=after(cursor, gate.store.store_id)
    )
    rows = ((context.ref, context.to_dict()) for context in found)
    return paged(rows, next_after(found, limit), gate.limits.response)


@get("/v1/contexts/{ref:str}/children", responses=documented(Page), operation_id="children")
async def children(
    gate: TheGate, ref: Id, limit: Limit = 100, cursor: Cursor = None, *, exact: Exact = False
) -> ASGIResponse:
    """What a context caused directly, oldest first."""
    parent = await resolved(gate, ref)
    found = await gate.aio.query(parent=parent.ref, limit=limit, after=after(cursor, gate.store.store_id))
    rows = ((context.ref, shown(context, exact=exact)) for context in found)
    return paged(rows, next_after(found, limit), gate.limits.response)


def _related(kin: str, told: str) -> Any:
    """A route for one kind of relatives."""

    @get(f"/v1/contexts/{{ref:str}}/{kin}", responses=documented(Page), operation_id=kin, description=told)
    async def related(
        gate: TheGate, ref: Id, limit: Limit = 100, cursor: Cursor = None, *, exact: Exact = False
    ) -> ASGIResponse:
        found: list[Context] = await getattr(gate.aio, kin)((await resolved(gate, ref)).ref)
        start = 0
        if cursor is not None:
            refs = [context.ref for context in found]
            if cursor not in refs:
                raise invalid("cursor is `next` of another page.")
            start = refs.index(cursor) + 1
        page = found[start : start + limit]
        following = page[-1].ref if start + limit < len(found) else None
        return paged(((context.ref, shown(context, exact=exact)) for context in page), following, gate.limits.response)

    return related


ancestors = _related("ancestors", "Parent, grandparent, ... up to the start of the chain.")
descendants = _related("descendants", "Everything that a context caused, directly or not, oldest first.")
siblings = _related("siblings", "The other contexts that the same one caused, oldest first.")


@get("/v1/contexts/{ref:str}/impact", responses=documented(dict[str, Any]), operation_id="impact")
async def impact(gate: TheGate, ref: Id) -> ASGIResponse:
    """What came after a context, through it, in numbers."""
    context = await resolved(gate, ref)
    result = analysis.impact(context, await gate.aio.descendants(context.ref))
    return answered(msgspec.to_builtins(result) | {"span_seconds": result.span_seconds})


@get("/v1/contexts/{ref:str}/errors", responses=documented(Items), operation_id="errors")
async def errors(gate: TheGate, ref: Id) -> ASGIResponse:
    """Where the errors at and below a context came from, and what they touched."""
    chain = await _chain(gate, ref)
    return answered({"items": await asyncio.to_thread(analysis.failures, chain)})


@get("/v1/contexts/{ref:str}/critical-path", responses=documented(dict[str, Any]), operation_id="critical_path")
async def critical_path(gate: TheGate, ref: Id) -> ASGIResponse:
    """Which events made what a context caused take as long as it did."""
    return answered(analysis.critical_path(await _chain(gate, ref)))


async def _chain(gate: Gate, ref: str) -> analysis.Chain:
    context = await resolved(gate, ref)
    below = await gate.aio.descendants(context.ref)
    return await asyncio.to_thread(analysis.chain, [context, *below])


ROUTES = [
    resolve, resolve_batch, query, children, ancestors, descendants, siblings, impact, errors, critical_path,
]  # fmt: skip
