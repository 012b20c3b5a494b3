"""Do several producers put more than one? The ring has room for all, and nobody drains meanwhile."""

import shmctx
from bench import stage
from bench.harness import Options, Row, Target, interleave, main, versus

GROUPS = {"one": 1, "two": 2, "eight": 8}


def measure(options: Options) -> list[Row]:
    count, rounds = options.pick(200_000, 80_000), options.pick(9, 4)
    with stage.Site() as site, site.create(32 * stage.MiB) as store, stage.Crew(max(GROUPS.values())) as crew:
        took = interleave(
            rounds,
            {name: lambda size=size: rate(crew, store, size, count) for name, size in GROUPS.items()},
            warmup=3,
        )
    return [
        versus("two producers together", "/s", took["two"], ("one producer", took["one"]),
               Target("at least", 1.4, "at least 1.4 x")),
        versus("eight producers together", "/s", took["eight"], ("two producers", took["two"]),
               Target("at least", 1.0, "no less than two")),
    ]  # fmt: skip


def rate(crew: stage.Crew, store: shmctx.Store, size: int, count: int) -> float:
    """Contexts a second of `size` processes that put `count` together, from the first's start to the last's end."""
    stage.discard(store)
    start_at = stage.soon()
    spans = crew.run([(stage.produce, store.name, count // size, start_at)] * size)
    seconds = (max(ended for _, ended in spans) - min(began for began, _ in spans)) / 1e9
    return count / seconds


if __name__ == "__main__":
    raise SystemExit(main(["producers"]))
