"""What of a store can block, for async callers: names and results as in Store.

Reading runs the same steps as Store does, with aiosqlite answering what they ask of the database. What waits for space
or for a commit runs in a thread. Put, get of a hot ref and span never block: call them on the store itself.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from shmctx import filters, lineage, sessions
from shmctx.attachment import Attachment
from shmctx.cold.aio import AsyncSqliteReader
from shmctx.cold.questions import Steps
from shmctx.context import Context
from shmctx.event import Event
from shmctx.finder import Finder
from shmctx.sessions import Session

if TYPE_CHECKING:
    from shmctx.store import Store

T = TypeVar("T")


class AsyncStore:
    """The awaitable face of a Store."""

    def __init__(self, store: "Store", attachment: Attachment) -> None:
        self._store = store
        self._attachment = attachment
        self._answered = AsyncSqliteReader(attachment.database, attachment.store_id).answered

    async def run(self, question: Callable[[Finder], Steps[T]]) -> T:
        """As Store does: ask the generation in use now, and again if it ended meanwhile."""
        while True:
            found = await self._answered(question(self._store.finder()))
            if not self._attachment.refresh():
                return found

    async def get(self, ref: str, default: Any = None) -> Any:
        """As Store.get."""
        if self._store.get_bytes(ref) is not None:
            return self._store.get(ref, default)
        context = await self.run(lambda finder: finder.find(ref))
        return default if context is None else context

    async def resolve(self, ref: str) -> Context:
        """As store[ref]. Raises ContextNotFound."""
        return await self.run(lambda finder: finder.resolve(ref))

    async def query(self, **wanted: Unpack[filters.Filters]) -> list[Context]:
        """As Store.query."""
        return await self.run(lambda finder: filters.query(finder, self._store.store_id, wanted))

    async def children(self, ref: str) -> list[Context]:
        """As Store.children."""
        return await self.run(lambda finder: lineage.children(finder, ref))

    async def ancestors(self, ref: str) -> list[Context]:
        """As Store.ancestors."""
        return await self.run(lambda finder: lineage.ancestors(finder, ref))

    async def descendants(self, ref: str, *, max_depth: int | None = None) -> list[Context]:
        """As Store.descendants."""
        return await self.run(lambda finder: lineage.descendants(finder, ref, max_depth))

    async def siblings(self, ref: str) -> list[Context]:
        """As Store.siblings."""
        return await self.run(lambda finder: lineage.siblings(finder, ref))

    async def session(self, session_id: str) -> Session:
        """As Store.session."""
        return await self.run(lambda finder: sessions.session(finder, session_id))

    async def event(self, ref: str) -> Event | None:
        """As Store.event."""
        return await self.run(lambda finder: finder.event(ref))

    async def events(self, contexts: Iterable[Context | str]) -> list[Event]:
        """As Store.events."""
        found = [context if isinstance(context, Context) else await self.resolve(context) for context in contexts]
        return await self.run(lambda finder: finder.data.events(found))

    async def put(self, event_name: str, **fields: Any) -> str:
        """As Store.put, for puts that wait: durable ones, and those that may meet a full ring."""
        return await asyncio.to_thread(self._store.put, event_name, **fields)

    async def accept(self, wire: str | Mapping[str, Any]) -> str:
        """As Store.accept."""
        return await asyncio.to_thread(self._store.accept, wire)

    async def annotate(self, ref: str, **fields: Any) -> None:
        """As Store.annotate."""
        await asyncio.to_thread(self._store.annotate, ref, **fields)

    async def pin(self, ref: str, *, durable: bool = True) -> None:
        """As Store.pin."""
        await asyncio.to_thread(self._store.pin, ref, durable=durable)

    async def unpin(self, ref: str, *, durable: bool = True) -> None:
        """As Store.unpin."""
        await asyncio.to_thread(self._store.unpin, ref, durable=durable)

    async def forget(self, ref: str, *, durable: bool = True) -> None:
        """As Store.forget."""
        await asyncio.to_thread(self._store.forget, ref, durable=durable)

    async def prune(self, older_than: float | None = None, **waiting: Any) -> dict[str, Any]:
        """As Store.prune."""
        return await asyncio.to_thread(self._store.prune, older_than, **waiting)

    async def flush(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  (as in Store)
        """As Store.flush."""
        await asyncio.to_thread(self._store.flush, timeout)

    async def close(self) -> None:
        """As Store.close."""
        await asyncio.to_thread(self._store.close)
