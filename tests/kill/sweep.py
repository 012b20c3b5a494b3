"""The supervisor of a sweep: the same piece of work again and again, killed at its first system call, then at its
second, and so on until it comes to its end; after each death a survivor must find everything.
`changing`: only calls that change something for others, and of these every second, the first or the next by the seed.

    python sweep.py SCENARIO NAME DATABASE SEED (changing | everything)

Prints one JSON object.
"""

import collections
import json
import os
import re
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import lines
import msgspec
import oracle
import roles
import tracer
from ledger import PUT, Ledger

import shmctx
from shmctx import attachment as attachments
from shmctx.drain.election import Election
from shmctx.drain.leader import Leader
from shmctx.drain.recover import Outcome, recover
from shmctx.hot.segment import path_of

SETTINGS = msgspec.structs.replace(roles.SETTINGS, log_rotate_bytes=1500)
"""Each batch rotates the event log, and what follows compresses it."""
RING_SIZE = 32 << 10
OLD, NEW = 40, 24
"""Contexts that the database has already, and those that it lacks."""

Work = Callable[[], object]


class Bench:
    """One store in one state, made again before every run."""

    def __init__(self, name: str, database: Path, seed: int) -> None:
        self.name = name
        self.database = database
        self._seed = seed
        self._ledger = Ledger(database.with_suffix(".ledger"), 1)
        self._files = [path_of(name), *(Path(f"{database}{end}") for end in ("", "-wal", "-shm"))]
        self._copies = [database.with_suffix(f".copy{number}") for number, _ in enumerate(self._files)]
        self._log = database.with_suffix(".events")
        self._log_copy = database.with_suffix(".events-copy")
        in_child(self._prepare)
        for file, copy in zip(self._files, self._copies, strict=True):
            if file.exists():
                shutil.copyfile(file, copy)
        shutil.copytree(self._log, self._log_copy, symlinks=True)
        self.restore()

    def _prepare(self) -> None:
        """A leader that died while it led, and an agent that died with records undrained."""
        with shmctx.open(self.name, db=self.database, ring_size=RING_SIZE, settings=SETTINGS) as store:
            writer = roles.Writer(store, self._seed, self._ledger.take())
            n = 0
            while n < OLD:
                n = writer.step(n)
            store.flush()
        # The database is at rest; now one that leads and dies, so that its log and its index stay behind.
        leader, election = self._leader()
        assert election.try_win()
        leader.take_over()
        writer = roles.Writer(shmctx.attach(self.name), self._seed, self._ledger.region(0))
        while n < OLD + NEW:
            n = writer.step(n)

    def restore(self) -> None:
        for file, copy in zip(self._files, self._copies, strict=True):
            file.unlink(missing_ok=True)
            if copy.exists():
                shutil.copyfile(copy, file)
                file.chmod(0o600)
        shutil.rmtree(self._log, ignore_errors=True)
        shutil.copytree(self._log_copy, self._log, symlinks=True)

    def hot(self) -> None:
        """Assert that every ref can be read, from the ring or the database, before anybody repairs anything."""
        with shmctx.attach(self.name) as store:
            oracle.resolves(store, self._seed, self._ledger.region(0))

    def survive(self, *, by_recovery: bool) -> None:
        """Let a survivor bring the database up to date, and assert that it has everything once."""
        if by_recovery:
            report = recover(self.name, self.database)
            assert report.outcome is Outcome.NOTHING_LOST, report.message
        else:
            with shmctx.open(self.name, db=self.database, settings=SETTINGS) as store:
                store.flush()
        oracle.whole(self.database)
        lines.check(self.database)

    def contents(self) -> list[Any]:
        """Everything that the database says about contexts, sessions and annotations, and the log about events."""
        with oracle.reading(self.database) as db:
            tables = ("context", "session", "annotation")
            rows = [db.execute(f"SELECT * FROM {table} ORDER BY position").fetchall() for table in tables]
        contexts = [row[:-2] for row in rows[0]]  # without the place in the log, which depends on who rotates it
        return [contexts, *rows[1:], list(lines.written(self._log).values())]

    def complete(self) -> None:
        """Assert that what was acknowledged is stored, each once."""
        acked = [oracle.position(ack.ref) for ack in self._ledger.region(0) if ack.kind == PUT]
        with oracle.reading(self.database) as db:
            assert [row[0] for row in db.execute("SELECT position FROM record ORDER BY position")] == acked

    # ---- the work ----

    def drain(self) -> Work:
        """One batch of a leader that leads already, and its checkpoint."""
        leader, election = self._leader()
        assert election.try_win()
        leader.take_over()
        return leader.run

    def takeover(self) -> Work:
        """A standby's change to leader after the death of the old one: election, epoch, batch, end."""
        leader, election = self._leader()

        def work() -> None:
            assert election.try_win()
            leader.run()
            leader.close()
            election.resign()

        return work

    def recovery(self) -> Work:
        return lambda: recover(self.name, self.database)

    def adoption(self) -> Work:
        """A daemon that starts, finds the dead one's segment, drains it and ends."""
        return lambda: shmctx.open(self.name, db=self.database, settings=SETTINGS).close()

    def creation(self) -> Work:
        """A daemon that starts after the machine has: no segment, an old database."""
        path_of(self.name).unlink()
        return self.adoption()

    def _leader(self) -> tuple[Leader, Election]:
        stop, election = threading.Event(), Election(self.database)
        stop.set()  # drain what is there, then come back
        return Leader(attachments.attach(self.name, SETTINGS), election, SETTINGS, stop), election


def in_child(work: Work) -> None:
    pid = os.fork()
    if pid == 0:
        _leave_after(work)
    assert os.waitpid(pid, 0)[1] == 0


def _leave_after(work: Work) -> NoReturn:
    """In a child: end as if killed, with nothing tidied up."""
    code = 1
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - nothing may leave the child but its exit code
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


def run(prepare: Callable[[], Work], *options: str) -> int:
    """Do the work in a child under strace; returns its wait status. It is traced from the work's first call on."""
    ready, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:

        def child() -> None:
            tracer.allow_tracing()
            work = prepare()
            os.write(ready[1], b"r")
            os.read(go[0], 1)
            work()

        _leave_after(child)
    assert os.read(ready[0], 1) == b"r"
    strace = tracer.attach(pid, *options)
    os.write(go[1], b"g")
    status = os.waitpid(pid, 0)[1]
    tracer.detach(strace)
    for end in (*ready, *go):
        os.close(end)
    return status


def points(bench: Bench, scenario: str, *, everything: bool) -> list[tuple[str, int]]:
    """The system calls of an undisturbed run, in order, each once: (name, which call of that name in its thread)."""
    bench.restore()
    trace = bench.database.with_suffix(".trace")
    calls = "all" if everything else tracer.CHANGING
    status = run(getattr(bench, scenario), "-e", f"trace={calls}", "-o", str(trace))
    assert status == 0, f"{scenario} fails even undisturbed: {status}"
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    found: dict[tuple[str, int], None] = {}
    for thread, name, arguments in re.findall(r"^(\d+) +(\w+)\((.*)", trace.read_text(), re.MULTILINE):
        counts[thread, name] += 1
        if everything or _outlives(name, arguments, counts[thread, name]):
            found[name, counts[thread, name]] = None
    return [*found]


def _outlives(name: str, arguments: str, number: int) -> bool:
    """Whether a call may change what others find. Locks die with their process, so some of them are enough."""
    if name == "openat":
        return "O_CREAT" in arguments
    return name != "fcntl" or number % 4 == 1


def sweep(bench: Bench, scenario: str, calls: list[tuple[str, int]]) -> dict[str, int]:
    """Kill at each of these calls in turn. Returns the kills by system call, and how many runs came to their end
    instead because a thread or the rest of the machine did something else this time (`missed`)."""
    reference = _reference(bench, scenario)
    kills: collections.Counter[str] = collections.Counter()
    for name, number in calls:
        bench.restore()
        inject = ("-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={number}", "-o", os.devnull)
        status = run(getattr(bench, scenario), *inject)
        assert status in (0, signal.SIGKILL), f"{scenario} ended with {status} at {name} {number}"
        kills["missed" if status == 0 else name] += 1
        try:
            if scenario != "creation":
                bench.hot()
            # Where there is no segment yet, a recovery has nothing to read.
            bench.survive(by_recovery=scenario != "creation" and kills.total() % 2 == 1)
            assert bench.contents() == reference
        except BaseException:
            print(f"{scenario} was killed at {name} {number}", file=sys.stderr)
            raise
    return kills


def _reference(bench: Bench, scenario: str) -> list[Any]:
    """The database's contents after the same work without a kill."""
    if scenario != "creation":
        bench.survive(by_recovery=False)
        bench.complete()
    return bench.contents()


def main(scenario: str, name: str, database: str, seed: str, extent: str) -> None:
    bench = Bench(name, Path(database), int(seed))
    everything = extent == "everything"
    calls = points(bench, scenario, everything=everything)
    print(json.dumps(sweep(bench, scenario, calls if everything else calls[int(seed) % 2 :: 2])))


if __name__ == "__main__":
    main(*sys.argv[1:])
