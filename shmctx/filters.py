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
    errors: bool | None
    """True: only what is in error, by fields of the context or of any annotation (`error`, `error_type`,
    `error_message`); False: only the rest."""
    limit: int | None
    newest_first: bool
    after: str | None
    """A ref: go on behind it, in the order asked for. The last one found with `limit` leads to the next page."""


_KNOWN = frozenset(Filters.__annotations__)


def query(finder: Finder, store_id: int, filters: Filters) -> Steps[list[Context]]:
    """Contexts that fit all filters. Raises InvalidField, ContextNotFound."""
    return (yield from finder.query((yield from wanted(finder, store_id, filters))))


def wanted(finder: Finder, store_id: int, filters: Filters) -> Steps[Query]:
    """The filters, checked. Raises InvalidField, ContextNotFound."""
    if not _KNOWN.issuperset(filters):
        raise InvalidField(f"query() has no filter {', '.join(sorted(filters.keys() - _KNOWN))}.")
    parent = filters.get("parent")
    newest_first = bool(filters.get("newest_first"))
    cursor = yield from _cursor(finder, filters.get("after"))
    return Query(
        correlation=drafts.identity("correlation_id", filters.get("correlation_id"), store_id),
        parent=None if parent is None else (yield from _parent(finder, store_id, parent)),
        agent_id=drafts.text("agent_id", filters.get("agent_id")),
        session_id=drafts.text("session_id", filters.get("session_id")),
        event_name=drafts.text("event_name", filters.get("event_name")),
        since_ns=drafts.limit_ns("since", filters.get("since")),
        until_ns=drafts.limit_ns("until", filters.get("until")),
        errors=_errors(filters.get("errors")),
        limit=drafts.limit(filters.get("limit")),
        newest_first=newest_first,
        before=cursor if newest_first else None,
        after=None if newest_first else cursor,
    )


def _errors(errors: object) -> bool | None:
    if errors is None or isinstance(errors, bool):
        return errors
    raise InvalidField(f"errors is True, False or None, not {errors!r}.")


def _cursor(finder: Finder, after: str | None) -> Steps[int | None]:
    """The position of a ref, even if nothing is there any more."""
    if after is None:
        return None
    position = yield from finder.locate(after)
    if position is None:
        raise finder.missing(after)
    return position


def _parent(finder: Finder, store_id: int, parent: str) -> Steps[Identity | None]:
    """What children of a ref or event id name as their parent, even if that was never put."""
    context = yield from finder.find(parent)
    if context is not None:
        return context.identity
    identity = drafts.identity("parent", parent, store_id)
    return alias_of(identity) if isinstance(identity, str) else identity
