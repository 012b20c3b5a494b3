"""What the tests of the commands share."""

import subprocess
import sys
from typing import NamedTuple

import pytest

LIMIT = 60.0  # seconds; only a command that hangs reaches it
SHMCTX = [sys.executable, "-m", "shmctx"]


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def rows(self):
        """Tab-separated text as dicts."""
        header, *lines = [line.split("\t") for line in self.out.splitlines()]
        return [dict(zip(header, line, strict=True)) for line in lines]


def greeting(daemon):
    """What a daemon says when it is ready."""
    lines = []
    for line in daemon.stdout:
        lines.append(line)
        if line.startswith("Ctrl-C"):
            return "".join(lines)
    pytest.fail(f"the daemon ended with {daemon.wait(LIMIT)}\n{daemon.stderr.read()}")


def ended(process):
    """The Result of a process that was started, once it has ended."""
    out, err = process.communicate(timeout=LIMIT)
    return Result(process.returncode, out, err)


def interrupt(process, number):
    """Send a signal and wait for the end."""
    process.send_signal(number)
    return ended(process)


def assert_refused(result, code, error, hint=""):
    """The command printed nothing but an Error and a Try line, and ended with this code."""
    lines = result.err.splitlines()
    assert (result.code, result.out) == (code, ""), result
    assert lines[0].startswith("Error: "), result.err
    assert error in lines[0]
    assert lines[1:] == [] if not hint else lines[1].startswith("Try: ")
    assert hint in "".join(lines[1:2])


def run(command, environ, stdin):
    done = subprocess.run(command, input=stdin, env=environ, text=True, capture_output=True, timeout=LIMIT, check=False)
    return Result(done.returncode, done.stdout, done.stderr)
