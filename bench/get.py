"""What does it cost to turn a ref back into a context that another process put?"""

import random
from collections.abc import Sequence

import shmctx
from bench import stage
from bench.harness import Options, Row, call_ns, interleave, lookup_ns, main, slower_at_most, versus
from shmctx.records import decode_context

SEED = 20


def measure(options: Options) -> list[Row]:
    count, rounds = 100_000, options.pick(9, 3)
    with stage.Site() as site:
        site.create(32 * stage.MiB).close()
        refs = stage.in_process(stage.fill, site.name, count)
        with shmctx.attach(site.name) as store:
            random.Random(SEED).shuffle(refs)
            known = {ref: store.get_bytes(ref) for ref in sorted(refs)}
            return _rows(store, known, refs, rounds)


def fresh(refs: Sequence[str]) -> list[str]:
    """Equal strings in new objects, as a message brings them: neither identity nor a hash computed before helps."""
    return [bytes(ref, "ascii").decode() for ref in refs]


def _rows(store: shmctx.Store, known: dict[str, bytes], refs: list[str], rounds: int) -> list[Row]:
    keys = fresh(refs)
    payloads = [known[key] for key in keys]
    took = interleave(
        rounds,
        {
            "bytes": lambda: call_ns(store.get_bytes, fresh(refs)),
            "dict": lambda: lookup_ns(known, fresh(refs)),
            "bytes again": lambda: call_ns(store.get_bytes, keys),
            "dict again": lambda: lookup_ns(known, keys),
            "get": lambda: call_ns(store.get, keys),
            "decode": lambda: call_ns(decode_context, payloads),
        },
    )
    same = "dict, same keys in the same order"
    cached = "the dict is spared the hashing of its keys, which a ref that arrives in a message needs"
    decode = ("bare msgspec decode", took["decode"])
    return [
        versus("get_bytes(ref), new string", "ns", took["bytes"], (same, took["dict"]), slower_at_most(1.0)),
        versus("get_bytes(ref), hash cached", "ns", took["bytes again"], (same, took["dict again"]),
               slower_at_most(1.0), note=cached),
        versus("get(ref) -> Context", "ns", took["get"], decode, slower_at_most(1.3)),
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main(["get"]))
