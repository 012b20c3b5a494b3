"""One store and one gateway for a module's tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from sites import Site

from shmctx.gateway.limits import Limits


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = Site(tmp_path_factory.mktemp("gateway"), limits=Limits(rate=0))
    yield made
    made.close()


@pytest.fixture
def own_site(tmp_path):
    """`own_site(limits=..., **options)`: one of the test's own."""
    made = []

    def make(**options):
        made.append(Site(tmp_path, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()
