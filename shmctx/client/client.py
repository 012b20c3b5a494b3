"""Client: the synchronous face of a gateway."""

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from shmctx.client import live, questions
from shmctx.client.address import address
from shmctx.client.exchange import Steps, segment
from shmctx.client.questions import Fields, Filters
from shmctx.client.transport import Transport
from shmctx.context import Context
from shmctx.errors import GatewayError
from shmctx.event import Event
from shmctx.sessions import Session

if TYPE_CHECKING:
    from shmctx.checkpoints.stored import Listed
    from shmctx.client.aio import AsyncClient

T = TypeVar("T")


def connect(
    url: str,
    *,
    token: str | None = None,
    token_file: str | Path | None = None,
    timeout: float = 30.0,
    patience: float = 5.0,
) -> "Client":
    """A client of the gateway at `http://HOST:PORT`, `https://HOST` or `unix:/path`. Nothing is sent yet.

    `token`, or the file that has it: what a gateway on a port wants, and one on a Unix socket does not. `timeout`:
    seconds in which the gateway has to answer. `patience`: seconds in which what it did not answer is asked again, as
    while it restarts; 0: never. Raises InvalidField; OSError for a file that cannot be read.
    """
    return Client(Transport(address(url, token, token_file), timeout, patience), patience)


class Client:
    """A store behind a gateway. Any thread may use it; a context manager. Made by `connect`.

    All methods raise GatewayUnavailable, Unauthorized, GatewayError, and what the same method of a Store raises.
    """

    def __init__(self, transport: Transport, patience: float) -> None:
        self._transport = transport
        self._patience = patience

    @property
    def url(self) -> str:
        """Where the gateway is."""
        return self._transport.address.shown

    @functools.cached_property
    def aio(self) -> "AsyncClient":
        """The same methods, awaitable."""
        from shmctx.client.aio import AsyncClient

        return AsyncClient(self)

    def run(self, steps: Steps[T]) -> T:
        """Run steps to their end."""
        return self._transport.run(steps)

    # ---- contexts ----

    def get(self, ref: str, default: Any = None, /) -> Any:
        """The context of a ref or event id, else the default."""
        return self.run(questions.get(ref, default))

    def resolve(self, ref: str) -> Context:
        """The context of a ref or event id. Raises ContextNotFound."""
        return self.run(questions.resolve(ref))

    def resolve_many(self, refs: Iterable[str]) -> dict[str, Context | None]:
        """The contexts of many refs, 100 a request; None for what is not there."""
        return self.run(questions.resolve_many(refs))

    def query(self, **wanted: Unpack[Filters]) -> list[Context]:
        """Contexts that fit all that is given, oldest first, as Store.query; `text` besides.

        Without `limit` all of them, in requests of 1,000. Raises InvalidField, ContextNotFound.
        """
        return self.run(questions.query(**wanted))

    def children(self, ref: str) -> list[Context]:
        """What a context caused directly, oldest first. Raises ContextNotFound."""
        return self.run(questions.related(ref, "children"))

    def ancestors(self, ref: str) -> list[Context]:
        """Parent, grandparent, ... Raises ContextNotFound."""
        return self.run(questions.related(ref, "ancestors"))

    def descendants(self, ref: str) -> list[Context]:
        """Everything that a context caused, oldest first. Raises ContextNotFound."""
        return self.run(questions.related(ref, "descendants"))

    def siblings(self, ref: str) -> list[Context]:
        """What the same context caused besides. Raises ContextNotFound."""
        return self.run(questions.related(ref, "siblings"))

    def newest(self) -> str:
        """Where the present begins: the newest ref, or `begin` where nothing was put yet. For `follow(since=...)`."""
        return self.run(questions.newest())

    # ---- events ----

    def event(self, ref: str) -> Event | None:
        """A context with its data; None for what is not there."""
        return self.run(questions.event(ref))

    def events(self, pattern: str | None = None, /, **wanted: Unpack[Filters]) -> list[Event]:
        """Events that fit all that is given, with their data, oldest first, as Monitor.events."""
        return self.run(questions.events(pattern, **wanted))

    def selected(
        self, fields: Fields, pattern: str | None = None, /, **wanted: Unpack[Filters]
    ) -> list[dict[str, Any]]:
        """As `events`, but of each event the fields asked for: a bundle or a list, as Monitor.query."""
        return self.run(questions.selected(pattern, fields, **wanted))

    def with_data(self, contexts: Iterable[Context]) -> list[Event]:
        """The events of contexts, in their order, read correlation by correlation."""
        return self.run(questions.with_data(contexts))

    def put(
        self, event_name: str, *, data: Mapping[str, Any] | None = None, durable: bool = False, **fields: Any
    ) -> str:
        """Store a context, with data if given, and return its ref, as Store.put; `parent` may be a foreign context too.

        There is no current context across the network: what caused it is `parent`. Raises InvalidField and whatever
        else refuses a put; ReadOnly where the gateway only reads; GatewayUnavailable, whose message says whether
        nothing was stored or that is not known.
        """
        return self.run(questions.put(event_name, {**fields, "data": data, "durable": durable or None}))

    def follow(
        self,
        pattern: str | None = None,
        /,
        *,
        since: str | None = None,
        timeout: float | None = None,
        rate: float | None = None,
        **wanted: Any,
    ) -> live.Follower:
        """The events that come and fit, to iterate: each once, also when the connection is lost and made again.

        `pattern` is `event_name`; other filters: agent_id, session_id, correlation_id, errors, text. `since`: None
        from now on, "begin" all there is, a ref what came after it. `timeout`: seconds without an event after which
        the iteration ends. `rate`: events a second; the gateway drops the rest, and `dropped` counts them.
        """
        live.require()
        named = wanted if pattern is None else {**wanted, "event_name": pattern}
        stream = self.stream({**named, "rate": rate})
        return live.Follower(stream, timeout, lambda: since or self.newest())

    def stream(self, wanted: Mapping[str, Any]) -> live.Stream:
        """What a follower of these filters reads."""
        return live.Stream(self._transport.address, wanted, self._patience)

    # ---- what belongs together ----

    def correlation(self, correlation_id: str) -> dict[str, Any]:
        """A correlation in short: count, errors, first, last (seconds), agents, roots. Raises ContextNotFound."""
        return self.run(questions.correlation(correlation_id))

    def nodes(
        self, correlation_id: str, parent: str | None = None, *, offset: int = 0, limit: int = 1000
    ) -> dict[str, Any]:
        """What a context of a correlation caused, or its roots: `items` and their `total`."""
        page = {"parent": parent, "offset": offset, "limit": limit}
        return self.run(questions.correlation(correlation_id, "/nodes", **page))

    def timeline(self, correlation_id: str, *, offset: int = 0, limit: int = 1000) -> dict[str, Any]:
        """A correlation in the order of times: `items`, `total`, `duration_ms`."""
        return self.run(questions.correlation(correlation_id, "/timeline", offset=offset, limit=limit))

    def session(self, session_id: str) -> Session:
        """The session with this id. Raises SessionNotFound."""
        return self.run(questions.session(session_id))

    def agent(self, agent_id: str) -> dict[str, Any]:
        """What an agent did lately. Raises ContextNotFound."""
        return self.run(questions.document(f"/v1/agents/{segment(agent_id)}"))

    def search(self, text: str) -> dict[str, Any]:
        """What an id is the id of: `kind` is context, correlation, session, agent or none."""
        return self.run(questions.document("/v1/search", {"id": text}))

    def checkpoints(self, application: str | None = None, *, limit: int = 20) -> list["Listed"]:
        """The newest checkpoints, of one application or of all; `limit`: 1,000 at most."""
        return self.run(questions.checkpoints(application, limit))

    def checkpoint(self, ref: str) -> "Listed":
        """The checkpoint with this ref. Raises ContextNotFound, InvalidField for what is none."""
        return self.run(questions.checkpoint(ref))

    def checkpoint_state(self, ref: str, participant: str) -> Any:
        """What a participant of a checkpoint captured. Raises ContextNotFound, InvalidField, CheckpointDamaged."""
        return self.run(questions.checkpoint_state(ref, participant))

    # ---- the store ----

    def stats(self) -> dict[str, Any]:
        """Positions, occupancy, lag, leader, counters and sizes, as Store.stats."""
        return self.run(questions.document("/v1/stats"))

    def participants(self) -> list[dict[str, Any]]:
        """The processes that use the store, as Store.participants."""
        return self.run(questions.participants())

    def health(self) -> bool:
        """Whether the store can be used and is drained. Raises GatewayUnavailable where nobody answers."""
        try:
            return bool(self.run(questions.document("/v1/health")))
        except GatewayError as error:
            if error.status == 503:
                return False
            raise

    def close(self) -> None:
        """Close idle connections. Followers go on. Idempotent."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
