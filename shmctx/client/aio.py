"""AsyncClient: the awaitable face of a Client. Requests are asked in threads; events come over asyncio itself."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from shmctx.client import live, questions
from shmctx.client.exchange import Steps
from shmctx.client.live import Following, Stream, left
from shmctx.client.questions import Fields, Filters
from shmctx.client.transport import unavailable
from shmctx.context import Context
from shmctx.errors import ShmctxError
from shmctx.event import Event
from shmctx.sessions import Session

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from shmctx.checkpoints.stored import Listed
    from shmctx.client.client import Client

T = TypeVar("T")


class AsyncClient:
    """A Client's methods to await; they raise the same. `client.aio`."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    async def run(self, steps: Steps[T]) -> T:
        """As Client.run. A cancelled request is given up here and comes to its end in its thread."""
        return await asyncio.to_thread(self._client.run, steps)

    async def get(self, ref: str, default: Any = None, /) -> Any:
        """As Client.get."""
        return await self.run(questions.get(ref, default))

    async def resolve(self, ref: str) -> Context:
        """As Client.resolve."""
        return await self.run(questions.resolve(ref))

    async def resolve_many(self, refs: Iterable[str]) -> dict[str, Context | None]:
        """As Client.resolve_many."""
        return await self.run(questions.resolve_many(refs))

    async def query(self, **wanted: Unpack[Filters]) -> list[Context]:
        """As Client.query."""
        return await self.run(questions.query(**wanted))

    async def children(self, ref: str) -> list[Context]:
        """As Client.children."""
        return await self.run(questions.related(ref, "children"))

    async def ancestors(self, ref: str) -> list[Context]:
        """As Client.ancestors."""
        return await self.run(questions.related(ref, "ancestors"))

    async def descendants(self, ref: str) -> list[Context]:
        """As Client.descendants."""
        return await self.run(questions.related(ref, "descendants"))

    async def siblings(self, ref: str) -> list[Context]:
        """As Client.siblings."""
        return await self.run(questions.related(ref, "siblings"))

    async def event(self, ref: str) -> Event | None:
        """As Client.event."""
        return await self.run(questions.event(ref))

    async def events(self, pattern: str | None = None, /, **wanted: Unpack[Filters]) -> list[Event]:
        """As Client.events."""
        return await self.run(questions.events(pattern, **wanted))

    async def selected(
        self, fields: Fields, pattern: str | None = None, /, **wanted: Unpack[Filters]
    ) -> list[dict[str, Any]]:
        """As Client.selected."""
        return await self.run(questions.selected(pattern, fields, **wanted))

    async def put(
        self, event_name: str, *, data: Mapping[str, Any] | None = None, durable: bool = False, **fields: Any
    ) -> str:
        """As Client.put."""
        return await self.run(questions.put(event_name, {**fields, "data": data, "durable": durable or None}))

    async def correlation(self, correlation_id: str) -> dict[str, Any]:
        """As Client.correlation."""
        return await self.run(questions.correlation(correlation_id))

    async def nodes(
        self, correlation_id: str, parent: str | None = None, *, offset: int = 0, limit: int = 1000
    ) -> dict[str, Any]:
        """As Client.nodes."""
        page = {"parent": parent, "offset": offset, "limit": limit}
        return await self.run(questions.correlation(correlation_id, "/nodes", **page))

    async def timeline(self, correlation_id: str, *, offset: int = 0, limit: int = 1000) -> dict[str, Any]:
        """As Client.timeline."""
        return await self.run(questions.correlation(correlation_id, "/timeline", offset=offset, limit=limit))

    async def session(self, session_id: str) -> Session:
        """As Client.session."""
        return await self.run(questions.session(session_id))

    async def agent(self, agent_id: str) -> dict[str, Any]:
        """As Client.agent."""
        return await asyncio.to_thread(self._client.agent, agent_id)

    async def search(self, text: str) -> dict[str, Any]:
        """As Client.search."""
        return await asyncio.to_thread(self._client.search, text)

    async def checkpoints(self, application: str | None = None, *, limit: int = 20) -> list["Listed"]:
        """As Client.checkpoints."""
        return await self.run(questions.checkpoints(application, limit))

    async def checkpoint(self, ref: str) -> "Listed":
        """As Client.checkpoint."""
        return await self.run(questions.checkpoint(ref))

    async def checkpoint_state(self, ref: str, participant: str) -> Any:
        """As Client.checkpoint_state."""
        return await self.run(questions.checkpoint_state(ref, participant))

    async def participants(self) -> list[dict[str, Any]]:
        """As Client.participants."""
        return await self.run(questions.participants())

    async def stats(self) -> dict[str, Any]:
        """As Client.stats."""
        return await asyncio.to_thread(self._client.stats)

    async def health(self) -> bool:
        """As Client.health."""
        return await asyncio.to_thread(self._client.health)

    def follow(
        self,
        pattern: str | None = None,
        /,
        *,
        since: str | None = None,
        timeout: float | None = None,
        rate: float | None = None,
        **wanted: Any,
    ) -> "AsyncFollower":
        """As Client.follow, for `async for`. `since=None` is the moment of the first event asked for, or of
        `async with`."""
        live.require()
        named = wanted if pattern is None else {**wanted, "event_name": pattern}
        return AsyncFollower(self, self._client.stream({**named, "rate": rate}), timeout, since)


class AsyncFollower(Following):
    """Async iterator of Events. As Follower, for one task."""

    def __init__(self, client: AsyncClient, stream: Stream, timeout: float | None, since: str | None) -> None:
        super().__init__(stream, timeout)
        self._client = client
        stream.since = since or ""
        self._connection: ClientConnection | None = None

    async def _connected(self) -> "ClientConnection":
        from websockets.asyncio.client import connect, unix_connect

        if not self._stream.since:
            self._stream.since = await self._client.run(questions.newest())
        if self._connection is None:
            make: Any = unix_connect if self._stream.address.socket else connect
            try:
                self._connection = await make(uri=self._stream.uri(), open_timeout=10, **self._stream.options)
            except TimeoutError as error:  # not the caller's
                raise ConnectionError(str(error)) from None
        assert self._connection is not None
        return self._connection

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        stream = self._stream
        deadline = self._deadline()
        while not self._closed:
            if stream.ready:
                return stream.ready.popleft()
            if not await self._wait(deadline):
                break
        raise StopAsyncIteration

    async def _wait(self, deadline: float | None) -> bool:
        """Take one message, or make the connection again; False when the time is over."""
        try:
            connection = await self._connected()
            self._stream.received(await asyncio.wait_for(connection.recv(), left(deadline)))
        except TimeoutError:
            return False
        except ShmctxError:
            await self._drop()
            raise
        except live.failures() as error:
            await self._drop()
            if not self._closed:
                pause, rest = self._stream.refused(error), left(deadline)
                await asyncio.sleep(pause if rest is None else min(pause, rest))
                return rest is None or rest > 0
        return True

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                await connection.close()

    async def close(self) -> None:
        """End the iteration. Idempotent."""
        self._closed = True
        await self._drop()

    async def __aenter__(self) -> Self:
        try:
            await self._connected()
        except live.failures() as error:
            self._stream.refused(error)
            raise unavailable(self._stream.address, error) from None
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
