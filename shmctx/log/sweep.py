"""Blanking most of a file of the log in a thread: it reads and compresses the whole file again."""

import threading
from collections.abc import Collection
from pathlib import Path

from shmctx.errors import ShmctxError
from shmctx.log import erase
from shmctx.log.reader import LogReader


class Blanking(threading.Thread):
    """Blanks all lines of a segment but those at some offsets. Starts at once; ends by itself."""

    def __init__(self, directory: Path, number: int, needed: Collection[int]) -> None:
        super().__init__(name=f"shmctx log {number}", daemon=True)
        self._directory = directory
        self._number = number
        self._needed = needed
        self._error: ShmctxError | None = None
        self._blanked = self._saved = 0
        self.start()

    def run(self) -> None:
        """In the thread."""
        try:
            lines = LogReader(self._directory).scan(self._number)
            offsets = [at for at, line in lines if at not in self._needed and not line.startswith(erase.FORGOTTEN)]
            self._saved = erase.blank(self._directory, self._number, offsets)
            self._blanked = len(offsets)
        except ShmctxError as error:
            self._error = error

    def result(self) -> tuple[int, int]:
        """(lines blanked, bytes won on disk), once it has ended. Raises LogUnavailable, LogDamaged."""
        if self._error is not None:
            raise self._error
        return self._blanked, self._saved
