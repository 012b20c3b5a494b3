import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "store")]

from stores import Stores, stores  # noqa: E402, F401


@pytest.fixture
def store(stores):  # noqa: F811
    return stores.open()


@pytest.fixture
def elsewhere(stores, segment_name, tmp_path):  # noqa: F811
    """A store that is none of ours: another name, another id."""
    return stores.open(name=f"{segment_name}-elsewhere", db=tmp_path / "elsewhere.db")
