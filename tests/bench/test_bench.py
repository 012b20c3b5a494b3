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
    """A real log, a daemon and then everybody killed: all refs resolve; contexts, data and log equal their sources."""
    before = set(Path("/dev/shm").glob("shmctx.bench-*"))

    text = output(run("bench.demo"))

    emitted = figure(text, "events emitted")
    faults = (
        "lost",
        "mismatches against the source",
        "stored twice",
        "lines missing, twice or wrong",
        "wrong in handlers",
    )
    assert emitted > 4000
    assert 0 < figure(text, "recovered") < emitted
    assert figure(text, "lines in the event log") >= emitted
    assert 0 < figure(text, "followed while they were made") <= emitted
    assert [figure(text, name) for name in faults] == [0] * len(faults)
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


@pytest.mark.timeout(120)
def test_an_event_takes_less_than_the_line_it_was(run):
    """Measured on real files: every event has its line, and the line is leaner than the source's."""
    rows = msgspec.json.decode(output(run("bench.disk", "--quick", "--json", "-")))["rows"]

    assert [row["unit"] for row in rows] == ["bytes", "bytes"]
    assert all(0 < row["samples"][0] < row["peer_samples"][0] for row in rows)


@pytest.mark.timeout(120)
def test_emitting_is_measured_beside_what_it_replaces(run):
    rows = msgspec.json.decode(output(run("bench", "--quick", "--json", "-", "emit", "sustain")))["rows"]

    assert len(rows) == 4
    assert all(value > 0 for row in rows for value in row["samples"] + row["peer_samples"])
