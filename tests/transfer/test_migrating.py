"""docs/migrating.md: adopting and going back, as it is written, and it prints what it says."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "migrating.md"
KSI = ROOT / "tests" / "transfer" / "ksi_like"
"""Stands in for a KSI daemon's modules."""


def test_the_walk_through_adopting_and_going_back_runs_as_it_is_written(segment_name, programs, tmp_path):
    (tmp_path / "work").mkdir()
    path = os.pathsep.join(map(str, (ROOT, KSI)))
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": path}
    for name in ("SHMCTX_SHADOW", "SHMCTX_SEGMENT", "SHMCTX_DB", "SHMCTX_LOG"):
        environ.pop(name, None)
    command = [sys.executable, "-W", "error", ROOT / "tests" / "chapter.py", PAGE, segment_name]
    done = subprocess.run(
        command, cwd=tmp_path / "work", env=environ, capture_output=True, text=True, timeout=100, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 6
