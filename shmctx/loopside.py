"""What a follower needs of an event loop: the database asked through it, and somebody who waits for the ring.

Nothing that a loop can wait for is signalled by a put: a futex cannot be polled, and an eventfd would need a writer in
every process. So one thread sleeps on the futex and wakes the loop.
"""

import asyncio
import contextlib
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from shmctx.cold.aio import AsyncSqliteReader
from shmctx.cold.questions import Steps
from shmctx.errors import ReadOnly
from shmctx.hot._core import Ring

T = TypeVar("T")


class LoopSide:
    """The side of one follower that faces the running event loop, with one thread.

    The thread is a daemon: an event loop may end without a word, and must not keep the interpreter from ending.
    """

    def __init__(self, database: Path, store_id: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = AsyncSqliteReader(database, store_id)
        self._asked: SimpleQueue[tuple[Ring, int, float] | None] = SimpleQueue()
        self._woken: asyncio.Future[None] | None = None
        self._ring: Ring | None = None
        threading.Thread(target=self._run, name="shmctx follow", daemon=True).start()

    def is_current(self) -> bool:
        """Whether this is a side to the loop that runs now."""
        return asyncio.get_running_loop() is self._loop

    async def answered(self, steps: Steps[T]) -> T:
        """Run steps to their end. Lets others run in between, whether or not the database had to be asked."""
        found = await self._reader.answered(steps)
        await asyncio.sleep(0)
        return found

    async def moved(self, ring: Ring, head: int, seconds: float) -> None:
        """Return when the ring's head is not `head` any more, after `seconds`, or earlier: callers look again."""
        if self._woken is None or self._woken.done():
            self._woken = self._loop.create_future()
            self._ring = ring
            self._asked.put((ring, head, seconds))
        await asyncio.shield(self._woken)  # when a caller is cancelled, the next one takes its wait over

    def _run(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed
            while (asked := self._asked.get()) is not None:
                ring, head, seconds = asked
                ring.wait_head(head, seconds)
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def stop(self) -> None:
        """Wake who waits, and let the thread end. From any thread."""
        self._asked.put(None)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake)
        if self._ring is not None:
            with contextlib.suppress(ReadOnly):
                self._ring.request_drain()
