"""The stepper, compiled once per session with the release's flags."""

import platform
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "core"))

from compiler import Compiler, run_program  # noqa: E402

STEPPER = [HERE / f"{name}.c" for name in ("model", "scenario", "tracee", "episode", "waiter", "reader", "stepper")]
ERASER = [HERE / f"{name}.c" for name in ("model", "tracee", "eraser")]
NO_PTRACE = 77


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    """The compiler, as the release's extension is built."""
    return Compiler(tmp_path_factory.mktemp("stepper"), [], [])


def runner(release, sources, program):
    """`run(*arguments, changed={}, name=...)` runs a program that traces, on the core or on a changed copy of it."""
    if platform.machine() != "x86_64":
        pytest.skip("the stepper reads the registers of x86-64")

    def run(*arguments, changed=None, name=program):
        done = run_program(release.program(name, sources, changed), *arguments, limit=3600)
        if done.returncode == NO_PTRACE:
            pytest.skip("this system refuses ptrace between parent and child (seccomp, or another tracer)")
        return done

    return run


@pytest.fixture(scope="session")
def step(release):
    """Runs the stepper through appends."""
    return runner(release, STEPPER, "stepper")


@pytest.fixture(scope="session")
def step_erasure(release):
    """Runs the stepper through an erasure."""
    return runner(release, ERASER, "eraser")
