"""The worked example of a long-running optimizer: its tutorial runs as it is written, and nothing is lost in it.

The tutorial is run once, with fewer trials: the daemon is killed and, while nobody drains, the optimizer. What is left
of it is then read from the database alone.
"""

import contextlib
import importlib.util
import itertools
import json
import os
import re
import subprocess
from pathlib import Path

import psutil
import pytest

import shmctx

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "optimizer"
BLOCK = re.compile(r"(?ms)^```(\w+)\n(.*?)^```\n(?:\n((?: {4}[^\n]+\n)+))?")
TRIALS = 120
LIMIT = 60.0  # seconds; only a run that hangs reaches it


def scaled(text):
    """The tutorial with a fiftieth of its trials."""
    fewer = {"6000": f"{TRIALS}", "6,000": f"{TRIALS}", "3000": f"{TRIALS // 2}", "1500": f"{TRIALS // 4}"}
    return re.sub("|".join(fewer), lambda found: fewer[found[0]], text)


def script(text, name, folder):
    """(the tutorial's blocks as one shell script, the lines that it says are printed)."""
    text = scaled(text).replace("/tmp/optimizer", str(folder))
    text = re.sub(r"\blab\b(?!\.)", name, text)
    lines, printed = ["set -m"], []
    for language, code, shown in BLOCK.findall(text):
        if language == "python":
            lines.append(f"python - <<'END'\n{code}END")
        else:
            lines.append(code.replace("source .venv/bin/activate\n", ""))
        if code.endswith("daemon.log &\n"):  # a reader types more slowly than a daemon starts
            lines.append("until grep -q leads daemon.log; do sleep 0.05; done")
        printed += [line.strip() for line in shown.splitlines()]
    return "\n".join(lines), printed


def of_session(session):
    """The processes of a session: a shell and all that it started."""
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(process.pid) == session:
                yield process


def run(text, environ):
    """(output, errors) of a shell script, run in the checkout; whatever it started has ended then."""
    pipe = subprocess.PIPE
    command = ["bash", "-c", text]
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as shell:
        try:
            said, complaints = shell.communicate(timeout=LIMIT)
        finally:
            for process in of_session(shell.pid):
                process.kill()
    print(said, complaints)
    assert shell.returncode == 0
    return said, complaints


@pytest.fixture(scope="module")
def model():
    """The example's model.py."""
    spec = importlib.util.spec_from_file_location("optimizer_model", EXAMPLE / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_printed(said, complaints, printed):
    """The tutorial printed what it says it does."""
    assert "Error" not in complaints
    assert len(printed) == 7
    for line in printed:
        assert re.search(f"(?m)^{re.escape(line).replace('…', '.*')}$", said), line


def check_life(store):
    """One kill, one restart that goes on where the killed process ended, one end; returns that restart."""
    killed, done = store.query(event_name="agent:exit")
    (restart,) = store.query(event_name="agent:restart")
    assert store.event(killed.ref).data["signal"] == "SIGKILL"
    assert store.event(done.ref).data["code"] == 0
    continues = store.event(restart.ref).data["continues"]
    assert continues == store.event(killed.ref).data["last_ref"]
    first = next(one for one in store.query(event_name="trial:start") if one.position > restart.position)
    assert first.parent_ref == continues
    return restart


def check_chain(store, restart):
    """One chain from the end to the start, with one root and one correlation; returns it, oldest first."""
    (study,) = store.query(event_name="study:start")
    (end,) = store.query(event_name="study:end")
    chain = [*reversed(store.ancestors(end.ref)), end]
    assert [context.event_name for context in chain[:3]] == ["study:start", "agent:spawn", "trial:start"]
    for cause, context in itertools.pairwise(chain):
        assert context.parent_ref == cause.ref
        assert context.depth == cause.depth + 1
    assert {context.root_event_id for context in store.query()} == {study.event_id}
    assert {context.correlation_id for context in store.query()} == {study.correlation_id}
    sides = {context.position > restart.position for context in chain if context.event_name == "trial:done"}
    assert sides == {True, False}
    return chain


def check_trials(store, chain, model):
    """The trials are those of a search that nobody interrupted, each done once, on readings of other processes."""
    task = store.event(chain[1].ref).data
    readings = store.events(task["readings"])
    assert {reading.context.agent_id for reading in readings} == {"north", "south"}
    read = [(reading.data["second"], reading.data["degrees"]) for reading in readings]
    done = store.query(event_name="trial:done")
    assert done == [context for context in chain if context.event_name == "trial:done"]
    assert len(done) == TRIALS
    state = model.FIRST_TRIAL
    for context in done:
        candidate = model.propose(state, task["seed"])
        found = store.event(context.parent_ref).data["loss"]
        if state["trial"] % 10 == 0:  # the worker is right, and simulating takes time
            assert found == model.loss(candidate, read)
        state = model.judge(state, candidate, found)
        assert store.event(context.ref).data == state


def test_the_tutorial_runs_as_it_is_written_and_nothing_is_lost(segment_name, programs, tmp_path, model):
    folder = tmp_path / "optimizer"
    text, printed = script((EXAMPLE / "README.md").read_text(), segment_name, folder)
    path = f"{programs}:{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    check_printed(*run(text, environ), printed)

    with shmctx.open(segment_name, db=folder / "lab.db") as store:
        restart = check_life(store)
        check_trials(store, check_chain(store, restart), model)
        seen = [json.loads(line) for line in (folder / "seen.jsonl").read_text().splitlines()]
        assert len(seen) > 3 * TRIALS
        for one in seen:
            assert store[one["_ref"]].event_id == one["_event_id"]
