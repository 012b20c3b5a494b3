"""What a client asks a gateway, as steps that a synchronous and an asynchronous client run alike."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Unpack

import msgspec

from shmctx import filters
from shmctx.client import answers
from shmctx.client.exchange import Request, Steps, segment
from shmctx.context import Context
from shmctx.errors import ContextNotFound, InvalidField
from shmctx.event import Event
from shmctx.sessions import Session

if TYPE_CHECKING:
    from shmctx.checkpoints.stored import Listed

PAGE = 1000
"""Items of a page at most; the gateway ends it earlier where they are many bytes."""
BATCH = 100
"""Refs that one request resolves at most."""

Fields = str | Iterable[str]
_FILTERS = frozenset({*filters.Filters.__annotations__, "text"})
_EVENTS = "/v1/events"


class Filters(filters.Filters, total=False):
    """What Store.query takes, and a text."""

    text: str | None
    """In names, ids, custom fields and data, whatever the case of its letters."""


class _Items(msgspec.Struct):
    items: list[dict[str, Any]]
    next: str | None = None


class _Rows(msgspec.Struct):
    items: list[answers.Row]
    next: str | None = None


class _Resolved(msgspec.Struct):
    contexts: dict[str, dict[str, Any] | None]


class _Event(msgspec.Struct):
    context: dict[str, Any]
    data: dict[str, Any] | None = None


class _Stored(msgspec.Struct):
    ref: str


class _State(msgspec.Struct):
    state: Any


class _SessionTold(msgspec.Struct):
    id: str
    data: dict[str, Any]


Document = dict[str, Any]


def _context_path(ref: str, kin: str = "") -> str:
    return f"/v1/contexts/{segment(ref)}{kin}"


def resolve(ref: str) -> Steps[Context]:
    """The context of a ref or event id. Raises ContextNotFound."""
    if not ref:
        raise ContextNotFound(f"{ref!r} is not a ref.")
    wire = yield Request(_context_path(ref), Document, {"exact": True})
    return answers.context(wire)


def get(ref: str, default: Any = None) -> Steps[Any]:
    """The context, or the default."""
    try:
        return (yield from resolve(ref))
    except ContextNotFound:
        return default


def resolve_many(refs: Iterable[str]) -> Steps[dict[str, Context | None]]:
    """The contexts of many refs; None for what is not there."""
    found: dict[str, Context | None] = {}
    listed = list(dict.fromkeys(refs))
    for start in range(0, len(listed), BATCH):
        body = {"refs": listed[start : start + BATCH], "exact": True}
        told = yield Request("/v1/contexts/resolve", _Resolved, body=body)
        found |= {ref: None if wire is None else answers.context(wire) for ref, wire in told.contexts.items()}
    return found


# ---- lists ----


def _paged(path: str, answer: type[Any], query: Mapping[str, Any], limit: int | None) -> Steps[list[Any]]:
    """All items, or the first `limit`."""
    if limit is not None and (type(limit) is not int or limit < 0):
        raise InvalidField(f"limit is a number of contexts, not {limit!r}.")
    found: list[Any] = []
    cursor = query.get("cursor")
    while limit is None or len(found) < limit:
        size = PAGE if limit is None else min(PAGE, limit - len(found))
        page = yield Request(path, answer, {**query, "limit": size, "cursor": cursor})
        found += page.items
        if page.next is None or page.next == cursor:
            break
        cursor = page.next
    return found


def _listed(answer: type[Any], fields: Iterable[str] | str, wanted: Mapping[str, Any]) -> Steps[list[Any]]:
    """What the list of events has of those that fit."""
    unknown = wanted.keys() - _FILTERS
    if unknown:
        raise InvalidField(f"There is no filter {', '.join(sorted(unknown))}.")
    given = dict(wanted)
    limit, after = given.pop("limit", None), given.pop("after", None)
    given["newest_first"] = bool(given.get("newest_first")) or None
    if after is not None:
        given["cursor"] = (yield from resolve(after)).ref
    chosen = {"bundle": fields} if isinstance(fields, str) else {"fields": ",".join(fields)}
    return (yield from _paged(_EVENTS, answer, {**given, **chosen}, limit))


def query(**wanted: Unpack[Filters]) -> Steps[list[Context]]:
    """Contexts that fit all that is given."""
    rows = yield from _listed(_Rows, answers.FIELDS, wanted)
    return [row.context() for row in rows]


def events(pattern: str | None, **wanted: Unpack[Filters]) -> Steps[list[Event]]:
    """The same with their data."""
    rows = yield from _listed(_Rows, (*answers.FIELDS, "data"), _named(pattern, wanted))
    return [row.event() for row in rows]


def selected(pattern: str | None, fields: Fields, **wanted: Unpack[Filters]) -> Steps[list[dict[str, Any]]]:
    """The fields asked for of events that fit."""
    return (yield from _listed(_Items, fields, _named(pattern, wanted)))


def _named(pattern: str | None, wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {**wanted} if pattern is None else {**wanted, "event_name": pattern}


def event(ref: str) -> Steps[Event | None]:
    """A context with its data; None for what is not there."""
    try:
        told = yield Request(f"{_EVENTS}/{segment(ref)}", _Event, {"exact": True})
    except ContextNotFound:
        return None
    return Event(answers.context(told.context), told.data)


def with_data(contexts: Iterable[Context]) -> Steps[list[Event]]:
    """The events of contexts, read correlation by correlation."""
    listed = list(contexts)
    found: dict[str, Event] = {}
    for correlation_id in dict.fromkeys(context.correlation_id for context in listed):
        for each in (yield from events(None, correlation_id=correlation_id)):
            found[each.ref] = each
    return [found.get(context.ref) or Event(context) for context in listed]


def related(ref: str, kin: str) -> Steps[list[Context]]:
    """Children, ancestors, descendants or siblings."""
    wires = yield from _paged(_context_path(ref, f"/{kin}"), _Items, {"exact": True}, None)
    return [answers.context(wire) for wire in wires]


# ---- writing ----


def put(event_name: str, fields: Mapping[str, Any]) -> Steps[str]:
    """Store a context. Never asked twice: who did not hear the answer does not know whether it was stored."""
    given = {name: value for name, value in fields.items() if value is not None}
    parent = given.get("parent")
    if isinstance(parent, Context):
        given["parent"] = parent.to_dict()
    stored = yield Request(_EVENTS, _Stored, body={"event_name": event_name, **given}, repeatable=False)
    return str(stored.ref)


# ---- documents ----


def document(path: str, query: Mapping[str, Any] | None = None) -> Steps[dict[str, Any]]:
    """An answer as it is."""
    told: Document = yield Request(path, Document, query)
    return told


def correlation(correlation_id: str, part: str = "", **query: Any) -> Steps[dict[str, Any]]:
    """A correlation in short, or a part of it."""
    return (yield from document(f"/v1/correlations/{segment(correlation_id)}{part}", query))


def session(session_id: str) -> Steps[Session]:
    """A session with its contexts. Raises SessionNotFound."""
    told = yield Request(f"/v1/sessions/{segment(session_id)}", _SessionTold)
    return Session(told.id, told.data, (yield from query(session_id=session_id)))


def participants() -> Steps[list[dict[str, Any]]]:
    """The processes that use the store."""
    found = yield Request("/v1/participants", _Items)
    items: list[dict[str, Any]] = found.items
    return items


_CHECKPOINTS = "/v1/checkpoints"


def checkpoints(application: str | None, limit: int) -> Steps[list["Listed"]]:
    """The newest checkpoints, and which of them the next starts use."""
    found = yield Request(_CHECKPOINTS, _Items, {"application": application, "limit": limit})
    return [answers.checkpoint(item) for item in found.items]


def checkpoint(ref: str) -> Steps["Listed"]:
    """The checkpoint with this ref. Raises ContextNotFound, InvalidField."""
    return answers.checkpoint((yield Request(f"{_CHECKPOINTS}/{segment(ref)}", Document)))


def checkpoint_state(ref: str, participant: str) -> Steps[Any]:
    """What a participant captured. Raises ContextNotFound, InvalidField where there is no such participant."""
    found = yield Request(f"{_CHECKPOINTS}/{segment(ref)}/states/{segment(participant)}", _State)
    return found.state


def newest() -> Steps[str]:
    """Where the present begins: the newest ref, or `begin` where nothing was put."""
    found = yield Request(_EVENTS, _Items, {"limit": 1, "newest_first": True, "fields": "ref"})
    return str(found.items[0].get("ref")) if found.items else "begin"
