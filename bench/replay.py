"""The processes of the demo: `python -m bench.replay ROLE NAME ...`. Each ends when it is killed, or the demo is."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import shmctx
from bench.ledger import MATCH, MISMATCH, MISSING, Ledger
from bench.stage import contexts_of

AGENTS = 3
PACED_SECONDS, PACED_SHARE = 3.0, 0.7
"""The first part of the log is spread over this time; what follows is a burst, as fast as the agents can."""
LIMIT = 30.0  # seconds; only a wait that hangs reaches it


def source(event_name: str, wire: dict[str, Any]) -> dict[str, Any]:
    """What to_dict() of an event's context must give."""
    return {**wire, "_event_name": event_name}


def daemon(name: str, database: str) -> None:
    """Open the store and drain it."""
    with shmctx.open(name, db=database):
        linger()


def agent(name: str, log: str, path: str, number: int, *, standby: bool) -> None:
    """Put every AGENTS-th context of the log, with its own ids."""
    events = contexts_of(Path(log))
    ledger = Ledger(Path(path), len(events))
    clock = time.perf_counter_ns
    with shmctx.attach(name, standby=standby) as store:
        start = _begin(ledger, number)
        paced = int(len(events) * PACED_SHARE)
        for event in range(number, len(events), AGENTS):
            if event < paced:
                _sleep_until(start + int(event / paced * PACED_SECONDS * 1e9))
            event_name, wire = events[event]
            before = clock()
            ref = store.put(event_name, **wire)
            ledger.acknowledge(event, ref, clock() - before)
        linger()


def optimizer(name: str, log: str, path: str, number: int) -> None:
    """Resolve the refs of the agents as they appear, and compare each context with the log."""
    events = contexts_of(Path(log))
    ledger = Ledger(Path(path), len(events))
    clock = time.perf_counter_ns
    waiting = set(range(len(events)))
    with shmctx.attach(name) as store:
        _begin(ledger, number)
        parent = os.getppid()
        while waiting and os.getppid() == parent:
            found = [(event, ref) for event in sorted(waiting) if (ref := ledger.ref(event))]
            for event, ref in found:
                before = clock()
                context = store.get(ref)
                took = clock() - before
                waiting.discard(event)
                same = context is not None and context.to_dict() == source(*events[event])
                ledger.resolved(event, MISSING if context is None else MATCH if same else MISMATCH, took)
            if not found:
                time.sleep(0.002)
        linger()


def _begin(ledger: Ledger, number: int) -> int:
    """Wait for the common start; returns when it was, in monotonic ns."""
    ledger.ready(number)
    deadline = time.monotonic() + LIMIT
    while not (start := ledger.started()):
        if time.monotonic() > deadline:
            raise TimeoutError("the demo did not start")
        time.sleep(0.002)
    return start


def _sleep_until(moment: int) -> None:
    left = moment - time.monotonic_ns()
    if left > 0:
        time.sleep(left / 1e9)


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
        optimizer(name, rest[0], rest[1], AGENTS)
    else:
        number = int(rest[2])
        agent(name, rest[0], rest[1], number, standby=role == "standby")


if __name__ == "__main__":
    main(sys.argv[1:])
