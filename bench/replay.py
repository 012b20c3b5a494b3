"""The processes of the demo: `python -m bench.replay ROLE NAME ...`. Each ends when it is killed, or the demo is."""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import shmctx
from bench.ledger import MATCH, MISMATCH, MISSING, Ledger
from bench.stage import Logged, events_of
from shmctx.events import EventRouter

AGENTS = 3
PACED_SECONDS, PACED_SHARE = 3.0, 0.7
"""The first part of the log is spread over this time; what follows is a burst, as fast as the agents can."""
LIMIT = 30.0  # seconds; only a wait that hangs reaches it
NOTES = {"_duration_ms", "_handlers"}
"""What a router adds to the context of an event that was handled."""


def agrees(context: shmctx.Context, data: object, event: Logged) -> bool:
    """Whether a context and data are the log's, field by field."""
    found = {name: value for name, value in context.to_dict().items() if name not in NOTES}
    return found == {**event.context, "_event_name": event.name} and data == event.data


def numbered(events: list[Logged]) -> dict[str, int]:
    """Each event's number in the log, by its id."""
    return {event.context["_event_id"]: number for number, event in enumerate(events)}


def daemon(name: str, database: str) -> None:
    """Open the store and drain it."""
    with shmctx.open(name, db=database):
        linger()


async def agent(name: str, log: str, path: str, number: int, *, standby: bool) -> None:
    """Emit every AGENTS-th event of the log, as it was logged: with its context inside."""
    events = events_of(Path(log))
    numbers = numbered(events)
    ledger = Ledger(Path(path), len(events))
    clock = time.perf_counter_ns
    with shmctx.attach(name, standby=standby) as store:
        router = EventRouter(store)

        @router.on("*")
        async def check(data: dict[str, Any], context: shmctx.Context) -> None:
            event = numbers[context.event_id]
            same = agrees(context, data, events[event]) and shmctx.current() is context
            ledger.handled(event, MATCH if same else MISMATCH)

        start = _begin(ledger, number)
        paced = int(len(events) * PACED_SHARE)
        for index in range(number, len(events), AGENTS):
            if index < paced:
                await _sleep_until(start + int(index / paced * PACED_SECONDS * 1e9))
            event = events[index]
            before = clock()
            results = await router.emit(event.name, {**event.data, "_ksi_context": event.context})
            ledger.acknowledge(index, results.ref, clock() - before)
        linger()


async def optimizer(name: str, log: str, path: str, number: int) -> None:
    """Follow the agents' events, ask for the context of each, and compare both with the log."""
    events = events_of(Path(log))
    numbers = numbered(events)
    ledger = Ledger(Path(path), len(events))
    clock = time.perf_counter_ns
    with shmctx.attach(name) as store:
        router = EventRouter(store)
        _begin(ledger, number)
        async for event in router.follow(since="begin"):
            before = clock()
            context = store.get(event.ref)
            took = clock() - before
            index = numbers[event.context.event_id]
            again = bool(ledger.verdict(index))
            same = context is not None and agrees(context, event.data, events[index]) and not again
            ledger.resolved(index, MISSING if context is None else MATCH if same else MISMATCH, took)


def _begin(ledger: Ledger, number: int) -> int:
    """Wait for the common start; returns when it was, in monotonic ns."""
    ledger.ready(number)
    deadline = time.monotonic() + LIMIT
    while not (start := ledger.started()):
        if time.monotonic() > deadline:
            raise TimeoutError("the demo did not start")
        time.sleep(0.002)
    return start


async def _sleep_until(moment: int) -> None:
    left = moment - time.monotonic_ns()
    if left > 0:
        await asyncio.sleep(left / 1e9)


def linger() -> None:
    """Wait to be killed, or for the end of who started this process."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.2)


def main(arguments: list[str]) -> None:
    """Play one role."""
    role, name, *rest = arguments
    if role == "daemon":
        daemon(name, rest[0])
    elif role == "optimizer":
        asyncio.run(optimizer(name, rest[0], rest[1], AGENTS))
    else:
        number = int(rest[2])
        asyncio.run(agent(name, rest[0], rest[1], number, standby=role == "standby"))


if __name__ == "__main__":
    main(sys.argv[1:])
