"""What does it cost to put a child context: inherit, encode, publish, return the ref?"""

import contextlib
import importlib.util
import time
from pathlib import Path
from typing import Self

import shmctx
from bench import stage
from bench.harness import (
    Options,
    Row,
    Target,
    alone,
    call_ns,
    faster_at_least,
    interleave,
    main,
    missing,
    net_ns,
    versus,
)
from bench.stage import AGENT, EVENT
from shmctx.records import encode_fields

ANCESTOR = 727_000
"""Contexts a second in one process: what the ancestor of this store claimed."""


def measure(options: Options) -> list[Row]:
    ours, theirs, rounds = options.pick(100_000, 50_000), options.pick(20_000, 10_000), options.pick(9, 3)
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(stage.Site())
        store = stack.enter_context(site.create(32 * stage.MiB))
        stack.enter_context(store.span("agent:spawn", agent_id=AGENT))
        runs = {"put": lambda: puts(store, ours)}
        if importlib.util.find_spec("lmdb"):
            peer = stack.enter_context(LmdbPeer(site.folder))
            runs["lmdb"] = lambda: call_ns(peer.put, [AGENT] * theirs)
        took = interleave(rounds, runs, warmup=3)  # a lap of the ring: its pages are mapped then, as an agent's are
    what, name, target = "put(name, agent_id=...)", "LMDB, one transaction per put, sync=False", faster_at_least(3)
    note = "child of a span; LMDB's side encodes the same fields"
    rate = [1e9 / ns for ns in took["put"]]
    return [
        versus(what, "ns", took["put"], (name, took["lmdb"]), target, note=note)
        if "lmdb" in took
        else missing(what, "ns", took["put"], name, target),
        alone(f"{what} in one process", "/s", rate, Target("at least", ANCESTOR, f"at least {ANCESTOR:,}/s")),
    ]


def puts(store: shmctx.Store, count: int) -> float:
    """Ns per put of a child of the current context."""
    stage.discard(store)
    put, clock = store.put, time.perf_counter_ns
    start = clock()
    for _ in range(count):
        pass
    empty = clock() - start
    start = clock()
    for _ in range(count):
        put(EVENT, agent_id=AGENT)
    return net_ns(clock() - start, empty, count)


class LmdbPeer:
    """The same context in LMDB, under a key of 8 bytes that grows."""

    def __init__(self, folder: Path) -> None:
        import lmdb

        self._env = lmdb.open(str(folder / "lmdb"), map_size=256 * stage.MiB, sync=False)
        self._next = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._env.close()

    def put(self, agent: str) -> bytes:
        """Encode and store; returns the key."""
        self._next += 2
        key = self._next.to_bytes(8, "big")
        payload = encode_fields((EVENT, 1, 2, 2, agent))
        with self._env.begin(write=True) as transaction:
            transaction.put(key, payload)
        return key


if __name__ == "__main__":
    raise SystemExit(main(["put"]))
