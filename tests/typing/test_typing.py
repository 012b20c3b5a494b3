"""What a type checker makes of the public surface."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed: pip install -e '.[dev]'")
@pytest.mark.parametrize("file", ["usage.py", "wrong.py"])
def test_usage_type_checks(file, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path, HERE / file],
        capture_output=True, text=True, timeout=110, check=False, cwd=HERE.parents[1],
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_says_that_it_is_typed():
    spec = importlib.util.find_spec("shmctx")

    assert (Path(spec.origin).parent / "py.typed").is_file()
