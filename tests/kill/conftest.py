"""Processes of a store that tests kill, stop, trace and question: daemons and standbys, driven line by line."""

import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import roles

RING_SIZE = 16 << 10
"""Bytes: a few dozen records fill it."""

LEADER = """
import json, sys
import shmctx

role, name, db, ring_size, settings = sys.argv[1:]
settings = shmctx.Settings(**json.loads(settings))
if role == "daemon":
    store = shmctx.open(name, db=db, ring_size=int(ring_size), settings=settings)
else:
    store = shmctx.attach(name, standby=True, settings=settings)
print("ready", flush=True)
for question in sys.stdin:
    print(store._attachment.candidate.leads, flush=True)
store.close()
"""


class Leaders:
    """`lead()` starts a daemon, `lead("standby")` an agent that stands by; both return once they are attached."""

    def __init__(self, spawn, place):
        self._spawn = spawn
        self._place = place

    def __call__(self, role="daemon", ring_size=RING_SIZE):
        settings = json.dumps({"idle_interval": 0.1, "poll_interval": 0.05})
        process = self._spawn(LEADER, role, self._place.name, self._place.database, ring_size, settings)
        assert process.line() == "ready"
        return process

    def leads(self, process):
        """Ask one of them whether it leads."""
        process.say("?")
        return process.line() == "True"


@pytest.fixture
def place(segment_name, db, seed):
    """The test's store and seed."""
    return roles.Place(segment_name, db, RING_SIZE, seed)


@pytest.fixture
def lead(spawn, place):
    """Starts processes that lead when they can."""
    return Leaders(spawn, place)


@pytest.fixture(scope="session")
def torture():
    """Whether the long campaign was asked for."""
    return bool(os.environ.get("SHMCTX_TORTURE"))
