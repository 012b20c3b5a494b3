"""Segments by name: create, attach with every check, unlink, list, and find those whose name was removed.

The only importer of posix_ipc. `multiprocessing.shared_memory` is not used: its resource tracker unlinks segments that
other processes still use (cpython issue 82300).
"""

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path

import posix_ipc

from shmctx import process
from shmctx.errors import (
    InvalidField,
    SegmentCorrupt,
    SegmentError,
    SegmentExists,
    SegmentMismatch,
    SegmentMissing,
    SegmentTooLarge,
)
from shmctx.hot import _core
from shmctx.hot._core import MIN_CAPACITY, Ring
from shmctx.hot.shapes import Header

SHM = Path("/dev/shm")
MAX_RING_SIZE = 128 << 30
_PREFIX = "shmctx."
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TEMPORARY = re.compile(re.escape(_PREFIX) + r".+~(\d+)\.(\d+)")


class Segment:
    """An open segment: its name, descriptor and ring. The descriptor stays open as long as the object lives, so that
    the segment can be found through /proc when its name was removed."""

    def __init__(self, name: str, fd: int, ring: Ring) -> None:
        self.name = name
        self.fd = fd
        self.ring = ring
        self.header: Header = ring.header()

    def is_current(self) -> bool:
        """Whether the name still leads to this segment. False after `rm`, RemoveIPC, or a new generation."""
        try:
            mine, named = os.fstat(self.fd), os.stat(path_of(self.name))
        except OSError:
            return False
        return (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino)

    def close(self) -> None:
        """Close the descriptor: this process uses the segment no more. Its mapping ends with its last call."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    __del__ = close


def check_name(name: str) -> str:
    """The name, if it may name a store. Raises InvalidField."""
    if type(name) is not str or not _NAME.fullmatch(name):
        raise InvalidField(
            f"{name!r} cannot name a store.", hint="Use up to 100 letters, digits, dots, dashes and underscores."
        )
    return name


def path_of(name: str) -> Path:
    """Where the kernel shows the segment."""
    return SHM / (_PREFIX + name)


def capacity_for(ring_size: int) -> int:
    """Granules of a ring of at least `ring_size` bytes: a power of two. Raises InvalidField."""
    if type(ring_size) is not int or not 0 < ring_size <= MAX_RING_SIZE:
        raise InvalidField(f"ring_size is a number of bytes from 1 to {MAX_RING_SIZE:,}, not {ring_size!r}.")
    return max(MIN_CAPACITY, 1 << (max(ring_size, 1) - 1).bit_length() >> 6)


def create(
    name: str,
    *,
    database: Path,
    store_id: int,
    ring_size: int,
    gap_start: int,
    base: int,
    fill: Callable[[Ring], None] | None = None,
) -> Segment:
    """Make a segment whose first new record gets position `base`.

    It is built under a temporary name and gets its own by link(), so nobody ever sees half of it. `fill` may place
    older records first. Raises SegmentExists, SegmentTooLarge, InvalidField.
    """
    check_name(name)
    sweep()
    temporary = f"/{_PREFIX}{name}~{os.getpid()}.{time.monotonic_ns()}"
    capacity = capacity_for(ring_size)
    shm = _new_file(temporary)
    try:
        os.fchmod(shm.fd, 0o600)
        _allocate(shm.fd, _core.segment_size(capacity))
        _format(shm.fd, name, str(database), store_id=store_id, capacity=capacity, gap_start=gap_start, base=base)
        ring = Ring(shm.fd)
        if fill is not None:
            fill(ring)
            ring.place_end()
        try:
            os.link(SHM / temporary[1:], path_of(name))
        except FileExistsError:
            raise SegmentExists(f"Another process made the segment {name!r} first.", hint="Attach to it.") from None
        return Segment(name, _reopen(name, shm.fd), ring)
    finally:
        shm.close_fd()
        posix_ipc.unlink_shared_memory(temporary)


def _format(fd: int, name: str, database: str, **geometry: int) -> None:
    device, inode = process.pid_namespace()
    try:
        _core.format(
            fd,
            name=name,
            database=database,
            boot_id=process.boot_id(),
            uid=os.geteuid(),
            generation=int.from_bytes(os.urandom(8), "little") >> 1,
            created_ns=time.time_ns(),
            pid_namespace_device=device,
            pid_namespace_inode=inode,
            **geometry,
        )
    except ValueError as error:
        raise InvalidField(f"The segment cannot be made: {error}.", hint="Use a shorter path or name.") from None


def _new_file(temporary: str) -> posix_ipc.SharedMemory:
    try:
        return posix_ipc.SharedMemory(temporary, posix_ipc.O_CREX, mode=0o600, size=0)
    except (OSError, posix_ipc.Error) as error:
        raise SegmentError(
            f"A segment cannot be made in {SHM}: {error}.", hint=f"Mount a tmpfs on {SHM} that this user may write."
        ) from None


def _reopen(name: str, fd: int) -> int:
    """A descriptor of the same file under its final name: `orphans` finds segments by the name they were opened by."""
    try:
        named = os.open(path_of(name), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:  # removed again already
        return os.dup(fd)
    if os.path.sameopenfile(named, fd):
        return named
    os.close(named)
    return os.dup(fd)


def _allocate(fd: int, size: int) -> None:
    """Reserve every page now: a full /dev/shm is an error here and never a SIGBUS later."""
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.ENOMEM, errno.EFBIG):
            raise
        room = os.statvfs(SHM)
        raise SegmentTooLarge(
            f"A segment of {size:,} bytes does not fit: /dev/shm has {room.f_bavail * room.f_frsize:,} bytes free. "
            "Nothing was made."
        ) from None


def attach(name: str, *, writable: bool = True) -> Segment:
    """Open an existing segment. Raises SegmentMissing, SegmentMismatch, SegmentCorrupt, InvalidField."""
    fd = open_checked(check_name(name), os.O_RDWR if writable else os.O_RDONLY)
    return adopt(name, fd, writable=writable)


def open_checked(name: str, flags: int) -> int:
    """A descriptor of the segment's file, which belongs to this user alone. Raises SegmentMissing, SegmentMismatch."""
    try:
        # NONBLOCK: anybody can put a FIFO into /dev/shm, and opening one would wait for ever.
        fd = os.open(path_of(name), flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise SegmentMissing(f"There is no segment {name!r}.") from None
    except PermissionError:
        raise SegmentMismatch(
            f"The segment {name!r} belongs to another user.", hint="A segment is for the user who made it."
        ) from None
    except OSError as error:
        kind = SegmentError if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM) else SegmentMismatch
        hint = "Close what is not needed, or raise the limit (ulimit -n)." if kind is SegmentError else _not_ours(name)
        raise kind(f"The segment {name!r} cannot be opened: {error.strerror}.", hint=hint) from None
    try:
        _check_file(name, fd)
    except SegmentError as error:
        os.close(fd)
        error.hint = error.hint or _not_ours(name)
        raise
    return fd


def _not_ours(name: str) -> str:
    return f"End its processes and `shmctx unlink {name}`, or choose another name; a database keeps what it has."


def adopt(name: str, fd: int, *, writable: bool = True) -> Segment:
    """Check everything about an open descriptor, then map it. Owns `fd` from here on."""
    try:
        _check_file(name, fd)
        ring = Ring(fd, writable)
        _check_origin(name, ring.header())
    except SegmentError as error:
        os.close(fd)
        error.hint = error.hint or _not_ours(name)
        raise
    except BaseException:
        os.close(fd)
        raise
    return Segment(name, fd, ring)


def _check_file(name: str, fd: int) -> None:
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode):
        raise SegmentCorrupt(f"The segment {name!r} is not a regular file.")
    if facts.st_uid != os.geteuid():
        raise SegmentMismatch(f"The segment {name!r} belongs to uid {facts.st_uid}, this process to {os.geteuid()}.")
    if facts.st_mode & 0o077:
        raise SegmentMismatch(
            f"The segment {name!r} has mode {stat.S_IMODE(facts.st_mode):04o}: others may have written into it.",
            hint=f"If nobody did: chmod 600 {path_of(name)}",
        )


def _check_origin(name: str, header: Header) -> None:
    if header["name"] != name:
        raise SegmentMismatch(f"The segment named {name!r} says that its name is {header['name']!r}.")
    if header["uid"] != os.geteuid():
        raise SegmentMismatch(f"The segment {name!r} was made by uid {header['uid']}.")
    if (header["pid_namespace_device"], header["pid_namespace_inode"]) != process.pid_namespace():
        raise SegmentMismatch(
            f"The segment {name!r} was made in another PID namespace: its lock does not exclude across them.",
            hint="Run both in one PID namespace (docker run --pid, shareProcessNamespace), or use two stores.",
        )
    if header["boot_id"] != process.boot_id():
        raise SegmentMismatch(f"The segment {name!r} is of another boot of this machine.")


def unlink(name: str) -> None:
    """Remove the name. Processes that have it open keep it. Raises SegmentMissing, SegmentMismatch."""
    check_name(name)
    try:
        posix_ipc.unlink_shared_memory("/" + _PREFIX + name)
    except posix_ipc.ExistentialError:
        raise SegmentMissing(f"There is no segment {name!r}.") from None
    except posix_ipc.PermissionsError:
        owner = os.stat(path_of(name)).st_uid
        raise SegmentMismatch(f"The segment {name!r} belongs to uid {owner}; only its owner can remove it.") from None


def names() -> list[str]:
    """Names of all segments on this machine, whoever owns them."""
    if not SHM.is_dir():
        return []
    found = (entry.name for entry in SHM.iterdir() if entry.name.startswith(_PREFIX) and "~" not in entry.name)
    return sorted(name[len(_PREFIX) :] for name in found)


def sweep() -> list[str]:
    """Remove what a process left behind that died while it made a segment; returns the file names."""
    removed = []
    for entry in SHM.iterdir() if SHM.is_dir() else ():
        match = _TEMPORARY.fullmatch(entry.name)
        if match and not process.is_alive(int(match[1]), 0):
            try:
                entry.unlink()
            except OSError:
                continue
            removed.append(entry.name)
    return removed


def orphans(name: str) -> list[tuple[int, Segment]]:
    """Segments whose name was removed while processes still use them: (a pid that does, the segment).

    They are found, and opened, through /proc/PID/fd of this user's processes.
    """
    target = f"{path_of(name)} (deleted)"
    found: dict[int, tuple[int, Segment]] = {}
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        for link in _links_to(directory / "fd", target):
            try:
                fd = os.open(link, os.O_RDWR | os.O_CLOEXEC)
                inode = os.fstat(fd).st_ino
                if inode in found:
                    os.close(fd)
                    continue
                found[inode] = int(directory.name), adopt(name, fd)
            except (OSError, SegmentError):
                continue  # closed meanwhile, or nothing that can be read
    return list(found.values())


def _links_to(directory: Path, target: str) -> list[Path]:
    links = []
    try:
        for entry in directory.iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile; this listing's own descriptor, for one
                if os.readlink(entry) == target:
                    links.append(entry)
    except OSError:
        pass  # another user's process, or one that has just ended
    return links
