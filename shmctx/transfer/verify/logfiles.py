"""The event log under verification: its lines in order, each read once, and what is wrong with its files."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from shmctx.cold.eventlog import OWNER
from shmctx.cold.rows import log_column, log_place
from shmctx.errors import LogDamaged
from shmctx.log import files
from shmctx.log.erase import FORGOTTEN
from shmctx.log.reader import LogReader
from shmctx.log.seekable import Frames
from shmctx.transfer.verify.report import Notebook
from shmctx.transfer.verify.snapshot import Database

Placed = tuple[int, bytes]
"""(place as a row holds it, line)."""


class LogLines:
    """The lines of a log in order, up to where it is committed."""

    def __init__(self, directory: Path, book: Notebook) -> None:
        self.reader = LogReader(directory)
        self.lines: Counter[int] = Counter()
        """Met so far, by segment."""
        self.strays: Counter[int] = Counter()
        """Lines that no context claimed on the way and that are not blank."""
        self._book = book
        self._number = 0
        self._offset = 0
        self._scan: Iterator[tuple[int, bytes]] = iter(())
        self._ahead: Placed | None = None

    def through(self, places: set[int], end: int) -> dict[int, bytes]:
        """Go on behind the last of these places, but not beyond `end`; the lines that are at them.

        What lies before, or is damaged, is left to `at`.
        """
        found: dict[int, bytes] = {}
        if not places:
            return found
        last = min(max(places), end - 1)
        for place, line in self._until(last):
            if place in places:
                found[place] = line
            elif not is_blank(line):
                self.strays[place >> 32] += 1
        return found

    def finish(self, end: int) -> None:
        """Go on to `end`: nobody asked for what is left."""
        for place, line in self._until(end - 1):
            self.strays[place >> 32] += not is_blank(line)

    def _until(self, last: int) -> Iterator[Placed]:
        while (ahead := self._peek()) is not None and ahead[0] <= last:
            self._ahead = None
            self.lines[ahead[0] >> 32] += 1
            yield ahead

    def at(self, places: Sequence[int]) -> dict[int, bytes]:
        """The lines at these places, wherever they are."""
        lines = self.reader.lines([log_place(place) for place in places])
        return {place: line for place, line in zip(places, lines, strict=True) if line is not None}

    def _peek(self) -> Placed | None:
        """The next line, which stays ahead; None at the end, as it is now."""
        looked_again = False
        while self._ahead is None:
            try:
                for offset, line in self._scan:
                    self._offset = offset + len(line) + 1
                    self._ahead = log_column(self._number, offset), line
                    return self._ahead
            except LogDamaged as error:
                self._book.problem("log_damaged", _named(self._number), error.message)
                if error.next_offset is not None:
                    self._offset = error.next_offset
                    self._scan = self.reader.scan(self._number, self._offset)
                    continue
            later = [segment.number for segment in self.reader.segments() if segment.number > self._number]
            if later:
                self._number, self._offset = later[0], 0
            elif looked_again:
                return None
            else:
                looked_again = True  # the newest segment may have grown since its end was met
            self._scan = self.reader.scan(self._number, self._offset)
        return self._ahead


def _named(number: int) -> str:
    return f"segment {number}"


def is_blank(line: bytes) -> bool:
    """Whether a line was forgotten or has expired."""
    return line.startswith(FORGOTTEN) or not line.strip()


def check_files(database: Database, log: LogReader, book: Notebook) -> None:
    """Which files there are, whose they are, whether they end where they should, and their seek tables."""
    store = database.store()  # before any file is looked at: they only grow
    segments = log.segments()
    book.counts["log_segments"] = len(segments)
    for number in _missing(database, log):
        book.problem("log_missing", _named(number), "Its file is gone, and contexts have their data in it.")
    owner = log.directory / OWNER
    if segments and (not owner.is_file() or owner.read_bytes().strip() != f"{store.store_id:06x}".encode()):
        book.problem("log_foreign", str(owner), f"It does not name store {store.store_id:06x}.")
    for segment in segments:
        try:
            size = _text_size(segment)
        except LogDamaged as error:
            book.problem("log_damaged", _named(segment.number), error.message)
            continue
        except FileNotFoundError:  # compressed or removed meanwhile
            continue
        if segment.number == store.log_number and size < (store.log_size or 0):
            gone = (store.log_size or 0) - size
            book.problem("log_truncated", str(segment.path), f"Its last {gone} bytes are gone.")
        elif log_column(segment.number, size) > database.store().log_end:
            book.note("log_uncommitted", str(segment.path), "No transaction covers its end: the next leader cuts it.")


def _missing(database: Database, log: LogReader) -> set[int]:
    """Segments that contexts refer to and that have no file, also at a second look: they come and go."""
    missing: set[int] = set()
    for _ in range(2):
        needed = {row[0] for row in database.numbers("SELECT number FROM log_segment WHERE kept > 0")}
        missing = needed.difference(segment.number for segment in log.segments())
        if not missing:
            break
    return missing


def _text_size(segment: files.Segment) -> int:
    """Bytes of a segment's text. Raises LogDamaged, LogUnavailable, FileNotFoundError."""
    try:
        with files.opened(segment.path, os.O_RDONLY | os.O_NOFOLLOW) as descriptor:
            if segment.compressed:
                return Frames.read(descriptor, segment.path.name).size
            return os.fstat(descriptor).st_size
    except FileNotFoundError:
        raise
    except OSError:
        with files.translated(segment.path):
            raise


def check_tallies(database: Database, log: LogLines, referring: Counter[int], book: Notebook, *, still: bool) -> None:
    """Whether each segment has as many lines as the database counts, and as many contexts refer to it (`referring`)."""
    counted = database.numbers("SELECT number, lines, kept, blanked FROM log_segment ORDER BY number")
    for number in referring.keys() - {row[0] for row in counted}:
        rows, expected = _referring(database, number)
        if rows != expected:
            book.problem("rows_unexpected", _named(number), f"{rows} contexts refer to its lines; it is not known.")
    for number, lines, kept, blanked in counted:
        book.counts["lines"] += log.lines[number]
        where = _named(number)
        met, written = log.lines[number], lines
        if met != written:
            met, written = _recounted(database, log, number)
        if met != written and (met or kept > 0):  # a file goes before it is forgotten
            book.problem("log_lines", where, f"It has {met} lines; {written} were written.")
        unneeded = lines - kept - blanked
        rows, expected = referring[number], kept
        if rows != expected:
            rows, expected = _referring(database, number)
        if rows != expected:
            kind = "rows_missing" if rows < expected else "rows_unexpected"
            book.problem(kind, where, f"{rows} contexts refer to its lines; {expected} should.")
        elif still and log.strays[number] > max(unneeded, 0):
            strays = log.strays[number] - max(unneeded, 0)
            book.note("log_unneeded", where, f"{strays} lines lead to no context, and are not counted as expired.")


def _recounted(database: Database, log: LogLines, number: int) -> tuple[int, int]:
    """(lines there, lines written), as of one moment: while the log is written, what was met before is fewer."""
    with database.snapshot():
        store = database.store()
        written = database.numbers("SELECT lines FROM log_segment WHERE number = ?", (number,))
    end = (store.log_size or 0) if number == store.log_number else 1 << 32
    found, offset = 0, 0
    while True:
        try:
            found += sum(at < end for at, _ in log.reader.scan(number, offset))
        except LogDamaged as error:
            if error.next_offset is None:
                break
            offset = error.next_offset
            continue
        break
    return found, written[0][0] if written else found


def _referring(database: Database, number: int) -> tuple[int, int]:
    """(contexts that refer to a segment, how many should), as of one moment."""
    with database.snapshot():
        found = database.numbers("SELECT kept FROM log_segment WHERE number = ?", (number,))
        places = number << 32, number << 32 | 0xFFFFFFFF
        rows = database.numbers("SELECT count(*) FROM record WHERE log_place BETWEEN ? AND ?", places)
    return rows[0][0], found[0][0] if found else 0
