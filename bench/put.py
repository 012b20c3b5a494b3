"""What does it cost to put a child context: inherit, encode, publish, return the ref?"""

import time

import lmdb

import shmctx
from bench import stage
from bench.harness import Options, Row, Target, alone, call_ns, faster_at_least, interleave, main, net_ns, versus
from bench.stage import AGENT, EVENT
from shmctx.records import encode_fields

ANCESTOR = 727_000
"""Contexts a second in one process: what the ancestor of this store claimed."""


def measure(options: Options) -> list[Row]:
    ours, theirs, rounds = options.pick(100_000, 50_000), options.pick(20_000, 10_000), options.pick(9, 3)
    with (
        stage.Site() as site,
        site.create(32 * stage.MiB) as store,
        lmdb.open(str(site.folder / "lmdb"), map_size=256 * stage.MiB, sync=False) as env,
        store.span("agent:spawn", agent_id=AGENT),
    ):
        peer = LmdbPeer(env)
        took = interleave(
            rounds, {"put": lambda: _puts(store, ours), "lmdb": lambda: call_ns(peer.put, [AGENT] * theirs)}, warmup=3
        )
    rate = [1e9 / ns for ns in took["put"]]
    target = Target("at least", ANCESTOR, f"at least {ANCESTOR:,}/s")
    return [
        versus(
            "put(name, agent_id=...)", "ns", took["put"], ("LMDB, one transaction per put, sync=False", took["lmdb"]),
            faster_at_least(3), note="child of a span; LMDB's side encodes the same fields",
        ),
        alone("put(name, agent_id=...) in one process", "/s", rate, target),
    ]  # fmt: skip


def _puts(store: shmctx.Store, count: int) -> float:
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

    def __init__(self, env: lmdb.Environment) -> None:
        self._env = env
        self._next = 0

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
