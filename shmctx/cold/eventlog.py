"""The event log as part of the database's transactions.

Lines are appended and synced before the commit that says how far the log goes; what a crash leaves beyond that is cut
off before anything else is appended, so each event is in the log exactly once.
"""

import sqlite3
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shmctx.cold.logged import directory_of
from shmctx.errors import ColdMismatch, LogDamaged, LogUnavailable
from shmctx.forks import fork_gate

if TYPE_CHECKING:
    from shmctx.log.sweep import Blanking
    from shmctx.log.writer import LogTail, LogWriter, Placed

REST = 60.0
"""Seconds until compressing is tried again where it failed."""
OWNER = "store"
"""The file that names the store whose log a directory holds."""
MAX_SEGMENT = 1 << 32
"""Bytes: a row has 32 bits for where a line begins."""


class EventLog:
    """Appends for the one connection that writes."""

    def __init__(
        self, connection: sqlite3.Connection, database: Path, directory: Path | None, *, rotate_bytes: int
    ) -> None:
        """`directory`: where the log is to be from now on; None: where it is."""
        self._db = connection
        self._database = database
        self._directory = directory
        self._rotate_bytes = min(rotate_bytes, MAX_SEGMENT)
        self._writer: LogWriter | None = None
        self._tail: LogTail | None = None
        self._resting = 0.0
        self._notes: list[str] = []

    @property
    def directory(self) -> Path:
        """Where the log is."""
        return directory_of(self._database, self._db.execute("SELECT log_directory FROM store").fetchone()[0])

    def settle(self) -> None:
        """Open the log and cut off what a predecessor appended and did not commit; in a transaction. Idempotent.

        Raises LogUnavailable, and ColdMismatch where the log is to be moved but its files were not, or the directory
        holds another store's log by now: what is to be cut off there may be what that store has committed.
        """
        from shmctx.log.writer import LogTail, LogWriter  # agents never load what only a leader needs

        if self._writer is not None:
            return
        store_id, *row = self._db.execute("SELECT store_id, log_number, log_day, log_size FROM store").fetchone()
        tail = None if row[0] is None else LogTail(*row)
        directory = self.directory
        if self._directory not in (None, directory):
            directory = self._moved(directory, tail)
        owner = _owner(directory)
        if tail is not None and owner not in (store_id, None):
            raise ColdMismatch(
                f"{directory} holds the event log of store {owner:06x}, that of {self._database} is {store_id:06x}.",
                hint="Give every store an event log of its own.",
            )
        writer = LogWriter(directory, rotate_bytes=self._rotate_bytes)
        self._remember(writer.open(tail))
        self._writer = writer
        if owner != store_id:
            _claim(directory, store_id)

    def _moved(self, former: Path, tail: "LogTail | None") -> Path:
        assert self._directory is not None
        if tail is not None and tail.size and not list(self._directory.glob(f"{tail.number:08}.*")):
            raise ColdMismatch(
                f"The event log of {self._database} lies in {former}, not in {self._directory}.",
                hint="Name that directory, or move its files to the new one first.",
            )
        self._db.execute("UPDATE store SET log_directory = ?", (str(self._directory),))
        return self._directory

    def append(self, lines: Sequence[bytes], times_ns: Sequence[int]) -> Sequence["Placed"]:
        """Append lines without newline; returns where they are, see LogWriter.append. Raises LogUnavailable."""
        if self._writer is None:
            self.settle()
        assert self._writer is not None
        places, tails = self._writer.append(lines, times_ns)
        self._tail = tails[-1] if tails else None
        return places

    def blank(self, places: Iterable[tuple[int, int]]) -> None:
        """Overwrite the lines at these (segment number, byte offset), durably. Raises LogUnavailable.

        A line that is not where it should be cannot be found to be blanked; `lost` tells of it.
        """
        from shmctx.log import erase

        by_number: dict[int, list[int]] = {}
        for number, offset in places:
            by_number.setdefault(number, []).append(offset)
        for number, offsets in by_number.items():
            try:
                erase.blank(self.directory, number, offsets)
            except LogDamaged as error:
                self.tell(f"Lines that were to be forgotten could not be found. {error.message}")

    def tell(self, message: str) -> None:
        """Have it reported with what is lost."""
        self._notes.append(message)

    def remove(self, number: int) -> int:
        """Remove a segment of which nothing is needed any more; returns its bytes. Raises LogUnavailable."""
        from shmctx.log import erase

        return erase.remove(self.directory, number)

    def blank_all_but(self, number: int, needed: Collection[int]) -> "Blanking":
        """Begin to blank the lines of a segment that do not begin at these offsets."""
        from shmctx.log.sweep import Blanking

        return Blanking(self.directory, number, needed)

    def _remember(self, tail: "LogTail") -> None:
        self._db.execute(
            "UPDATE store SET log_number = ?, log_day = ?, log_size = ?", (tail.number, tail.day, tail.size)
        )

    def before_commit(self) -> None:
        """Inside the transaction: the lines are on disk, and the database says how far they go."""
        if self._writer is not None and self._tail is not None:
            self._writer.sync()
            self._remember(self._tail)
        self._tail = None

    def rolled_back(self) -> None:
        """The transaction failed: take back what was appended in it."""
        self._tail = None
        if self._writer is not None:
            self._writer.undo()

    def maintain(self) -> bool:
        """One small step of compressing rotated segments; False if there is nothing to do now.

        Where that fails nothing is lost, and no drain is to wait for it: `lost` tells the reason.
        """
        if self._writer is None or time.monotonic() < self._resting:
            return False
        try:
            with fork_gate:
                return self._writer.maintain()
        except LogUnavailable as error:
            self._resting = time.monotonic() + REST
            self._writer.lost.append(str(error))
            return False

    def lost(self) -> list[str]:
        """What was found missing in the log since the last call: somebody removed or cut files."""
        lost, self._notes = self._notes, []
        if self._writer is not None:
            lost += self._writer.lost
            self._writer.lost = []
        return lost

    def close(self) -> None:
        """Close the log's files."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _owner(directory: Path) -> int | None:
    """The store whose log a directory holds; None if nothing says so."""
    try:
        return int((directory / OWNER).read_bytes(), 16)
    except (OSError, ValueError):
        return None


def _claim(directory: Path, store_id: int) -> None:
    from shmctx.log import files

    with files.translated(directory):
        (directory / OWNER).write_text(f"{store_id:06x}\n")
