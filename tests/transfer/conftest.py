import gzip
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "ksi_like"), str(HERE.parent / "store")]

from old_side import OldLog  # noqa: E402
from stores import stores  # noqa: E402, F401

import shmctx  # noqa: E402
from shmctx.transfer.shadow import Shadowing, ShadowLog  # noqa: E402


@pytest.fixture(scope="session")
def ksi_count(ksi_log) -> int:
    """How many events it has."""
    with gzip.open(ksi_log) as log:
        return sum(1 for _ in log)


@pytest.fixture
def old(tmp_path):
    return OldLog(tmp_path / "old.jsonl")


@pytest.fixture
def beside(stores, old):  # noqa: F811
    """`beside(mode, **settings)`: a ShadowLog on the store of this test, closed after it."""
    opened = []

    def start(mode, *, connect=None, read=old.read, write=old.write, **settings):
        def join(given):
            return shmctx.open(stores.name, db=stores.database, ring_size=1 << 20, settings=given)

        patient = {"shadow_patience": 20.0, "primary_patience": 20.0, **settings}
        log = ShadowLog(write, read, connect=connect or join, shadowing=Shadowing(mode=mode, **patient))
        opened.append(log)
        return log

    yield start
    for log in opened:
        log.close()
