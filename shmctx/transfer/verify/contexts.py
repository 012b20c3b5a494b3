"""Every context with what belongs to it: its line of the log, texts, session, parent, large fields, and its number."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from shmctx.cold.checksums import context_row, proven
from shmctx.cold.rows import SPAN, Row, log_place
from shmctx.context import EVENT_PREFIX
from shmctx.payloads import named, refers
from shmctx.refs import make_ref, native_id
from shmctx.transfer.verify.logfiles import LogLines, is_blank
from shmctx.transfer.verify.report import Notebook
from shmctx.transfer.verify.snapshot import Database, Stretch

Progress = Callable[[int, int], None]
"""Called with (granules done, granules in all)."""

PATIENCE = 2.0
"""Seconds to wait, in all, for whoever may be forgetting events."""
_PAUSE = 0.02
_POSITION, _TIME, _NAME, _PARENT, _SESSION, _PLACE, _CHECKSUM = 0, 1, 2, 4, 10, 11, 21
_MAX_NS = (1 << 63) - 1


class _Line(msgspec.Struct, frozen=True):
    """What a line of the log says of its event."""

    ref: str = ""
    event_name: str = ""
    data: dict[str, Any] = {}


_decode = msgspec.json.Decoder(_Line).decode


def check_contexts(database: Database, log: LogLines, book: Notebook, progress: Progress) -> Counter[int]:
    """Look at all contexts, a stretch of positions at a time. Returns how many refer to each segment of the log.

    Whatever is found wrong is looked at a second time before it is told: the store may be in use, and a row that was
    forgotten between its SELECT and the reading of its line is nothing wrong.
    """
    referring: Counter[int] = Counter()
    second = _SecondLook(database, log)
    start = 0
    while (first := database.next_stretch(start)) is not None:
        stretch = database.stretch(first)
        referring.update(row[_PLACE] >> 32 for row in stretch.rows if row[_PLACE] is not None)
        found = book.scratch()
        blank = _Examination(stretch, _lines(stretch, log), database, found).run()
        book.adopt(second.at(first, book) if found.has_problems or blank else found)
        start = first + SPAN
        progress(min(start, stretch.store.position), stretch.store.position)
    return referring


class _SecondLook:
    """Looks at a stretch again. A line that is blank although its row is there may be at that moment forgotten, which
    syncs the one before it commits the other: it is a problem if both are so after the next commits too."""

    def __init__(self, database: Database, log: LogLines) -> None:
        self._database = database
        self._log = log
        self._patience = PATIENCE

    def at(self, first: int, book: Notebook) -> Notebook:
        """What is found."""
        suspects: dict[str, str] | None = None
        for _ in range(3):
            before = self._database.changes()
            stretch = self._database.stretch(first)
            found = book.scratch()
            places = [row[_PLACE] for row in stretch.rows if row[_PLACE] is not None]
            blank = _Examination(stretch, self._log.at(places), self._database, found).run()
            suspects = blank if suspects is None else {ref: blank[ref] for ref in suspects.keys() & blank.keys()}
            if not suspects or not self._commit_after(before):
                break
        for ref, where in sorted((suspects or {}).items()):
            found.problem("line_blank", ref, f"The line with its data, at {where}, is blank.")
        return found

    def _commit_after(self, before: int) -> bool:
        """Wait for a commit, as long as there is patience for it in one verification."""
        while self._database.changes() == before:
            if self._patience <= 0:
                return False
            time.sleep(_PAUSE)
            self._patience -= _PAUSE
        return True


def _lines(stretch: Stretch, log: LogLines) -> dict[int, bytes]:
    """The lines of a stretch's events by their places, most of them met on the way through the log."""
    places = {row[_PLACE] for row in stretch.rows if row[_PLACE] is not None}
    found = log.through(places, stretch.store.log_end)
    if len(found) < len(places):
        elsewhere = log.at(sorted(places.difference(found)))
        log.strays.subtract(place >> 32 for place in elsewhere)
        found |= elsewhere
    return found


class _Examination:
    """One stretch with its lines."""

    def __init__(self, stretch: Stretch, lines: dict[int, bytes], database: Database, book: Notebook) -> None:
        self._stretch = stretch
        self._lines = lines
        self._database = database
        self._book = book
        self._store_id = stretch.store.store_id
        self._blank: dict[str, str] = {}

    def run(self) -> dict[str, str]:
        """Look at everything. Returns where the lines of which contexts are blank, which is told by nobody else."""
        self._whole()
        for row in self._stretch.rows:
            self._context(row)
        for row in self._stretch.odd:
            self._book.problem("changed", self._ref(row[_POSITION]), "Its row holds what it cannot hold.")
        there = {row[_POSITION] for row in (*self._stretch.rows, *self._stretch.odd)}
        for position in self._stretch.uses.keys() - there:
            self._book.problem(
                "payload_use_unneeded", self._ref(position), "Uses a large field, but there is no such context."
            )
        return self._blank

    def _ref(self, position: int) -> str:
        return make_ref(self._store_id, position)

    def _whole(self) -> None:
        """How many there are, between which times, and none that was not drained yet."""
        rows, span, first = [*self._stretch.rows, *self._stretch.odd], self._stretch.span, self._stretch.first
        where = f"positions {first} to {first + SPAN - 1}"
        low, high, expected = span or (_MAX_NS, 0, 0)
        if len(rows) != expected:
            kind = "rows_missing" if len(rows) < expected else "rows_unexpected"
            self._book.problem(kind, where, f"There are {len(rows)} contexts; {expected} were stored and not removed.")
        elif not all(low <= row[_TIME] <= high for row in self._stretch.rows):
            self._book.problem("span", where, "Contexts have times outside of those that the table `span` gives.")
        last = max((row[_POSITION] for row in rows), default=-1)
        if last >= self._stretch.store.position:
            detail = f"It is behind the drain position, {self._stretch.store.position}."
            self._book.problem("rows_unexpected", self._ref(last), detail)

    def _context(self, row: Row) -> None:
        ref, place = self._ref(row[_POSITION]), row[_PLACE]
        line = b"" if place is None else self._lines.get(place, b"")
        self._book.counts["contexts"] += 1
        self._book.counts["events"] += place is not None
        if place is None or self._is_its(line, ref, place):
            self._bytes(row, ref, line)
            if refers(line) or row[_POSITION] in self._stretch.uses:
                self._large_fields(row[_POSITION], ref, line)
        self._named(row, ref)

    def _is_its(self, line: bytes, ref: str, place: int) -> bool:
        """Whether the line that lies where the row says is this event's."""
        if line.startswith(b'{"ref":"%b"' % ref.encode()):
            return True
        where = "byte {1} of segment {0} of the log".format(*log_place(place))
        if not line:
            self._book.problem("line_missing", ref, f"No line begins at {where}, where its data should be.")
        elif is_blank(line):
            self._blank[ref] = where
        else:
            other = _decoded(line)
            whose = f"the line of {other.ref}" if other and other.ref else "no line of an event"
            self._book.problem("line_foreign", ref, f"At {where}, where its data should be, is {whose}.")
        return False

    def _bytes(self, row: Row, ref: str, line: bytes) -> None:
        """Whether row and line are what was drained."""
        known = row[_CHECKSUM]
        if known is None:
            self._book.note("unchecked", ref, "Stored before rows had checksums.")
        elif proven(context_row(row[:_CHECKSUM]), known, line):
            return
        decoded = _decoded(line) if line else None
        if line and decoded is None:
            self._book.problem("changed", ref, "Its line of the log is no event any more.")
        elif decoded and decoded.event_name != self._stretch.texts.get(row[_NAME]):
            self._book.problem("changed", ref, "Its row and its line of the log give it two names.")
        elif known is not None:
            what = "Its row or its line of the log is" if line else "Its row is"
            self._book.problem("changed", ref, f"{what} not what was drained: the checksum is another one.")

    def _named(self, row: Row, ref: str) -> None:
        """What the row names by number or id."""
        for column in (row[_NAME], row[8], row[9]):
            if column is not None and column not in self._stretch.texts:
                self._book.problem("text_missing", ref, f"Its name, agent or client, number {column}, is not there.")
        session = row[_SESSION]
        if session is not None and session not in self._stretch.sessions:
            self._book.problem("session_missing", ref, f"Its session, at position {session}, is not there.")
        parent = row[_PARENT]
        if parent is not None and parent not in self._stretch.parents:
            self._book.note("parent_missing", ref, f"Its parent {self._identity(parent)} is not in the store.")

    def _identity(self, column: int | str) -> str:
        if isinstance(column, str):
            return column
        return native_id(EVENT_PREFIX, self._store_id, column) if column >= 0 else f"{EVENT_PREFIX}{-1 - column:08x}"

    def _large_fields(self, position: int, ref: str, line: bytes) -> None:
        decoded = _decoded(line)
        marked = set(named(decoded.data)) if decoded else set()
        noted = self._stretch.uses.get(position, [])
        uses = {digest for digest in noted if digest is not None}
        gone = len(noted) - len(uses)
        if gone:
            self._book.problem("payload_missing", ref, f"{gone} of its {len(noted)} large fields are not there.")
            return
        for digest in sorted(marked.difference(uses)):
            if self._database.has_payload(digest):
                detail = f"It needs the large field {digest.hex()}, which pruning would remove: no row says so."
                self._book.problem("payload_use_missing", ref, detail)
            else:  # small data may hold what looks like a reference
                detail = f"Its data names {digest.hex()}, which is no large field of the store."
                self._book.note("payload_unknown", ref, detail)
        for unneeded in uses.difference(marked):
            detail = f"The large field {unneeded.hex()} is kept for it, and its data does not name it."
            self._book.problem("payload_use_unneeded", ref, detail)


def _decoded(line: bytes) -> _Line | None:
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
