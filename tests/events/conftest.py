import sys
from pathlib import Path

import pytest

for folder in ("events", "store"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))

from stores import stores  # noqa: E402, F401

from shmctx.events import EventRouter  # noqa: E402


@pytest.fixture
def store(stores):  # noqa: F811
    return stores.open()


@pytest.fixture
def router(store):
    return EventRouter(store)
