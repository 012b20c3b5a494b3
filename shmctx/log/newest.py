"""The file of the newest segment: one process appends to it, under a flock that tells if another one still does."""

import contextlib
import os
from pathlib import Path
from weakref import WeakSet

from shmctx.errors import LogUnavailable
from shmctx.log import files

COPY_TIMEOUT = 5.0
"""Seconds to wait for the directory's lock before a file is copied away from its former writer."""


class NewestSegment:
    """An open segment. Methods raise OSError; the caller translates."""

    def __init__(self, descriptor: int, path: Path, number: int, day: str, size: int) -> None:
        self._descriptor = descriptor
        self.path = path
        self.number = number
        self.day = day
        self.size = size
        """Bytes that belong to the log; the file may have more for a moment."""
        self._written = False
        _open.add(self)

    @classmethod
    def create(cls, directory: Path, number: int, day: str) -> "NewestSegment":
        """A new file. LogUnavailable if it is there: another process writes this log."""
        files.make_directory(directory)
        path = directory / files.file_name(number, day)
        try:
            descriptor = files.open_new(path)
        except FileExistsError:
            raise _foreign(path) from None
        files.try_lock(descriptor)
        segment = cls(descriptor, path, number, day, 0)
        try:
            segment.show()
        except BaseException:
            segment.discard()
            raise
        return segment

    @classmethod
    def take(cls, path: Path, number: int, day: str, size: int) -> "NewestSegment | None":
        """The file that a former writer left, cut to `size` bytes; None if it is gone or shorter.

        If that writer has it open still (it was deposed while it was stopped), the log goes on in a copy under the
        same name, and whatever the former one writes, or takes back, is in a file without a name.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        segment = cls(descriptor, path, number, day, size)
        try:
            if os.fstat(descriptor).st_size < size:
                segment.close()
                return None
            if not files.try_lock(descriptor):
                segment._copy()
            os.ftruncate(segment._descriptor, size)
            segment.show()
        except BaseException:
            segment.close()
            raise
        return segment

    def _copy(self) -> None:
        with files.exclusive(self.path.parent, COPY_TIMEOUT) as held:
            if not held:
                raise _foreign(self.path)
            with files.temporary(self.path) as (unfinished, descriptor):
                copied = 0
                while copied < self.size:
                    copied += os.sendfile(descriptor, self._descriptor, copied, self.size - copied)
                os.fsync(descriptor)
                copy = os.dup(descriptor)
                files.try_lock(copy)
                os.close(self._descriptor)
                self._descriptor = copy
                unfinished.rename(self.path)
            files.sync_directory(self.path.parent)

    def check(self) -> bool:
        """Before an append: False if the file was removed or cut, LogUnavailable if another one has its name.

        Writing to a file without a name would succeed, and be lost.
        """
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        if not self._is(found):
            raise _foreign(self.path)
        if found.st_size > self.size:  # an append was undone
            os.ftruncate(self._descriptor, self.size)
        return found.st_size >= self.size

    def _is(self, found: os.stat_result) -> bool:
        return os.path.samestat(found, os.fstat(self._descriptor))

    def append(self, data: bytes) -> None:
        """Write behind the last line."""
        self._written = True
        files.write_all(self._descriptor, data, self.size)
        self.size += len(data)

    def sync(self) -> None:
        """To disk, if anything was written since the last time."""
        if self._written:
            os.fdatasync(self._descriptor)
            self._written = False

    def show(self) -> None:
        """Let `current.jsonl` point to this segment."""
        link = self.path.with_name(files.CURRENT)
        with contextlib.suppress(OSError):
            if os.readlink(link) == self.path.name:
                return
        new = link.with_name(f"{files.CURRENT}{files.TEMPORARY}")
        new.unlink(missing_ok=True)
        new.symlink_to(self.path.name)
        new.rename(link)

    def discard(self) -> None:
        """Remove the file, unless another writer's has its name by now."""
        with contextlib.suppress(FileNotFoundError):
            if self._is(os.stat(self.path, follow_symlinks=False)):
                self.path.unlink()
        self.close()

    def close(self) -> None:
        """Let the next writer have it. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


_open: WeakSet[NewestSegment] = WeakSet()


def _forked() -> None:
    """In a forked child: the flock must not outlive the writer, nor the space of a file that is removed."""
    for segment in list(_open):
        segment.close()


os.register_at_fork(after_in_child=_forked)


def _foreign(path: Path) -> LogUnavailable:
    return LogUnavailable(
        f"Another process has replaced {path}, a file of the event log, or writes it too.",
        hint="The leader opens the log again by itself; give every store an event log of its own.",
    )
