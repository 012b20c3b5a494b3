"""One process in a process group of its own: started, awaited, signalled, and never mistaken for another."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

COULD_NOT_START = 127
"""The exit code of a command that is not there, as a shell gives it."""


class End(msgspec.Struct, frozen=True):
    """How a process ended."""

    pid: int | None
    """None: it never started."""
    code: int | None
    """What it passed to exit(); None where a signal ended it."""
    signal: int | None
    seconds: float
    """From its start."""
    problem: str = ""
    """Why it did not start."""

    @property
    def failed(self) -> bool:
        """Whether it ended otherwise than with exit code 0."""
        return self.code != 0

    @property
    def signal_name(self) -> str | None:
        """Such as SIGKILL."""
        try:
            return None if self.signal is None else signal.Signals(self.signal).name
        except ValueError:  # a real-time signal between the first and the last
            return f"signal {self.signal}"

    @property
    def text(self) -> str:
        """How it ended, for people."""
        return self.problem or (f"killed by {self.signal_name}" if self.signal else f"exit code {self.code}")


class Running:
    """A process that was started. Raises OSError where it cannot be.

    The kernel tells of its end through a descriptor (pidfd_open, Linux 5.3), so neither threads nor handlers of
    SIGCHLD are needed. It is not reaped before that is read, so its number cannot meanwhile become another's.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str], options: Mapping[str, Any]) -> None:
        self._started = time.monotonic()
        self._descriptor = -1
        self._process = subprocess.Popen(command, env=env, process_group=0, **options)
        self.pid = self._process.pid
        try:
            self._descriptor = os.pidfd_open(self.pid)
        except OSError:
            self.kill()
            raise

    async def ended(self) -> End:
        """Wait for its end. What is left of its process group is killed then, as nobody looks after it any more."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._descriptor)
        code = self.kill()
        killed = code < 0
        seconds = round(time.monotonic() - self._started, 3)
        return End(self.pid, None if killed else code, -code if killed else None, seconds)

    def signal(self, number: int) -> None:
        """Send a signal to the process and what it started, unless it has ended."""
        if self._process.returncode is None:
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:  # it moved to another group
                os.kill(self.pid, number)

    def kill(self) -> int:
        """Kill the whole group, whatever still runs of it, and reap the process; returns its exit code, or -signal."""
        self.signal(signal.SIGKILL)
        code = self._process.wait()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        return code
