"""How many events a second can one process emit and another one store and log, for as long as one likes?"""

import asyncio
import functools
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from bench import stage
from bench.harness import Options, Row, Target, interleave, main, versus
from bench.latency import lead
from shmctx.events import EventRouter

RING = 32 * stage.MiB
"""The default; the events take more than it, so that emitting cannot be faster than draining."""
Emitted = tuple[str, str | None, dict[str, Any], dict[str, Any]]
"""Name, agent, data; the context under wire names, for who writes it into each line."""


def measure(options: Options) -> list[Row]:
    count, rounds = options.pick(200_000, 50_000), options.pick(5, 2)
    with stage.Site() as site, stage.Crew(2) as crew:
        site.create(RING).close()
        crew.run([(lead, site.name, str(site.database))])
        took = interleave(
            rounds,
            {
                "router": lambda: crew.run([(int,), (emit, site.name, options.events, count)])[1],
                "store": lambda: crew.run([(int,), (put, site.name, options.events, count)])[1],
                "lines": lambda: crew.run([(int,), (write, site.folder / "lines.jsonl", options.events, count)])[1],
            },
        )
    peer = ("json.dumps with the context inside, one flush a line", took["lines"])
    note = (
        f"{count:,} events through a ring of {RING // stage.MiB} MiB, from the first to the commit of the last; "
        "another process drains; every event is then in the log"
    )
    bound = Target("at least", 1, "at least 1 x")
    return [
        versus("router.emit, events a second, stored and logged", "/s", took["router"], peer, bound, note=note),
        versus("store.put with data, the same", "/s", took["store"], peer, bound),
    ]


@functools.cache
def events_of(log: Path) -> list[Emitted]:
    """The events of a log, as a live application has them: the store makes the ids."""
    return [(event.name, event.context.get("_agent_id"), event.data, event.context) for event in stage.events_of(log)]


def some(log: Path, count: int) -> Sequence[Emitted]:
    """So many events, as often the same as need be."""
    return list(itertools.islice(itertools.cycle(events_of(log)), count))


def emit(name: str, log: Path, count: int) -> float:
    """Events a second through a router without handlers of its own."""
    store, events = stage.attached(name), some(log, count)
    router = EventRouter(store)

    async def run() -> float:
        start = time.perf_counter()
        with store.span("agent:spawn"):
            for event_name, agent, data, _ in events:
                await router.emit(event_name, data, agent_id=agent)
        store.flush(timeout=120)
        return count / (time.perf_counter() - start)

    return asyncio.run(run())


def put(name: str, log: Path, count: int) -> float:
    """Events a second without a router."""
    store, events = stage.attached(name), some(log, count)
    start = time.perf_counter()
    with store.span("agent:spawn"):
        for event_name, agent, data, _ in events:
            store.put(event_name, agent_id=agent, data=data)
    store.flush(timeout=120)
    return count / (time.perf_counter() - start)


def write(path: Path, log: Path, count: int) -> float:
    """Lines a second. The contexts are there already; only what goes into the line is made."""
    events = some(log, count)
    with path.open("a") as file:
        start = time.perf_counter()
        for event_name, _, data, context in events:
            write_line(file, event_name, data, context)
        return count / (time.perf_counter() - start)


def write_line(file: TextIO, event_name: str, data: dict[str, Any], context: dict[str, Any]) -> None:
    """One event, as it was logged before there were refs."""
    event = {"timestamp": time.time(), "event_name": event_name, "data": {**data, "_ksi_context": context}}
    file.write(json.dumps(event) + "\n")
    file.flush()


if __name__ == "__main__":
    raise SystemExit(main(["sustain"]))
