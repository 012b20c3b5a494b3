import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from logs import Log


@pytest.fixture
def directory(tmp_path):
    """Where the event log will be; nothing is there yet."""
    return tmp_path / "contexts.events"


@pytest.fixture
def log(directory):
    """A leader's log that rotates at 1,000 bytes; closed after the test."""
    log = Log(directory)
    yield log
    log.close()
