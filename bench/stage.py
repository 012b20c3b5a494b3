"""Where figures are taken: stores of their own, processes that write and read, contexts like real ones."""

import contextlib
import functools
import gzip
import itertools
import multiprocessing
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec

import shmctx
from bench.harness import ROOT

MiB = 1 << 20
EVENT, AGENT = "agent:status", "agent_007"

# What a KSI daemon's events are called.
EVENTS = ("agent:status", "completion:async", "completion:progress", "completion:result", "optimization:progress")
CORRELATION = 20  # contexts in one conversation of `fill`

processes = multiprocessing.get_context("spawn")


class Site:
    """A store's name and a directory for its database; both are gone when the `with` block ends."""

    def __init__(self) -> None:
        self.name = f"bench-{os.getpid()}-{secrets.token_hex(3)}"
        self.folder = Path(tempfile.mkdtemp(prefix="shmctx-bench-"))
        self.database = self.folder / "contexts.db"
        self.log = self.folder / "contexts.events"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(shmctx.SegmentMissing):
            shmctx.unlink(self.name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self, ring_size: int) -> shmctx.Store:
        """An agent's attachment to a new segment that nobody drains."""
        shmctx.open(self.name, db=self.database, ring_size=ring_size).close()
        return shmctx.attach(self.name)

    def lead(self) -> shmctx.Store:
        """Open the store in this process, which drains it from now on."""
        return shmctx.open(self.name, db=self.database)


def discard(store: shmctx.Store) -> None:
    """Let the ring forget what it holds, as if it had been drained: the next measurement has all of it."""
    ring = store._ring  # noqa: SLF001 - a leader's privilege
    ring.set_drained(ring.positions()[1])


def head(store: shmctx.Store) -> int:
    """Where the ring's next record goes, in granules of 64 bytes."""
    return int(store.stats()["positions"]["head"])


def fill(name: str, count: int) -> list[str]:
    """Put `count` contexts in conversations of CORRELATION, by 50 agents; returns the refs in order."""
    refs: list[str] = []
    with shmctx.attach(name) as store:
        for conversation in range(-(-count // CORRELATION)):
            agent = f"agent_{conversation % 50:03d}"
            with store.span("agent:spawn", agent_id=agent) as context:
                refs.append(context.ref)
                events = itertools.islice(itertools.cycle(EVENTS), min(CORRELATION, count - len(refs) + 1) - 1)
                refs += [store.put(event, agent_id=agent) for event in events]
    return refs


@functools.cache
def attached(name: str) -> shmctx.Store:
    """This process's attachment, kept from task to task: an agent attaches once, then its pages are mapped."""
    return shmctx.attach(name)


def produce(name: str, count: int, start_at: int) -> tuple[int, int]:
    """Put `count` children of one context, beginning at `start_at`; returns when it began and ended (monotonic ns)."""
    store = attached(name)
    with store.span("agent:spawn", agent_id=AGENT):
        put = store.put
        began = wait_for(start_at)
        for _ in range(count):
            put(EVENT, agent_id=AGENT)
        return began, time.monotonic_ns()


def wait_for(moment: int) -> int:
    """Sleep until a moment in monotonic ns; returns the time then."""
    while (now := time.monotonic_ns()) < moment:
        time.sleep((moment - now) / 2e9)
    return now


def until(condition: Callable[[], object], limit: float) -> None:
    """Wait until something is so. Raises TimeoutError after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {limit:g} s in vain")
        time.sleep(0.01)


def soon(seconds: float = 0.05) -> int:
    """A moment that processes can agree on, in monotonic ns: when all of them have got the message."""
    return time.monotonic_ns() + int(seconds * 1e9)


class Logged(NamedTuple):
    """One event of a log in which every event holds its context."""

    name: str
    context: dict[str, Any]
    """Under wire names."""
    data: dict[str, Any]
    """Without the context."""
    line: bytes
    """As it was logged, with its newline."""


def events_of(log: Path) -> list[Logged]:
    """Every event of a log of JSON lines, gzipped."""
    decode = msgspec.json.Decoder().decode
    found = []
    with gzip.open(log, "rb") as file:
        for line in file:
            event = decode(line)
            data = event["data"]
            found.append(Logged(event["event_name"], data.pop("_ksi_context"), data, line))
    return found


def contexts_of(log: Path) -> list[tuple[str, dict[str, Any]]]:
    """(event name, embedded context) of every event of such a log."""
    return [(event.name, event.context) for event in events_of(log)]


# ---- processes that do what they are told ----


class Crew:
    """Worker processes. Each runs one function at a time; what they return comes back in order."""

    def __init__(self, size: int) -> None:
        self._workers: list[tuple[Any, Connection]] = []
        self._size = size

    def __enter__(self) -> Self:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        for _ in range(self._size):
            ours, theirs = processes.Pipe()
            process = processes.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._workers.append((process, ours))
        self.run([(os.getpid,)] * self._size)  # until all have started
        return self

    def __exit__(self, *_: object) -> None:
        for process, connection in self._workers:
            connection.close()
            process.join(5)
            if process.is_alive():
                process.kill()

    def start(self, worker: int, task: Sequence[Any]) -> None:
        """Let one worker call task[0] with the rest of the task."""
        self._workers[worker][1].send(tuple(task))

    def result(self, worker: int, timeout: float = 120.0) -> Any:
        """What a worker's task returned. Raises TimeoutError, EOFError where it died."""
        connection = self._workers[worker][1]
        if not connection.poll(timeout):
            raise TimeoutError(f"a worker said nothing for {timeout:g} s")
        return connection.recv()

    def run(self, tasks: Sequence[Sequence[Any]]) -> list[Any]:
        """Give a task each to the first workers, and wait for all results."""
        for worker, task in enumerate(tasks):
            self.start(worker, task)
        return [self.result(worker) for worker in range(len(tasks))]

    def pid(self, worker: int) -> int:
        """The worker's process id."""
        return int(self._workers[worker][0].pid)

    def kill(self, worker: int) -> None:
        """SIGKILL, and wait until it is gone."""
        process = self._workers[worker][0]
        process.kill()
        process.join()


def _serve(connection: Connection) -> None:
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            function, *arguments = connection.recv()
            connection.send(function(*arguments))


def in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own."""
    with Crew(1) as crew:
        return crew.run([(function, *arguments)])[0]
