"""One store and one gateway for a module's tests; another for those that stop it."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from served import Served


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    made = Served(tmp_path_factory.mktemp("client"))
    yield made
    made.close()


@pytest.fixture
def own(tmp_path):
    """A store with a gateway that the test may stop and start."""
    made = Served(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(served):
    with served.client() as made:
        yield made
