"""The bench and the demo do what they say. Their figures are nobody's test."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 100.0


@pytest.fixture
def run(tmp_path):
    """Run `python -m MODULE ...` with a temporary directory of its own; ended after the test."""
    started = []

    def start(module: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=LIMIT)


def output(process):
    out, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, f"{out}\n{errors}"
    return out


def figure(text, name):
    """The number in the demo's summary line that begins with `name`."""
    return int(re.search(rf"^ +{re.escape(name)} +([\d,]+)", text, re.MULTILINE)[1].replace(",", ""))


@pytest.mark.timeout(120)
def test_the_demo_loses_nothing_and_leaves_nothing(run, tmp_path):
    """A real log, a daemon and then everybody killed: all refs resolve, all contexts equal their sources."""
    before = set(Path("/dev/shm").glob("shmctx.bench-*"))

    text = output(run("bench.demo"))

    assert figure(text, "contexts put") > 4000
    assert 0 < figure(text, "recovered") < figure(text, "contexts put")
    assert [figure(text, name) for name in ("lost", "mismatches against the source", "stored twice")] == [0, 0, 0]
    assert "kill -9 of the daemon" in text
    assert re.search(r"agent \d leads", text)
    assert set(Path("/dev/shm").glob("shmctx.bench-*")) <= before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(120)
def test_a_script_gives_its_figures_as_json(run):
    document = msgspec.json.decode(output(run("bench.space", "--quick", "--json", "-")))

    row = document["rows"][0]
    assert row["unit"] == "bytes"
    assert row["peer"] == "embedded JSON"
    assert 0 < row["samples"][0] < row["peer_samples"][0]
    assert row["reached"] is (row["ratio"] * row["peer_samples"][0] <= 192)
    assert document["machine"]["cores"] >= 1


def test_an_unknown_script_is_misuse(run):
    process = run("bench", "no-such-question")
    _, errors = process.communicate(timeout=LIMIT)

    assert process.returncode == 2
    assert "no-such-question" in errors
