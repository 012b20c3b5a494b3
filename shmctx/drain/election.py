"""Who drains a database: the process that holds `flock` on the file beside it.

The kernel gives the lock back at the holder's death, across PID namespaces too, and never while the holder is merely
slow. It lies beside the database, not in /dev/shm, because it must fence everybody who can write that file. `flock`
and not fcntl: fcntl locks drop when any descriptor of the file is closed in the process.
"""

import fcntl
import os
from pathlib import Path

from shmctx.errors import ColdUnavailable
from shmctx.forks import fork_gate


class Election:
    """This process's candidacy for one database."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.path = Path(f"{database}.lock")
        self._fd = -1

    @property
    def won(self) -> bool:
        """Whether this process holds the lock."""
        return self._fd >= 0

    def try_win(self) -> bool:
        """Take the lock if it is free; never waits. Raises ColdUnavailable if its file cannot be made."""
        if self.won:
            return True
        with fork_gate:  # a child must not inherit a locked descriptor that nobody has noted yet
            return self._try_win()

    def _try_win(self) -> bool:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ColdUnavailable(
                f"The lock file {self.path} cannot be opened: {error.strerror}.",
                hint="Check that its directory exists, is writable and belongs to this user.",
            ) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return False
        if not self._still_named(fd):  # removed or replaced between open and flock: the lock would fence nobody
            os.close(fd)
            return False
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd
        return True

    def _still_named(self, fd: int) -> bool:
        try:
            named = os.stat(self.path)
        except OSError:
            return False
        mine = os.fstat(fd)
        return (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino)

    def holds(self) -> bool:
        """Whether this process holds the lock, and the lock file's name still leads to it."""
        return self.won and self._still_named(self._fd)

    def holder(self) -> int:
        """The pid that the last winner wrote down, for messages; 0 if unknown."""
        try:
            return int(self.path.read_text() or 0)
        except (OSError, ValueError):
            return 0

    def resign(self) -> None:
        """Give the lock back."""
        if self.won:
            os.close(self._fd)
            self._fd = -1

    def forked(self) -> None:
        """In a forked child: close the inherited descriptor, which would keep the lock held after the parent's death.
        The parent's lock stays: it belongs to the open file, which the parent still has."""
        self.resign()
