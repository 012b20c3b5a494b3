"""How long does it take to tell what caused what in a correlation of 10,000 events?

What the first event caused, found and put into tree order (`store.descendants`, `analysis.chain`): in the ring
and nowhere else; drained, and still in the ring; only in the database. Once as a tree in which any of the last fifty
events may be the cause, and once as one chain of 10,000 levels, where the causes of the last event are found too.
"""

import random
import time
from collections.abc import Callable, Iterator

import shmctx
from bench import stage
from bench.harness import Options, Row, Target, alone, interleave, main, shown
from shmctx import analysis

COUNT = 10_000
SEED = 7
LIMIT = Target("at most", 0.2, "at most 200 ms")
NEAR = 50  # events among which the cause is chosen
RING = 64 * stage.MiB


def measure(options: Options) -> list[Row]:
    rounds = options.pick(7, 3)
    return [row for shape in ("tree", "chain") for row in _rows(shape, rounds)]


def _rows(shape: str, rounds: int) -> Iterator[Row]:
    with stage.Site() as site:
        site.create(RING).close()
        refs = stage.in_process(grow, site.name, shape)
        for place, reach in (("hot", None), ("drained", _drain), ("cold", _leave)):
            if reach is not None:
                reach(site)
            with shmctx.attach(site.name) as store:
                yield _row(store, refs, f"lineage of {COUNT:,} events, {shape}, {place}", rounds, deep=shape == "chain")


def grow(name: str, shape: str) -> list[str]:
    """Put one correlation; returns the refs in order."""
    dice = random.Random(SEED)
    with shmctx.attach(name) as store:
        refs = [store.put("agent:spawn", agent_id="agent_000", session={"id": "session"})]
        for number in range(1, COUNT):
            cause = refs[-1] if shape == "chain" else dice.choice(refs[-NEAR:])
            event = stage.EVENTS[number % len(stage.EVENTS)]
            refs.append(store.put(event, parent=cause, agent_id=f"agent_{number % 50:03d}"))
    return refs


def _drain(site: stage.Site) -> None:
    site.lead().close()


def _leave(site: stage.Site) -> None:
    """A new segment that begins empty, as after a reboot without rehydration."""
    shmctx.unlink(site.name)
    shmctx.open(site.name, db=site.database, settings=shmctx.Settings(rehydrate=False)).close()


def _row(store: shmctx.Store, refs: list[str], what: str, rounds: int, *, deep: bool) -> Row:
    def lineage() -> int:
        chain = analysis.chain([store[refs[0]], *store.descendants(refs[0])])
        return len(chain.nodes)

    assert lineage() == COUNT
    runs = {"lineage": lambda: seconds(lineage), "found": lambda: seconds(lambda: store.descendants(refs[0]))}
    if deep:
        runs["above"] = lambda: seconds(lambda: store.ancestors(refs[-1]))
    took = interleave(rounds, runs)
    note = f"found within {shown(took['found'], 's')}"
    if deep:
        note += f"; all ancestors of the last event {shown(took['above'], 's')}"
    return alone(what, "s", took["lineage"], LIMIT, note=note)


def seconds(call: Callable[[], object]) -> float:
    """How long a call took."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    raise SystemExit(main(["lineage"]))
