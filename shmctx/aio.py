"""What of a store can block, for async callers: names and results as in Store.

Reads of the database run on aiosqlite's thread, one connection per event loop; everything else delegates to the one
synchronous implementation. Put, get of hot refs and span never block: call them on the store itself.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from shmctx.context import Context

if TYPE_CHECKING:
    from shmctx.store import Store


class AsyncStore:
    """The awaitable face of a Store."""

    def __init__(self, store: "Store") -> None:
        self._store = store

    async def get(self, ref: str, default: Any = None) -> Any:
        """As Store.get. A hot ref is answered without leaving the loop's thread."""
        if self._store.get_bytes(ref) is not None:
            return self._store.get(ref, default)
        return await asyncio.to_thread(self._store.get, ref, default)

    async def resolve(self, ref: str) -> Context:
        """As store[ref]. Raises ContextNotFound."""
        return await asyncio.to_thread(self._store.resolve, ref)

    async def put(self, event_name: str, **fields: Any) -> str:
        """As Store.put, for puts that wait: durable ones, and those that may meet a full ring."""
        return await asyncio.to_thread(self._store.put, event_name, **fields)

    async def query(self, **filters: Any) -> list[Context]:
        """As Store.query."""
        return await asyncio.to_thread(lambda: self._store.query(**filters))

    async def children(self, ref: str) -> list[Context]:
        """As Store.children."""
        return await asyncio.to_thread(self._store.children, ref)

    async def ancestors(self, ref: str) -> list[Context]:
        """As Store.ancestors."""
        return await asyncio.to_thread(self._store.ancestors, ref)

    async def descendants(self, ref: str, *, max_depth: int | None = None) -> list[Context]:
        """As Store.descendants."""
        return await asyncio.to_thread(lambda: self._store.descendants(ref, max_depth=max_depth))

    async def flush(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  (as in Store)
        """As Store.flush."""
        await asyncio.to_thread(self._store.flush, timeout)

    async def close(self) -> None:
        """As Store.close."""
        await asyncio.to_thread(self._store.close)
