"""The keyword arguments of query(), checked and turned into a Query."""

from datetime import datetime
from typing import TypedDict

from shmctx import drafts
from shmctx.cold import Query
from shmctx.cold.questions import Steps
from shmctx.context import Context, Identity
from shmctx.errors import InvalidField
from shmctx.finder import Finder
from shmctx.refs import alias_of


class Filters(TypedDict, total=False):
    """What query() takes; None does not filter."""

    correlation_id: str | None
    agent_id: str | None
    session_id: str | None
    event_name: str | None
    """A name, or a pattern such as `agent:*`, as of fnmatch.fnmatchcase."""
    parent: str | None
    """A ref or event id."""
    since: float | datetime | None
    """Inclusive: seconds since 1970, or a datetime."""
    until: float | datetime | None
    """Exclusive."""
    limit: int | None
    newest_first: bool


def query(finder: Finder, store_id: int, filters: Filters) -> Steps[list[Context]]:
    """Contexts that fit all filters. Raises InvalidField."""
    unknown = filters.keys() - Filters.__annotations__.keys()
    if unknown:
        raise InvalidField(f"query() has no filter {', '.join(sorted(unknown))}.")
    parent = filters.get("parent")
    wanted = Query(
        correlation=drafts.identity("correlation_id", filters.get("correlation_id"), store_id),
        parent=None if parent is None else (yield from _parent(finder, store_id, parent)),
        agent_id=drafts.text("agent_id", filters.get("agent_id")),
        session_id=drafts.text("session_id", filters.get("session_id")),
        event_name=drafts.text("event_name", filters.get("event_name")),
        since_ns=drafts.limit_ns("since", filters.get("since")),
        until_ns=drafts.limit_ns("until", filters.get("until")),
        limit=drafts.limit(filters.get("limit")),
        newest_first=bool(filters.get("newest_first")),
    )
    return (yield from finder.query(wanted))


def _parent(finder: Finder, store_id: int, parent: str) -> Steps[Identity | None]:
    """What children of a ref or event id name as their parent, even if that was never put."""
    context = yield from finder.find(parent)
    if context is not None:
        return context.identity
    identity = drafts.identity("parent", parent, store_id)
    return alias_of(identity) if isinstance(identity, str) else identity
