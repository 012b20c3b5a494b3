"""The commands as users run them: real subprocesses, with and without a terminal, on real stores."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import warm

import shmctx

sys.path.insert(0, str(Path(__file__).parent))

from commands import LIMIT, SHMCTX, Result, greeting

UNSET = ("SHMCTX_SEGMENT", "SHMCTX_DB", "SHMCTX_LOG", "SHMCTX_RING_SIZE", "NO_COLOR", "FORCE_COLOR")


@pytest.fixture
def environ(tmp_path):
    """Nothing of the machine's settings, a state directory of its own, a wide terminal."""
    kept = {key: value for key, value in os.environ.items() if key not in UNSET}
    return {**kept, "XDG_STATE_HOME": str(tmp_path / "state"), "COLUMNS": "150", "TERM": "xterm"}


@pytest.fixture
def cli(environ):
    """`cli("ls", "--json", stdin="", env={})` runs `shmctx` with its output in a pipe."""

    def run(*arguments, stdin="", env=None, program="shmctx"):
        return Result(*warm.run(program, arguments, {**environ, **(env or {})}, stdin.encode()))

    return run


@pytest.fixture
def recover(cli):
    return lambda *arguments, **options: cli(*arguments, program="shmctx-recover", **options)


@pytest.fixture
def terminal(environ):
    """`terminal("ls", keys="")` runs `shmctx` on a terminal; standard error goes there too."""

    def run(*arguments, keys="", env=None, program="shmctx"):
        controller, own = pty.openpty()
        shared = warm.shared()
        shared.start(program, [*map(str, arguments)], {**environ, **(env or {})}, [own] * 3)
        os.write(controller, keys.encode())
        shown = b""
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
            while chunk := os.read(controller, 4096):
                shown += chunk
        os.close(controller)
        return Result(shared.ended(), shown.decode().replace("\r\n", "\n"), "")

    return run


@pytest.fixture
def start(environ, segment_name):
    """`start("daemon", name)` leaves `shmctx` running with its output in pipes; killed after the test, and before its
    segment loses its name, which a leader would give to another one."""
    running = []

    def begin(*arguments, env=None):
        process = subprocess.Popen(
            [*SHMCTX, *map(str, arguments)],
            env={**environ, **(env or {})},
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(LIMIT)
        process.stdout.close()
        process.stderr.close()


@pytest.fixture
def daemon(start, segment_name, db, wait_for):
    """A running daemon of a store named by `segment_name`, which leads."""
    process = start("daemon", segment_name, "--db", db, "--ring-size", "1M")
    greeting(process)
    with shmctx.attach(segment_name, readonly=True) as store:
        wait_for(lambda: store.stats()["leader"])
    return process


@pytest.fixture
def agent(daemon, segment_name):
    """This process, attached to the daemon's store."""
    with shmctx.attach(segment_name) as store:
        yield store


@pytest.fixture
def dead(spawn, segment_name, db):
    """A store whose only process was killed before anything was put: (store attached here, its name, its database)."""
    maker = spawn(
        """
        import sys, shmctx
        store = shmctx.open(sys.argv[1], db=sys.argv[2], ring_size=1 << 20)
        store.put("before", durable=True)
        print("ready")
        sys.stdin.read()
        """,
        segment_name,
        db,
    )
    maker.line()
    maker.kill()
    maker.wait(LIMIT)
    with shmctx.attach(segment_name) as store:
        yield store
