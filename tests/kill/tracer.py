"""strace as an instrument: it attaches to one process and kills it, stops it or lies to it at a chosen system call."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

MISSING = "strace is not installed (scripts/install-system-packages does it): no system call can be chosen"
CHANGING = (
    "openat,write,pwrite64,fdatasync,fsync,ftruncate,fallocate,unlink,link,linkat,symlink,rename,mkdir,fchmod,"
    "flock,fcntl"
)
"""System calls after which something that outlives the process, or holds others up, may be different."""
LIMIT = 20.0


def missing() -> str:
    """Why nothing can be traced here, or an empty text."""
    if shutil.which("strace") is None:
        return MISSING
    probe = subprocess.run(["strace", "-e", "inject=getppid:signal=CONT", "true"], capture_output=True, check=False)
    return "" if probe.returncode == 0 else f"strace cannot trace here: {probe.stderr.decode().strip()}"


def allow_tracing() -> None:
    """In the process to be traced: let any process of this user attach, where Yama wants to be asked (prctl 0x59616d61,
    PR_SET_PTRACER_ANY; an error means that nobody wants to be asked)."""
    import ctypes

    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)


def attach(pid: int, *options: str) -> subprocess.Popen[bytes]:
    """Start strace on a process and its threads, once it watches all of them."""
    tracer = subprocess.Popen(
        ["strace", "-qq", "-f", "-p", str(pid), *options], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + LIMIT
    while not all(map(_traced, threads(pid))):
        assert tracer.poll() is None, f"strace {' '.join(options)} ended with {tracer.returncode}"
        assert time.monotonic() < deadline, f"strace has not attached to {pid} within {LIMIT} s"
        time.sleep(0.0005)
    return tracer


def threads(pid: int) -> list[Path]:
    with contextlib.suppress(OSError):
        return list(Path(f"/proc/{pid}/task").iterdir())
    return []


def _traced(thread: Path) -> bool:
    with contextlib.suppress(OSError):
        return "\nTracerPid:\t0\n" not in (thread / "status").read_text()
    return True  # it has ended


def detach(tracer: subprocess.Popen[bytes]) -> None:
    """Let the process go on unwatched."""
    if tracer.poll() is None:
        os.kill(tracer.pid, signal.SIGTERM)
    tracer.wait(LIMIT)


@contextlib.contextmanager
def lying(pid: int, calls: str, error: str, when: str) -> Iterator[None]:
    """Inside, these system calls of the process fail with this error: the `when`-th of each thread ("3", "1+")."""
    tracer = attach(pid, "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}:when={when}", "-o", os.devnull)
    try:
        yield
    finally:
        detach(tracer)
