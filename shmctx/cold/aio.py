"""The same questions from an event loop, through aiosqlite.

Each question opens and closes its own connection: aiosqlite's worker is a thread that would keep the interpreter from
ending, and an event loop may end without a word. That costs a fraction of a millisecond beside a read from disk.
"""

import asyncio
from functools import partial
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary

import aiosqlite

from shmctx.cold.connection import SelfGated, connect, translate
from shmctx.cold.questions import FileRead, Question, Steps
from shmctx.cold.reader import POOL_SIZE, READER_PRAGMAS, STORE_ID, check_exists, check_store
from shmctx.names import SQL_FUNCTION

T = TypeVar("T")

_FORKS = 10
"""Forks in a row that may close the connection under one question, which is then asked again."""


class AsyncSqliteReader:
    """Asks a database from any event loop; a few questions at a time in each."""

    def __init__(self, path: Path, store_id: int) -> None:
        self.path = path
        self._store_id = store_id
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    async def ask(self, question: Question[T] | FileRead[T]) -> T:
        """Answer a question. Raises ColdError."""
        if isinstance(question, FileRead):
            return await asyncio.to_thread(question.run)
        turn = self._turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(POOL_SIZE))
        async with turn:
            check_exists(self.path)
            forks = 0
            while True:
                try:
                    return question.convert(await self._fetch(question))
                except aiosqlite.Error as error:
                    forks += 1
                    if forks > _FORKS or not isinstance(error, aiosqlite.ProgrammingError):
                        raise translate(error, str(self.path)) from error

    async def _fetch(self, question: Question[T]) -> list[tuple[object, ...]]:
        connecting = aiosqlite.Connection(partial(connect, self.path, SelfGated, readonly=True), iter_chunk_size=64)
        async with connecting as connection:
            for pragma in READER_PRAGMAS:
                await connection.execute(pragma)
            await connection.create_function(*SQL_FUNCTION, deterministic=True)
            async with connection.execute(STORE_ID) as cursor:
                row = await cursor.fetchone()
                check_store(self.path, None if row is None else (row[0],), self._store_id)
            async with connection.execute(question.sql, question.values) as cursor:
                return [tuple(row) for row in await cursor.fetchall()]

    async def answered(self, steps: Steps[T]) -> T:
        """Run steps to their end, asking one question after the other."""
        try:
            question = next(steps)
            while True:
                question = steps.send(await self.ask(question))
        except StopIteration as end:
            result: T = end.value
            return result
