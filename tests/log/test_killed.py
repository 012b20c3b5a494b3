"""SIGKILL, a full disk and a broken one at every system call that changes a file; see killed.py."""

import subprocess
import sys
from pathlib import Path

import pytest

FEWEST_CALLS = {"batches": 40, "compression": 20, "blanking": 10}


@pytest.mark.parametrize("how", ["before", "after", "half", "ENOSPC", "EIO"])
@pytest.mark.parametrize("work", list(FEWEST_CALLS))
def test_nothing_committed_is_lost_at_any_call(work, how, tmp_path):
    program = [sys.executable, "-W", "error", Path(__file__).parent / "killed.py", tmp_path, work, how]
    done = subprocess.run(program, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= FEWEST_CALLS[work]
