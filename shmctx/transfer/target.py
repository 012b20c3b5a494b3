"""A file that is there whole or not at all."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from shmctx.errors import TargetUnavailable
from shmctx.log.files import sync_directory, temporary

_HINTS = {
    errno.ENOSPC: "Free space on its disk, or write to another one; what was written so far is removed.",
    errno.EDQUOT: "Free space in this user's quota; what was written so far is removed.",
    errno.ENOENT: "Make its folder first.",
    errno.EACCES: "Name a file in a folder that this user may write.",
    errno.EROFS: "Name a file on a disk that can be written.",
}


@contextlib.contextmanager
def written(target: Path, *, replace: bool) -> Iterator[Path]:
    """A path to write to, in the target's folder, mode 0600. Synced and renamed when the block ends well, else removed.

    Raises TargetUnavailable where the target is there already and not to be replaced, or cannot be written.
    """
    if target.exists() and not (replace and target.is_file()):
        raise TargetUnavailable(
            f"{target} is there already, and was not touched.",
            hint="Name another file" + (", or replace this one with --force." if target.is_file() else "."),
        )
    with translated(target):
        with temporary(target) as (path, descriptor):
            yield path
            os.fsync(descriptor)
            path.rename(target)
        sync_directory(target.parent)


@contextlib.contextmanager
def translated(target: object) -> Iterator[None]:
    """Operating system errors as TargetUnavailable with what to do next, but for a reader that went away."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise TargetUnavailable(
            f"{target} cannot be written: {error.strerror or error}.", hint=_HINTS.get(error.errno or 0, "")
        ) from error
