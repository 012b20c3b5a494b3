import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))

from stores import side, stores  # noqa: E402, F401
sys.path.insert(0, str(Path(__file__).parent))

import os  # noqa: E402
import subprocess  # noqa: E402
import textwrap  # noqa: E402

import pytest  # noqa: E402


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
