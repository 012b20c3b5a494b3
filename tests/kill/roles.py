"""What the processes do that the campaign kills: write, read, lead. Each runs until it is told to stop, or dies.

A role's own assertions are part of the campaign: a worker that ends in any way but by a signal of the supervisor, or by
being told to, fails it.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import certified
from ledger import ANNOTATION, PUT, Ack, Ledger, Region

import shmctx
from shmctx import Settings, Store
from shmctx.errors import SegmentMissing

SETTINGS = Settings(batch_records=512, idle_interval=0.1, poll_interval=0.05, log_rotate_bytes=64 << 10)


def attach(name: str, *, standby: bool = False) -> Store:
    """Attach, waiting for the first leader to make the segment."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return shmctx.attach(name, standby=standby, settings=SETTINGS)
        except SegmentMissing:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.002)


@contextmanager
def timed(took: Callable[[int], None]) -> Iterator[None]:
    started = time.monotonic_ns()
    yield
    took(time.monotonic_ns() - started)


class Writer:
    """Puts its contexts in order and writes down every answer before it goes on."""

    def __init__(self, store: Store, seed: int, region: Region) -> None:
        self._store = store
        self._seed = seed
        self._region = region

    def step(self, n: int) -> int:
        """Put the n-th context, and what hangs on it; returns the next n."""
        seed, writer, region, store = self._seed, self._region.number, self._region, self._store
        how = certified.plan(seed, writer, n)
        region.intend(n + 1)
        if how.span:
            started = time.monotonic_ns()
            with store.span(certified.name(n), **certified.fields(seed, writer, n)) as context:
                region.took_put(time.monotonic_ns() - started)
                region.acknowledge(Ack(n, context.ref, PUT))
                region.intend(n + 2)
                self._put(n + 1)
            return n + 2
        ref = self._put(n)
        if how.annotated:
            with timed(region.took_put):
                store.annotate(ref, **certified.annotation(seed, writer, n))
            region.acknowledge(Ack(n, ref, ANNOTATION))
        return n + 1

    def _put(self, n: int) -> str:
        region = self._region
        given = certified.fields(self._seed, region.number, n)
        with timed(region.took_put):
            ref = self._store.put(certified.name(n), **given)
        region.acknowledge(Ack(n, ref, PUT))
        return ref


def write(store: Store, seed: int, ledger: Ledger, region: Region) -> None:
    """Put until told to stop, mostly at full speed, sometimes after a pause."""
    chance = random.Random(f"{seed} {region.number}")
    writer, n = Writer(store, seed, region), 0
    while not ledger.stopping:
        if region.full or chance.random() < 0.05:
            time.sleep(chance.uniform(0, 0.02))
        if not region.full:
            n = writer.step(n)


def read(store: Store, seed: int, ledger: Ledger, region: Region) -> None:
    """Resolve what others were answered, the newest above all, and ask for their conversations."""
    chance = random.Random(f"{seed} {region.number}")
    while not ledger.stopping:
        other = ledger.region(max(ledger.used - 1 - int(chance.expovariate(0.2)), 0))
        count = len(other)
        if not count:
            time.sleep(0.001)
            continue
        index = count - 1 if chance.random() < 0.5 else chance.randrange(count)
        if chance.random() < 0.02:
            _query(store, seed, other, index)
        else:
            _get(store, seed, other.number, other[index], region)


def _get(store: Store, seed: int, writer: int, ack: Ack, region: Region) -> None:
    with timed(region.took_get):
        context = store.get(ack.ref)
    assert context is not None, f"{ack} of writer {writer} does not resolve"
    assert context.ref == ack.ref
    assert certified.check(context, seed) == (writer, ack.n)
    if ack.n % 4 == 0:
        certified.check_data(store.events([context])[0].data, seed, writer, ack.n)
    if ack.kind == ANNOTATION:
        assert "_outcome" in context.custom, f"{ack} of writer {writer}: the annotation is not there"
    if certified.plan(seed, writer, ack.n).alias:
        assert store[certified.event_id(seed, writer, ack.n)].ref == ack.ref


def _query(store: Store, seed: int, other: Region, index: int) -> None:
    """Everything acknowledged before the question is in the answer, once."""
    wanted = other[index].n // certified.CONVERSATION
    acked = {ack.n for ack in other if ack.n // certified.CONVERSATION == wanted}
    found = store.query(correlation_id=certified.correlation(seed, other.number, other[index].n))
    numbers = [n for writer, n in (certified.check(context, seed) for context in found) if writer == other.number]
    assert len(numbers) == len(found) == len(set(numbers))
    assert acked <= set(numbers) <= set(range(other.next)), f"writer {other.number}: {acked} were put, {numbers} found"


class Place(NamedTuple):
    """The store that a campaign is about."""

    name: str
    database: Path
    ring_size: int
    seed: int


def run(role: str, place: Place, ledger: Ledger, region: Region) -> None:
    """One worker's life. `leader` and `standby` lead when they can; `standby` and `writer` write."""
    if role == "leader":
        store = shmctx.open(place.name, db=place.database, ring_size=place.ring_size, settings=SETTINGS)
        while not ledger.stopping:
            time.sleep(0.01)
    else:
        store = attach(place.name, standby=role == "standby")
        (read if role == "reader" else write)(store, place.seed, ledger, region)
    store.close()
