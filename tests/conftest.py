"""What tests share: unique segment names, real subprocesses, bounded waits, a printed seed, and the check at the end
of the session that nothing was left behind.
"""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import warm

SHM = Path("/dev/shm")
# Part of every segment's name, and in the environment of every process, of this session: two sessions never meet.
SESSION = f"t{os.getpid()}x{secrets.token_hex(3)}"
SESSION_VARIABLE = "SHMCTX_TEST_SESSION"
SEED = int(os.environ.get("SHMCTX_SEED") or secrets.randbits(32))
LIMIT = 30.0  # seconds; only a wait that hangs reaches it
NAMED: dict[str, str] = {}
"""The test of each segment's name."""


def pytest_configure() -> None:
    """Interrupts reach what tests start, even if this process was started with them ignored (`make test &`, nohup)."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_report_header() -> str:
    return f"seed: SHMCTX_SEED={SEED} repeats the random tests"


def segments(part: str) -> list[Path]:
    """The shared-memory objects that have `part` in their name, unfinished ones under a temporary name included."""
    return sorted(path for path in SHM.iterdir() if part in path.name)


def wait_for(condition: Callable[[], object] | threading.Event, limit: float = LIMIT) -> object:
    """Waits until the event is set or the predicate is true, and returns what it gave; fails after `limit` seconds.

    For what cannot be awaited, such as the state of another process. The pause grows to 20 ms, so that waiting takes
    no time from those who are waited for.
    """
    if isinstance(condition, threading.Event):
        assert condition.wait(limit), f"the event was not set within {limit} s"
        return True
    deadline = time.monotonic() + limit
    pause = 0.0005
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not true within {limit} s: {condition}"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)
    return value


class PythonProcess(subprocess.Popen[str]):
    """A Python program in a process of its own, spoken to line by line.

    Two threads read its output as it comes, so it never stops at a full pipe.
    """

    def __init__(self, script: str, arguments: tuple[object, ...], environ: dict[str, str]) -> None:
        command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
        pipe = subprocess.PIPE
        super().__init__(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environ)
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.errors: list[str] = []
        self.readers = [
            threading.Thread(target=self._read, args=(self.stdout, self.lines.put, [None]), daemon=True),
            threading.Thread(target=self._read, args=(self.stderr, self.errors.append, []), daemon=True),
        ]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(stream: TextIO, take: Callable[[str | None], None], last: list[None]) -> None:
        for line in stream:
            take(line)
        for end in last:
            take(end)

    def line(self, limit: float = LIMIT) -> str:
        """The next line of its output, without the newline; fails, showing its stderr, if none comes in time."""
        try:
            line = self.lines.get(timeout=limit)
        except queue.Empty:
            pytest.fail(f"process {self.pid} said nothing for {limit} s\n{''.join(self.errors)}")
        if line is None:
            pytest.fail(f"process {self.pid} ended with {self.wait(LIMIT)}\n{self.error_output()}")
        return line.rstrip("\n")

    def say(self, line: object = "") -> None:
        """Writes one line to its standard input."""
        self.stdin.write(f"{line}\n")
        self.stdin.flush()

    def finish(self, code: int = 0, limit: float = LIMIT) -> list[str]:
        """Closes its input, waits for its end, checks the exit code and returns the lines nobody read yet."""
        self.stdin.close()
        self.wait(limit)
        assert self.returncode == code, f"exit code {self.returncode}, not {code}\n{self.error_output()}"
        return [line.rstrip("\n") for line in iter(lambda: self.lines.get(timeout=limit), None)]

    def error_output(self) -> str:
        """All it wrote to its standard error, once it has ended."""
        self.readers[1].join(LIMIT)
        return "".join(self.errors)

    def end(self) -> None:
        """Kills it, stopped or not, unless it has ended, and gives back everything it holds."""
        self.kill()
        self.wait(LIMIT)
        for reader in self.readers:
            reader.join(LIMIT)
            assert not reader.is_alive(), f"a child of process {self.pid} lives on and holds its output open"
        with contextlib.suppress(BrokenPipeError):  # what it never read cannot be flushed
            self.stdin.close()
        self.stdout.close()
        self.stderr.close()


@pytest.fixture(name="wait_for")
def wait_for_fixture() -> Callable[..., object]:
    """`wait_for(predicate_or_event, limit=30)`."""
    return wait_for


@pytest.fixture
def segment_name(request: pytest.FixtureRequest) -> Iterator[str]:
    """A name that no other test and no other session uses; its segments are unlinked afterwards."""
    name = f"{SESSION}-{secrets.token_hex(4)}"
    NAMED[name] = request.node.nodeid
    yield name
    for path in segments(name):
        path.unlink(missing_ok=True)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Where the test's database will be; nothing is there yet."""
    return tmp_path / "contexts.db"


@pytest.fixture(scope="session")
def ksi_log() -> Path:
    """The log of a KSI daemon: events with embedded contexts, JSON lines, gzip. SHMCTX_KSI_LOG names another one."""
    ours = Path(__file__).parents[1] / "bench" / "data" / "ksi-events.jsonl.gz"
    return Path(os.environ.get("SHMCTX_KSI_LOG") or ours)


@pytest.fixture
def spawn(segment_name: str) -> Iterator[Callable[..., PythonProcess]]:
    """`spawn(script, *arguments, env={})` runs the text of a program as a `PythonProcess`, ended after the test.

    It ends before the test's segment loses its name, which a leader would give to another one.
    """
    started: list[PythonProcess] = []

    def start(script: str, *arguments: object, env: dict[str, str] | None = None) -> PythonProcess:
        process = PythonProcess(script, arguments, {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})})
        started.append(process)
        return process

    yield start
    for process in started:
        process.end()


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with what an activated environment has on its path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    recover = "-c 'from shmctx.cli.recover import main; main()'"
    for name, arguments in {"python": "", "shmctx": "-m shmctx", "shmctx-recover": recover}.items():
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
        program.chmod(0o755)
    return folder


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The test's seed: another for every test and session, the same again for the same SHMCTX_SEED."""
    value = zlib.crc32(f"{SEED} {request.node.nodeid}".encode())
    print(f"seed {value} (SHMCTX_SEED={SEED})")
    return value


@pytest.fixture
def own_disk(tmp_path: Path) -> tuple[Path, Callable[..., str]]:
    """(path, run): `run(size, *arguments)` gives what a Python program prints that has, alone, a file system of that
    size at the path."""
    disk = tmp_path / "disk"

    def run(size: str, *arguments: object, timeout: float = 90, env: dict[str, str] | None = None) -> str:
        disk.mkdir()
        mount = f"mount -t tmpfs -o size={size} tmpfs {disk}"
        options = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
        probe = subprocess.run([*options, mount], capture_output=True, text=True, timeout=30, check=False)
        if probe.returncode:
            pytest.skip(f"mounting in a namespace of one's own is not permitted here: {probe.stderr.strip()}")
        command = [*options, f'{mount} && exec "$@"', "sh", sys.executable, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return disk, run


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fails the last test of the session if a segment or a process outlives it, and removes both."""
    os.environ[SESSION_VARIABLE] = SESSION
    yield
    warm.close()
    psutil.wait_procs(session_processes(), timeout=5)  # one that was just killed takes a moment to go
    left = [f"segment {path} of {_test_of(path)}" for path in segments(SESSION)]
    for path in segments(SESSION):
        path.unlink(missing_ok=True)
    for process in session_processes():
        left.append(f"process {process}")
        process.kill()
    assert not left, f"left behind: {', '.join(left)}"


def _test_of(path: Path) -> str:
    return next((test for name, test in NAMED.items() if name in path.name), "a module's tests")


def session_processes() -> list[psutil.Process]:
    """The living processes that descend from this one, orphans included: they inherited its environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(SESSION_VARIABLE) != SESSION:
                continue
            # multiprocessing's helper ends by itself when this process does.
            if "multiprocessing.resource_tracker" not in " ".join(process.cmdline()):
                found.append(process)
    return found
