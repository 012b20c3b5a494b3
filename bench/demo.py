"""The main job on real input: agents emit, others follow, everybody is killed, nothing is lost.

`python -m bench.demo [--events FILE]` replays a log of a KSI event router. A daemon drains; three agents emit the
events, each its share, with their own ids, through an EventRouter that calls a handler for each; an optimizer follows
them and resolves their refs while they are made. The daemon is killed with SIGKILL on the way and an agent takes over;
in the middle of a burst everybody is killed. Then the segment is recovered, a fresh store is opened on the database
alone, and every context, its data and its line in the event log are compared with their source.

Exits 0 if nothing was lost, nothing differs and nothing is there twice, 1 otherwise.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

import shmctx
from bench.harness import ROOT, SAMPLE, call_ns, shown
from bench.ledger import MATCH, Ledger
from bench.replay import AGENTS, LIMIT, PACED_SHARE, agrees, numbered
from bench.stage import Logged, MiB, Site, events_of
from shmctx.drain.recover import Report, recover
from shmctx.log.reader import LogReader

KILL_DAEMON, KILL_ALL = 0.35, 0.85
"""When, in shares of the log that were put."""
RING_SIZE = 32 * MiB

Events = list[Logged]


class Failure(Exception):
    """A process of the demo ended by itself, or something did not happen in time."""


class Cast:
    """The processes of the demo, by name. Those that still run at the end of the `with` block are killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._killed: set[str] = set()

    def __enter__(self) -> "Cast":  # noqa: PYI034 - never subclassed
        return self

    def __exit__(self, *_: object) -> None:
        self.kill(*self._processes)

    def start(self, label: str, does: str, *arguments: object) -> None:
        """Start `python -m bench.replay` with these arguments, and introduce it."""
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        with self._errors(label).open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.replay", *map(str, arguments)],
                env=os.environ | {"PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stderr=errors,
            )
        self._processes[label] = process
        print(f"  {label:<10} pid {process.pid:<8} {does}")

    def kill(self, *labels: str) -> None:
        """SIGKILL all of them at once, then wait until they are gone."""
        for label in labels:
            self._killed.add(label)
            self._processes[label].kill()
        for label in labels:
            self._processes[label].wait(LIMIT)

    def name_of(self, pid: int) -> str:
        """The label of a process."""
        return next((label for label, process in self._processes.items() if process.pid == pid), "another process")

    def wait_until(self, condition: Callable[[], object], pause: float) -> None:
        """Wait for a condition. Raises Failure after LIMIT seconds, or when somebody ends who was not killed."""
        deadline = time.monotonic() + LIMIT
        while not condition():
            for label, process in self._processes.items():
                if process.poll() is not None and label not in self._killed:
                    raise Failure(f"{label} ended by itself:\n{self._errors(label).read_text()}")
            if time.monotonic() > deadline:
                raise Failure(f"waited {LIMIT:g} s in vain")
            time.sleep(pause)

    def _errors(self, label: str) -> Path:
        return self._folder / f"{label.replace(' ', '-')}.err"


class Verdict(msgspec.Struct):
    """What the comparison of the database with the source found."""

    put: int = 0
    lost: int = 0
    mismatches: int = 0
    unacknowledged: int = 0
    """Contexts that are stored although their put had not returned yet when the process was killed."""
    twice: int = 0
    lines: int = 0
    misplaced: int = 0
    """Lines too many or too few for a stored event, and lines that are not its own."""
    get_ns: float = 0.0


def main() -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(description="Agents, kills, a failover and a recovery on a real event log.")
    parser.add_argument("--events", type=Path, default=SAMPLE, metavar="FILE", help="event log, JSON lines, gzip")
    log = parser.parse_args().events
    events = events_of(log)
    print(f"{len(events):,} events of a KSI event router, replayed by {AGENTS + 2} processes\n")
    with Site() as site:
        ledger = Ledger(site.folder / "ledger", len(events))
        try:
            failover, story = play(site, log, events, ledger)
            report = revive(site, story)
            verdict = compare(site, events, ledger, story)
        except Failure as failure:
            print(f"\nThe demo failed: {failure}", file=sys.stderr)
            return 1
        sound = summary(events, ledger, report, verdict, failover)
        ledger.close()
    return 0 if sound else 1


class Story:
    """Tells what happens, with the seconds since the start."""

    def __init__(self, start: int) -> None:
        self._start = start

    def tell(self, text: str) -> None:
        """Print one line."""
        print(f"  {(time.monotonic_ns() - self._start) / 1e9:5.2f} s  {text}", flush=True)


def play(site: Site, log: Path, events: Events, ledger: Ledger) -> tuple[float, Story]:
    """Start everybody, kill the daemon, then all. Returns the seconds of the failover."""
    path = site.folder / "ledger"
    shmctx.open(site.name, db=site.database, ring_size=RING_SIZE).close()
    with Cast(site.folder) as cast, shmctx.attach(site.name) as watcher:
        cast.start("daemon", "drains the ring to SQLite", "daemon", site.name, site.database)
        cast.wait_until(lambda: (watcher.stats()["leader"] or {}).get("alive"), 0.01)
        for number in range(AGENTS):
            role = "agent" if number == AGENTS - 1 else "standby"
            does = "emits a third of the events" + (", ready to lead" if role == "standby" else "")
            cast.start(f"agent {number + 1}", does, role, site.name, log.absolute(), path, number)
        cast.start("optimizer", "follows the agents, resolves their refs", "optimizer", site.name, log.absolute(), path)
        cast.wait_until(lambda: ledger.all_ready(AGENTS + 1), 0.01)
        print()
        story = Story(ledger.start())
        story.tell("the agents begin")
        failover = kill_daemon(cast, watcher, ledger, story, int(KILL_DAEMON * len(events)))
        cast.wait_until(lambda: ledger.acknowledged() >= KILL_ALL * len(events), 0.0002)
        cast.kill(*(f"agent {number + 1}" for number in range(AGENTS)), "optimizer")
        story.tell(f"kill -9 of everybody, in the middle of a burst: {ledger.acknowledged():,} events emitted")
    return failover, story


def kill_daemon(cast: Cast, watcher: shmctx.Store, ledger: Ledger, story: Story, when: int) -> float:
    """Kill the leader when `when` contexts are put; seconds until all of them are in the database."""
    cast.wait_until(lambda: ledger.acknowledged() >= when, 0.001)
    start = time.perf_counter()
    cast.kill("daemon")
    story.tell(f"kill -9 of the daemon, {ledger.acknowledged():,} events emitted")
    watcher.flush(timeout=LIMIT)
    took = time.perf_counter() - start
    leader = watcher.stats()["leader"]["pid"]
    story.tell(f"{cast.name_of(leader)} leads; {took * 1000:.0f} ms after the kill all of them are in the database")
    return took


def revive(site: Site, story: Story) -> Report:
    """Replay what the dead left in the segment, and remove it: the database is all that is left."""
    report = recover(site.name, site.database)
    story.tell(f"recovery in {report.seconds * 1000:.0f} ms: {report.message}")
    shmctx.unlink(site.name)
    return report


def compare(site: Site, events: Events, ledger: Ledger, story: Story) -> Verdict:
    """Open a fresh store and hold every event against the log, field by field."""
    verdict = Verdict()
    numbers = numbered(events)
    handed_out = {ref: number for number in range(len(events)) if (ref := ledger.ref(number))}
    refs = list(handed_out)
    with shmctx.open(site.name, db=site.database, ring_size=RING_SIZE) as store:
        story.tell("a fresh store is open, filled from the database")
        verdict.put = len(refs)
        verdict.lost = sum(store.get(ref) is None for ref in refs)
        stored = store.events(store)
        for event in stored:
            number = numbers.get(event.context.event_id)
            verdict.unacknowledged += event.ref not in handed_out
            same = number is not None and agrees(event.context, event.data, events[number])
            verdict.mismatches += not same or handed_out.get(event.ref, number) != number
        verdict.twice = len(stored) - len({event.context.event_id for event in stored})
        verdict.lines, verdict.misplaced = compare_log(site, {event.ref: event.to_dict() for event in stored})
        verdict.get_ns = call_ns(store.get, random.Random(1).choices(refs, k=50_000))
        story.tell("every context, its data and its line in the log compared with their source, field by field")
    return verdict


def compare_log(site: Site, stored: dict[str, dict[str, object]]) -> tuple[int, int]:
    """How many lines the event log has, and how many of them are not exactly the one of a stored event."""
    reader = LogReader(site.log)
    lines = [msgspec.json.decode(line) for segment in reader.segments() for _, line in reader.scan(segment.number)]
    own = {line["ref"] for line in lines if stored.get(line["ref"]) == line}
    return len(lines), len(lines) - len(own) + len(stored) - len(own)


def median(times: list[int]) -> str:
    """The median of some ns, for people."""
    return shown([statistics.median(times)], "ns") if times else "-"


def summary(events: Events, ledger: Ledger, report: Report, verdict: Verdict, failover: float) -> bool:
    """Print the figures; True if nothing was lost and nothing differs."""
    numbers = [number for number in range(len(events)) if ledger.ref(number)]
    read = [number for number in numbers if ledger.verdict(number)]
    wrong = sum(ledger.verdict(number) != MATCH for number in read)
    wrong_in_handlers = sum(ledger.handler_verdict(number) != MATCH for number in numbers)
    paced = int(len(events) * PACED_SHARE)
    puts = [ledger.put_ns(number) for number in numbers if number >= paced]
    woken = [ledger.put_ns(number) for number in numbers if number < paced]
    gets = [ledger.read_ns(number) for number in read]
    in_flight = f"{verdict.unacknowledged} more were in flight, and are whole"
    lines = [
        ("events emitted", f"{verdict.put:,}", in_flight if verdict.unacknowledged else ""),
        ("recovered", f"{report.contexts:,}", "from the segment of the dead, with their sessions"),
        ("lost", f"{verdict.lost:,}", ""),
        ("mismatches against the source", f"{verdict.mismatches:,}", "in contexts and data"),
        ("stored twice", f"{verdict.twice:,}", ""),
        ("lines in the event log", f"{verdict.lines:,}", "one for each stored event"),
        ("lines missing, twice or wrong", f"{verdict.misplaced:,}", ""),
        ("wrong in handlers", f"{wrong_in_handlers:,}", "context or data, of all that were emitted"),
        ("followed while they were made", f"{len(read):,}", f"by the optimizer; missing, twice or different: {wrong}"),
        ("emit", median(puts), f"ids of its own, one handler, the burst; {median(woken)} after a sleep"),
        ("get", shown([verdict.get_ns], "ns"), f"at random; {median(gets)} in the optimizer, beside all the others"),
        ("failover", shown([failover], "s"), "from SIGKILL to the commit of everything put before"),
    ]
    print()
    for name, value, remark in lines:
        print(f"  {name:<30} {value:>9}   {remark}".rstrip())
    faults = verdict.lost + verdict.mismatches + verdict.twice + verdict.misplaced + wrong + wrong_in_handlers
    sound = not faults
    print("\nNothing was lost." if sound else "\nSOMETHING WAS LOST, DIFFERS OR IS THERE TWICE.")
    return sound


if __name__ == "__main__":
    sys.exit(main())
