"""The supervisor: kills its workers at random, replaces them, and judges what is left when all are dead.

    python campaign.py NAME DATABASE LEDGER RING_SIZE SEED KILLS

Prints one JSON object. It forks the workers from itself, so a new one costs milliseconds; it is a program of its own
because nothing but a process without threads may do that. Until all are dead it neither attaches nor opens anything.
"""

import collections
import gc
import json
import math
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple

import oracle
import roles
from ledger import Ledger, Region

import shmctx.cold.reader
import shmctx.drain.leader
import shmctx.drain.recover  # noqa: F401 - what a worker would load late is loaded once, here

CREW = ("leader", "leader", "standby", "writer", "writer", "reader", "reader")
SHORTEST, LONGEST = 1e-6, 0.3
"""Seconds between two blows. Log-uniform: as often within a system call as within a batch."""
STOPS = 0.2
"""Share of the blows that are SIGSTOP."""
LONGEST_STOP = 0.2
EPILOGUE = 1.0
"""Seconds without kills at the end, in which every survivor must get on."""


class Worker(NamedTuple):
    role: str
    region: Region


class Supervisor:
    def __init__(self, place: roles.Place, ledger: Ledger) -> None:
        self._place = place
        self._ledger = ledger
        self._chance = random.Random(place.seed)
        self._workers: dict[int, Worker] = {}
        self._stopped: dict[int, float] = {}
        self.kills: collections.Counter[str] = collections.Counter()
        self.stops: collections.Counter[str] = collections.Counter()

    def spawn(self, role: str) -> None:
        region = self._ledger.take()
        pid = os.fork()
        if pid == 0:
            self._work(role, region)
        self._workers[pid] = Worker(role, region)

    def _work(self, role: str, region: Region) -> None:
        """In the child, which never returns from here."""
        code = 1
        try:
            roles.run(role, self._place, self._ledger, region)
            code = 0
        except BaseException:  # noqa: BLE001 - nothing may leave the child but its exit code
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)

    def campaign(self, kills: int) -> None:
        """Kill and stop until `kills` have died; then leave the last crew alone for a moment."""
        for role in CREW:
            self.spawn(role)
        while self.kills.total() < kills:
            delay = math.exp(self._chance.uniform(math.log(SHORTEST), math.log(LONGEST)))
            self._rest(time.monotonic() + delay)
            victim = self._chance.choice(list(self._workers))
            if self._chance.random() < STOPS:
                self._stop(victim)
            else:
                role = self._workers[victim].role
                self._kill(victim)
                self.spawn(role)
        self._epilogue()

    def _rest(self, until: float) -> None:
        """Sleep, continuing who was stopped long enough, and look whether anybody ended by himself."""
        while True:
            now = time.monotonic()
            for pid in [pid for pid, end in self._stopped.items() if end <= now]:
                os.kill(pid, signal.SIGCONT)
                del self._stopped[pid]
            if now >= until:
                break
            time.sleep(min([until, *self._stopped.values()]) - now)
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            worker = self._workers.pop(pid)
            raise AssertionError(f"{worker.role} {worker.region.number} ended by itself, status {status}")

    def _stop(self, pid: int) -> None:
        self.stops[self._workers[pid].role] += pid not in self._stopped
        os.kill(pid, signal.SIGSTOP)
        self._stopped[pid] = time.monotonic() + self._chance.uniform(0, LONGEST_STOP)

    def _kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        worker = self._workers.pop(pid)
        self._stopped.pop(pid, None)
        assert os.WIFSIGNALED(status), f"{worker.role} {worker.region.number} ended by itself, status {status}"
        self.kills[worker.role] += 1

    def _epilogue(self) -> None:
        """Whoever lives now must be answered again."""
        before = {pid: (len(worker.region), worker.region.gets) for pid, worker in self._workers.items()}
        self._rest(time.monotonic() + EPILOGUE)
        for pid, (role, region) in self._workers.items():
            acks, gets = before[pid]
            assert role not in ("standby", "writer") or len(region) > acks, f"{role} {region.number} is stuck"
            assert role != "reader" or region.gets > gets, f"reader {region.number} is stuck"

    def end(self) -> None:
        """Kill everybody who is left."""
        for pid in list(self._workers):
            self._kill(pid)


def main(place: roles.Place, ledger_path: Path, kills: int) -> None:
    ledger = Ledger(ledger_path, kills + 2 * len(CREW))
    supervisor = Supervisor(place, ledger)
    gc.freeze()
    started = time.monotonic()
    try:
        supervisor.campaign(kills)
    finally:
        supervisor.end()
    lasted = time.monotonic() - started
    longest = [region.longest for region in ledger.regions()]
    report = {
        "kills": dict(supervisor.kills),
        "stops": dict(supervisor.stops),
        "longest_put": max(put for put, _ in longest) / 1e9,
        "longest_get": max(get for _, get in longest) / 1e9,
        "gets": sum(region.gets for region in ledger.regions()),
        "seconds": lasted,
    }
    print(json.dumps(report | oracle.judge(place.name, place.database, ledger, place.seed)))


if __name__ == "__main__":
    name, database, ledger_path = sys.argv[1:4]
    ring_size, seed, kills = map(int, sys.argv[4:])
    main(roles.Place(name, Path(database), ring_size, seed), Path(ledger_path), kills)
