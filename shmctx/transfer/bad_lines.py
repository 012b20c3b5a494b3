"""The file that tells of what could not be read or stored, in step with the database."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec

from shmctx.errors import TransferError
from shmctx.transfer.sources import BadLine

NAME = "bad-lines.jsonl"
AGAIN = "Free space on its disk, then run the same command again: it goes on where it was."


class BadLines:
    """The file of what could not be read or stored. What it has beyond `told` bytes no transaction covers."""

    def __init__(self, path: Path, told: int) -> None:
        self._path = path
        self._told = told
        self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def tell(self, bad: Sequence[BadLine]) -> int:
        """Append some and sync them; returns how long the file is then."""
        if not bad:
            return self._told
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                self._told = min(self._told, os.fstat(self._fd).st_size)
                os.ftruncate(self._fd, self._told)
            text = b"".join(as_json(line) for line in bad)
            os.pwrite(self._fd, text, self._told)
            os.fdatasync(self._fd)
        except OSError as error:
            raise TransferError(f"{self._path} cannot be written: {error.strerror}.", hint=AGAIN) from error
        self._told += len(text)
        return self._told


def as_json(line: BadLine) -> bytes:
    """One line of the file: where it was read, why it is no use, how long it is and how it begins."""
    told = {"file": line.file, "line": line.line, "reason": line.reason, "bytes": line.size}
    return msgspec.json.encode(told | {"begins": line.raw.decode(errors="replace")}) + b"\n"
