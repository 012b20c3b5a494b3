"""The directory of the event log: names, what is there, the lock, temporary files, and what errors look like."""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from shmctx.errors import LogUnavailable

CURRENT = "current.jsonl"
COMPRESSED = ".zst"
TEMPORARY = ".tmp"
LOCK_PAUSE = 0.005
"""Seconds between tries to lock the directory."""
_NAME = re.compile(r"(\d{8,18})\.(\d{4}-\d\d-\d\d)\.jsonl(\.zst)?", re.ASCII)

_ACCESS = "Make the directory writable for this user, or name another one."
_SPACE = "Free space on the disk of the event log; events stay in the ring until then."
_KIND = "Name another directory for the event log, or move away what is in its place."
_HINTS = {
    errno.EACCES: _ACCESS,
    errno.EPERM: _ACCESS,
    errno.EROFS: _ACCESS,
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: "A limit on the size of files (ulimit -f) is lower than the segments of the event log.",
    errno.ENOTDIR: _KIND,
    errno.EEXIST: _KIND,
    errno.EISDIR: _KIND,
    errno.ELOOP: _KIND,
    errno.EIO: "Look at the kernel's log for the disk; events stay in the ring until it works again.",
    errno.EMFILE: "The process has too many open files (ulimit -n).",
}


class Segment(msgspec.Struct, frozen=True):
    """One file of the log."""

    number: int
    day: str
    """UTC day of its first event, as 2026-03-01."""
    path: Path
    compressed: bool
    size: int
    """Bytes on disk."""


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Around every use of files: operating system errors as LogUnavailable with what to do next."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise LogUnavailable(
            f"The event log {where} cannot be used: {error.strerror or error}.", hint=_HINTS.get(error.errno or 0, "")
        ) from error


def file_name(number: int, day: str) -> str:
    """The name of an uncompressed segment."""
    return f"{number:08}.{day}.jsonl"


def every(directory: Path) -> list[Segment]:
    """Every file that is a segment, oldest first. One that is being compressed may be there in both forms."""
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):  # it was removed meanwhile
                    size = entry.stat(follow_symlinks=False).st_size
                    found.append(Segment(int(match[1]), match[2], directory / entry.name, match[3] is not None, size))
    return sorted(found, key=lambda segment: (segment.number, segment.compressed))


def by_number(directory: Path) -> dict[int, Segment]:
    """The segments, oldest first; of two forms of one the compressed, which has its name only when it is whole."""
    return {segment.number: segment for segment in every(directory)}


def make_directory(directory: Path) -> None:
    """Make the directory, 0700, and those above it; where it was not there, its name is on disk afterwards."""
    if directory.is_dir():
        return
    directory.mkdir(mode=0o700, parents=True)
    directory.chmod(0o700)  # whatever the umask
    sync_directory(directory.parent)


def sync_directory(directory: Path) -> None:
    """Write the directory's names to disk."""
    with opened(directory, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        os.fsync(descriptor)


@contextlib.contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """A descriptor for the time of the block."""
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_new(path: Path) -> int:
    """A descriptor of a new, private file. Raises FileExistsError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)  # whatever the umask
    return descriptor


def write_all(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Pwrite until all is written: a disk that is nearly full takes a part first."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        offset += written
        view = view[written:]


@contextlib.contextmanager
def temporary(target: Path) -> Iterator[tuple[Path, int]]:
    """(path, descriptor) of a new file that is to be renamed to `target`; removed if that does not happen.

    A forked child that drops its copy of an unfinished piece of work leaves the parent its file.
    """
    owner = os.getpid()
    path = target.with_name(f"{target.name}.{secrets.token_hex(4)}{TEMPORARY}")
    descriptor = open_new(path)
    try:
        yield path, descriptor
    finally:
        os.close(descriptor)
        if os.getpid() == owner:
            path.unlink(missing_ok=True)


def drop_temporaries(directory: Path, prefix: str = "") -> None:
    """Remove unfinished files whose segment's name begins so. Whoever is at work on one notices when it renames it.

    Under the directory's lock.
    """
    for path in list(directory.glob(f"{prefix}*{TEMPORARY}")):
        if _NAME.match(path.name):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(directory: Path, timeout: float) -> Iterator[bool]:
    """Under the lock for rewriting and removing segments; False if another process held it for `timeout` seconds.

    Held for one rewriting or renaming. Whoever must not wait for a stopped process asks with a timeout of 0.
    """
    deadline = time.monotonic() + timeout
    with opened(directory, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        while not (held := try_lock(descriptor)) and time.monotonic() < deadline:
            time.sleep(LOCK_PAUSE)
        yield held


def try_lock(descriptor: int) -> bool:
    """Flock without waiting."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
