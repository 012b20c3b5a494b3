"""Stores for tests: closed after the test, with limits short enough to wait for, with a leader or without one.

A store without a leader is made with the public surface alone: the process that made it closes, an agent stays. It
drains when a test says so.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import shmctx
from shmctx.cold.questions import context_at
from shmctx.cold.reader import SqliteReader
from shmctx.context import Context

MiB = 1 << 20
SMALL = 4096  # bytes: 64 granules, the smallest ring
EVER = shmctx.Retention(default_days=None)
"""What a test puts with a time of its own stays, whatever the date is by now."""


def settings(**changed: Any) -> shmctx.Settings:
    short = {"put_timeout": 0.3, "attach_timeout": 0.5, "idle_interval": 0.05}
    return shmctx.Settings(**{**short, "retention": EVER, **changed})


class Stores:
    """The stores of one test, all of one name and database unless it says otherwise."""

    def __init__(self, name: str, database: Path) -> None:
        self.name = name
        self.database = database
        self.exit = contextlib.ExitStack()

    def open(self, ring_size: int = MiB, *, db: Path | None = None, name: str = "", **changed: Any) -> shmctx.Store:
        """Make or adopt the segment, and lead it (or stand by)."""
        made = shmctx.open(
            name or self.name, db=db or self.database, ring_size=ring_size, settings=settings(**changed)
        )
        return self.exit.enter_context(made)

    def attach(self, *, standby: bool = False, readonly: bool = False, **changed: Any) -> shmctx.Store:
        return self.exit.enter_context(
            shmctx.attach(self.name, standby=standby, readonly=readonly, settings=settings(**changed))
        )

    def leaderless(self, ring_size: int = MiB, **changed: Any) -> shmctx.Store:
        """An agent of a store that nobody drains."""
        shmctx.open(self.name, db=self.database, ring_size=ring_size, settings=settings()).close()
        return self.attach(**changed)

    def drain(self) -> None:
        """Lead until everything is in the database, then leave."""
        shmctx.open(self.name, db=self.database, settings=settings()).close()

    def cold(self, store: shmctx.Store, ref: str) -> Context | None:
        """What the database alone has at a ref."""
        reader = SqliteReader(self.database, store.store_id)
        try:
            return reader.ask(context_at(store[ref].position, store.store_id))
        finally:
            reader.close()

    def evict(self, store: shmctx.Store, ref: str) -> None:
        """Put until the ring has overwritten a ref. The store is small, and drained whenever it is full."""
        while store.get_bytes(ref) is not None:
            try:
                store.put("filler", _fill="x" * 64)
            except shmctx.RingFull:
                self.drain()
        assert ref in store


@pytest.fixture
def stores(segment_name: str, db: Path) -> Iterator[Stores]:
    made = Stores(segment_name, db)
    with made.exit:
        yield made


@pytest.fixture(params=["hot", "cold", "rehydrated"])
def side(request: pytest.FixtureRequest, stores: Stores) -> Callable[[shmctx.Store], shmctx.Store]:
    """`side(store)`: the same store with all its contexts in the ring, only in the database, or back in a new ring."""

    def move(store: shmctx.Store) -> shmctx.Store:
        if request.param == "hot":
            return store
        stores.drain()
        store.close()
        shmctx.unlink(stores.name)
        with shmctx.open(
            stores.name, db=stores.database, settings=settings(rehydrate=request.param == "rehydrated")
        ) as made:
            counted = made.stats()["positions"]["base"]
        assert counted > 1
        return stores.attach()

    return move
