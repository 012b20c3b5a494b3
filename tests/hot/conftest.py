import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "store")]

from stores import side, stores  # noqa: E402, F401


@pytest.fixture
def unshared():
    """`unshared(options, script, *arguments)`: what a Python program prints that runs under unshare(1)."""

    def run(options, script, *arguments):
        probe = subprocess.run(["unshare", *options, "true"], capture_output=True, text=True, timeout=30, check=False)
        if probe.returncode:
            pytest.skip(f"unshare {' '.join(options)} is not permitted here: {probe.stderr.strip()}")
        command = ["unshare", *options, sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=os.environ)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
