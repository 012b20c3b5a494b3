import os
import sys
from pathlib import Path

import pytest
import warm

for folder in ("checkpoints", "events", "store", "cli"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))

from apps import Application  # noqa: E402
from commands import Result  # noqa: E402
from stores import stores  # noqa: E402, F401

from shmctx.checkpoints import Checkpoints  # noqa: E402
from shmctx.events import EventRouter  # noqa: E402


@pytest.fixture
def store(stores):  # noqa: F811
    return stores.open()


@pytest.fixture
def router(store):
    return EventRouter(store)


@pytest.fixture
def application(store):
    """`application(**states)`: as a new run of one program: participants that hold these values, on the same store."""

    def start(source=None, *, settings=None, **states):
        return Application(Checkpoints(source or store, "shop", **(settings or {})), states)

    return start


@pytest.fixture
def cli():
    """`cli("list", name)` runs `shmctx checkpoint` with its output in a pipe."""

    def execute(*arguments):
        return Result(*warm.run("shmctx", ["checkpoint", *arguments], dict(os.environ)))

    return execute
