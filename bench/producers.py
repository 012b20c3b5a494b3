"""Do several producers put more than one? The ring has room for all, and nobody drains meanwhile."""

import functools
import statistics
import time
from collections.abc import Callable

import shmctx
from bench import stage
from bench.harness import Options, Row, Target, interleave, main, versus
from bench.stage import AGENT, EVENT
from shmctx.records import encode_fields

GROUPS = {"one": 1, "two": 2, "eight": 8}


def measure(options: Options) -> list[Row]:
    count, rounds = options.pick(200_000, 80_000), options.pick(9, 4)
    with stage.Site() as site, site.create(32 * stage.MiB) as store, stage.Crew(max(GROUPS.values())) as crew:
        runs = {name: functools.partial(rate, crew, store, size, count) for name, size in GROUPS.items()}
        runs["one alone"] = functools.partial(control, crew, 1, count)
        runs["two alone"] = functools.partial(control, crew, 2, count)
        took = interleave(rounds, runs, warmup=3)
    room = statistics.median(two / one for two, one in zip(took["two alone"], took["one alone"], strict=True))
    note = f"in the same rounds two processes that share nothing did {room:.2f} x of one"
    return [
        versus("two producers together", "/s", took["two"], ("one producer", took["one"]),
               Target("at least", 1.4, "at least 1.4 x"), note=note),
        versus("eight producers together", "/s", took["eight"], ("two producers", took["two"]),
               Target("at least", 1.0, "no less than two")),
    ]  # fmt: skip


def rate(crew: stage.Crew, store: shmctx.Store, size: int, count: int) -> float:
    """Contexts a second of `size` processes that put `count` together."""
    stage.discard(store)
    return together(crew, size, count, stage.produce, store.name)


def control(crew: stage.Crew, size: int, count: int) -> float:
    """Encodings a second of `size` processes that have nothing to do with each other: what the cores can give."""
    return together(crew, size, count, encode)


def together(crew: stage.Crew, size: int, count: int, task: Callable[..., tuple[int, int]], *given: object) -> float:
    """`count` a second, from the first process's start to the last one's end."""
    start_at = stage.soon()
    spans = crew.run([(task, *given, count // size, start_at)] * size)
    return count * 1e9 / (max(ended for _, ended in spans) - min(began for began, _ in spans))


def encode(count: int, start_at: int) -> tuple[int, int]:
    """Encode `count` contexts; returns when it began and ended (monotonic ns)."""
    began = stage.wait_for(start_at)
    for _ in range(count):
        encode_fields((EVENT, 1, 2, 2, AGENT))
    return began, time.monotonic_ns()


if __name__ == "__main__":
    raise SystemExit(main(["producers"]))
