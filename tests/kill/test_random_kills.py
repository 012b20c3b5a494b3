"""Random processes of a store die at random moments, 150 of them, and some are stopped and go on; nothing that anybody
was answered is lost, doubled or changed, and the others never have to wait long.

SHMCTX_SEED repeats the choice of victims and moments, SHMCTX_TORTURE=1 kills 10,000.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TORTURE = bool(os.environ.get("SHMCTX_TORTURE"))
KILLS = 10_000 if TORTURE else 150
RING_SIZE = 64 << 10
NOISE = 5
"""What a busy machine may add: the promise is one second, a put gives up after five."""


@pytest.mark.timeout(14_400 if TORTURE else 240)
def test_what_was_answered_survives_the_death_of_anybody_at_any_moment(segment_name, db, tmp_path, seed):
    command = [sys.executable, str(HERE / "campaign.py"), segment_name, db, tmp_path / "ledger", RING_SIZE, seed, KILLS]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)

    assert done.returncode == 0, f"seed {seed}\n{done.stdout}{done.stderr}"
    report = json.loads(done.stdout)
    print(json.dumps(report, indent=1))
    assert sum(report["kills"].values()) >= KILLS
    assert set(report["kills"]) == {"leader", "standby", "writer", "reader"}
    # The ring was small enough for the interesting things to happen.
    assert report["wraps"] > 10
    assert report["space_waits"] > 10
    assert report["failovers"] >= KILLS // 50
    assert report["acknowledged"] > 1000
    assert report["longest_put"] < NOISE
    assert report["longest_get"] < NOISE
