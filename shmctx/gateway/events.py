"""Routes: events with their data, and putting one."""

from typing import Annotated, Any

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody, QueryParameter
from litestar.response.base import ASGIResponse

from shmctx.errors import ReadOnly
from shmctx.event import Event
from shmctx.events.selection import BUNDLES, selector
from shmctx.gateway.answers import EventAnswer, Page, Stored, answered, documented, next_after, paged
from shmctx.gateway.contexts import resolved, shown
from shmctx.gateway.errors import invalid, not_found
from shmctx.gateway.parameters import Cursor, Exact, Fields, Id, Limit, after, listed
from shmctx.gateway.state import TheGate

Bundle = Annotated[str | None, QueryParameter(description=f"A set of fields: {', '.join(BUNDLES)}.")]


def selection(bundle: str | None, fields: str | None) -> str | list[str]:
    """What of each event is wanted. Raises InvalidField."""
    if bundle is not None and fields is not None:
        raise invalid("Give a bundle or fields, not both.")
    return listed(fields) or bundle or "monitoring"


@get("/v1/events", responses=documented(Page), operation_id="events")
async def events(
    gate: TheGate,
    wanted: NamedDependency[dict[str, Any]],
    *,
    text: Annotated[str | None, QueryParameter(description="In names, ids, custom fields or data.")] = None,
    bundle: Bundle = None,
    fields: Fields = None,
    limit: Limit = 100,
    newest_first: FromQuery[bool] = False,
    cursor: Cursor = None,
) -> ASGIResponse:
    """Of each event that fits all that is given, the fields that are asked for."""
    select = selector(selection(bundle, fields))
    searched = wanted if text is None else wanted | {"text": text}
    found = await gate.monitor.events(
        **searched, limit=limit, newest_first=newest_first, after=after(cursor, gate.store.store_id)
    )
    return paged(((event.ref, select(event)) for event in found), next_after(found, limit), gate.limits.response)


@get("/v1/events/{ref:str}", responses=documented(EventAnswer), operation_id="event")
async def event(gate: TheGate, ref: Id, *, exact: Exact = False) -> ASGIResponse:
    """An event with its data and its context."""
    found: Event | None = await gate.aio.event((await resolved(gate, ref)).ref)
    if found is None:
        raise not_found()
    return answered(found.to_dict() | {"context": shown(found.context, exact=exact)})


@post("/v1/events", responses=documented(Stored, 201), operation_id="emit")
async def emit(gate: TheGate, data: JSONBody[dict[str, Any]]) -> ASGIResponse:
    """Put an event: `event_name`, and if wanted `data`, `parent` (a ref, or a context under wire names), `durable` and
    the fields of its context, as Store.put takes them."""
    if not gate.writable:
        raise ReadOnly(
            "This gateway only reads. Nothing was stored.", hint="Start it with --writable to let clients put events."
        )
    given = dict(data)
    name = given.pop("event_name", None)
    if not isinstance(name, str):
        raise invalid("event_name is missing, or no text. Nothing was stored.")
    if not isinstance(given.get("durable", False), bool):
        raise invalid("durable is true or false. Nothing was stored.")
    parent = given.get("parent")
    if parent is not None:
        given["parent"] = await gate.aio.accept(_checked(parent))
    return answered({"ref": await gate.aio.put(name, **given)}, 201)


def _checked(parent: Any) -> str | dict[str, Any]:
    if not isinstance(parent, str | dict):
        raise invalid("parent is a ref, or a context under wire names. Nothing was stored.")
    return parent


ROUTES = [events, event, emit]
