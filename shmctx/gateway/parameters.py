"""The parameters that many routes share, checked."""

from typing import Annotated, Any

from litestar.params import FromQuery, PathParameter, QueryParameter

from shmctx.gateway.errors import invalid
from shmctx.moments import moment
from shmctx.refs import parse_ref

MAX_PAGE = 1000
SLASH = "\x00"
"""Stands in a path for a slash that was percent-encoded: the framework splits decoded paths."""

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE, description="Items of this page at most.")]
Offset = Annotated[int, QueryParameter(ge=0, le=1 << 53, description="Items to pass over.")]
Cursor = Annotated[str | None, QueryParameter(description="`next` of the page before, or a ref: what comes behind it.")]
Exact = Annotated[bool, QueryParameter(description="Beside each context `ref`, never an alias, and `time_ns`.")]
Fields = Annotated[str | None, QueryParameter(description="Names with commas; otherwise all.")]
Id = Annotated[str, PathParameter(min_length=1, max_length=1024)]


def wanted(
    *,
    correlation_id: FromQuery[str | None] = None,
    agent_id: FromQuery[str | None] = None,
    session_id: FromQuery[str | None] = None,
    event_name: Annotated[str | None, QueryParameter(description="A name, or a pattern such as `agent:*`.")] = None,
    errors: Annotated[bool | None, QueryParameter(description="Only what is in error, or only the rest.")] = None,
    since: Annotated[str | None, QueryParameter(description="Seconds since 1970, ISO, or an age: `10m`.")] = None,
    until: Annotated[str | None, QueryParameter(description="Before then, as `since`.")] = None,
    parent: Annotated[str | None, QueryParameter(description="A ref or event id: what it caused directly.")] = None,
) -> dict[str, Any]:
    """What to look for. A dependency: routes take its result as `wanted`."""
    given = {
        "correlation_id": correlation_id,
        "agent_id": agent_id,
        "session_id": session_id,
        "event_name": event_name,
        "errors": errors,
        "since": None if since is None else moment(since),
        "until": None if until is None else moment(until),
        "parent": parent,
    }
    return {name: value for name, value in given.items() if value is not None}


def spelt(identifier: str) -> str:
    """An id from a path."""
    return identifier.replace(SLASH, "/")


def after(cursor: str | None, store_id: int) -> str | None:
    """The ref in a cursor. Raises InvalidField."""
    if cursor is None:
        return None
    parsed = parse_ref(cursor)
    if parsed is None or parsed[0] != store_id:
        raise invalid("cursor is `next` of another page of this store.")
    return cursor


def listed(fields: str | None) -> list[str] | None:
    """Names from a list with commas. Raises InvalidField."""
    if fields is None:
        return None
    names = [name.strip() for name in fields.split(",")]
    if not all(names) or len(names) > MAX_PAGE:
        raise invalid("fields is a list of names with commas between them.")
    return names
