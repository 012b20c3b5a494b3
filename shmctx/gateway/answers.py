"""What the routes answer: the shapes in the OpenAPI document, and pages that keep within their size."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.response.base import ASGIResponse

from shmctx.checkpoints.stored import Listed
from shmctx.gateway.errors import ErrorAnswer

Wire = dict[str, Any]
"""A context under its wire names, or the selected fields of an event."""

JSON = "application/json"
_encode = msgspec.json.encode


class Page(msgspec.Struct):
    """Some of many, and where the rest begins."""

    items: list[Wire]
    next: str | None
    """`cursor` of the page after this one; null on the last."""


class Items(msgspec.Struct):
    """All of them."""

    items: list[Wire]


class Row(msgspec.Struct):
    """One event of a correlation's tree or timeline."""

    ref: str
    event_name: str
    agent_id: str | None
    timestamp: float
    depth: int
    duration_ms: float | None
    """Of all its handlers; null where it is not known."""
    error: str | None
    """In one line."""
    children: int
    """Events of the correlation that it caused directly."""


class Moment(Row):
    """A row with its place in time."""

    start_ms: float
    """From the beginning of the correlation."""


class Rows(msgspec.Struct):
    """Some of `total` rows."""

    items: list[Row]
    total: int


class Timeline(msgspec.Struct):
    """Some of `total` rows, in the order of their times."""

    items: list[Moment]
    total: int
    duration_ms: float
    """Of the whole correlation."""


class Correlation(msgspec.Struct):
    """A correlation in short."""

    correlation_id: str
    count: int
    errors: int
    first: float
    """Seconds since 1970."""
    last: float
    agents: list[str]
    roots: list[Row]
    """The first ones, 100 at most."""


class AgentCorrelation(msgspec.Struct):
    """What an agent did in one correlation."""

    correlation_id: str
    event_name: str
    events: int
    errors: int
    first: float
    last: float


class Agent(msgspec.Struct):
    """What an agent did lately."""

    agent_id: str
    events: int
    complete: bool
    """Whether that is all it ever did, as far as the store has it."""
    first: float
    last: float
    sessions: list[str]
    correlations: list[AgentCorrelation]


class EventAnswer(msgspec.Struct):
    """One event, its data and its context."""

    ref: str
    timestamp: float
    event_name: str
    data: Wire | None
    context: Wire


class Resolved(msgspec.Struct):
    """Contexts by ref; null for what is not there."""

    contexts: dict[str, Wire | None]


class Found(msgspec.Struct, omit_defaults=True):
    """What an id is the id of."""

    kind: str
    id: str
    ref: str | None = None


class Participants(msgspec.Struct):
    """Processes that use the store."""

    items: list[Wire]


class Checkpoints(msgspec.Struct):
    """Checkpoints, newest first."""

    items: list[Listed]


class State(msgspec.Struct):
    """What one participant of a checkpoint captured."""

    state: Any


class Health(msgspec.Struct):
    """Whether the store can be used."""

    status: str


class Stored(msgspec.Struct):
    """What was put."""

    ref: str


_REFUSALS = (400, 401, 403, 404, 413, 421, 429, 503)


def documented(answer: Any, status: int = 200, *, media_type: str = JSON) -> dict[int, ResponseSpec]:
    """For a route's `responses`: what it answers, and everything that it may refuse."""
    refusal = ResponseSpec(ErrorAnswer, generate_examples=False, description="Refused.")
    answered = ResponseSpec(answer, generate_examples=False, description="Done.", media_type=media_type)
    return {status: answered, **dict.fromkeys(_REFUSALS, refusal)}


def answered(value: Any, status: int = 200) -> ASGIResponse:
    """A value as JSON."""
    return ASGIResponse(body=_encode(value), status_code=status, media_type=JSON)


def paged(items: Iterable[tuple[str, Any]], following: str | None, most: int) -> ASGIResponse:
    """A page of (cursor, item) in `most` bytes: it ends earlier where they would be more. An item that is larger by
    itself goes out alone, and whoever sends answers looks at its size."""
    size, last = 0, None
    encoded: list[bytes] = []
    for cursor, item in items:
        part = _encode(item)
        size += len(part) + 1
        if encoded and size > most - 256:
            following = last
            break
        encoded.append(part)
        last = cursor
    return ASGIResponse(
        body=b'{"items":[%b],"next":%b}' % (b",".join(encoded), _encode(following)), status_code=200, media_type=JSON
    )


def next_after(found: Sequence[Any], limit: int) -> str | None:
    """The cursor behind a page that is full: the last one's ref."""
    return found[-1].ref if len(found) == limit else None
