"""Records into rows, many at a time: the drain's inner loop.

Binding a value costs SQLite's Python module more than storing it, so a context without optional fields, as most are,
binds only the columns it has, and one statement takes many rows.
"""

import contextlib
import math
import sqlite3
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, starmap
from operator import itemgetter
from typing import Protocol

from shmctx.cold import rows
from shmctx.cold.checksums import checked
from shmctx.cold.logged import encode_line
from shmctx.cold.marking import Marker, Placed
from shmctx.cold.texts import Texts
from shmctx.hot._core import ANNOTATION, CONTEXT, MARK, PAYLOAD, SESSION, make_ref
from shmctx.hot.shapes import RecordTuple
from shmctx.marks import decode_mark
from shmctx.records import NOT_DECODABLE, StoredEvent, decode_event

Decoded = tuple[int, int, StoredEvent]
"""(position, time in ns, context with data)."""

ROWS_PER_STATEMENT = 64
_LAST_NS = (1 << 63) - 1
_NEWLINE = ord("\n")  # to look for bytes in bytes, Python fails to take them for a number first
_NULL = math.nan
"""Stored as NULL, because SQLite has no NaN. None would cost ten times as much: Python's sqlite3 looks for an adapter
of whatever is neither a number nor a text."""

_first = itemgetter(0)


class Log(Protocol):
    """Where event data goes."""

    def append(self, lines: Sequence[bytes], times_ns: Sequence[int]) -> Sequence[tuple[int, list[int]]]:
        """Append lines without newline, each with its time; returns (segment number, byte offsets) of lines in a row.
        Raises LogUnavailable."""

    def blank(self, places: Iterable[tuple[int, int]]) -> None:
        """Make lines unreadable, durably. Raises LogUnavailable."""


class Inserter:
    """Inserts into one connection, inside the caller's transactions; event data goes to the log."""

    def __init__(self, connection: sqlite3.Connection, log: Log) -> None:
        self._db = connection
        self._log = log
        self._marker = Marker(connection, log)
        self._texts = Texts(connection)

    def forgot(self) -> bool:
        """Whether something was forgotten since the last call."""
        return self._marker.forgot()

    def rolled_back(self) -> None:
        """A transaction was rolled back: ids that it gave may be given again."""
        self._texts.clear()
        self._marker.rolled_back()

    def insert(self, records: Sequence[RecordTuple]) -> int:
        """Insert records, skipping those that are there. What fits no table goes to the quarantine.

        Returns how many contexts, sessions and annotations were new.
        """
        tables: dict[str, list[rows.Row]] = {sql: [] for sql in rows.INSERTS}
        large: list[rows.Row] = []
        marks: list[Placed] = []
        events: list[Decoded] = []
        rejected: list[rows.Row] = []
        for record in records:
            position, kind, _, time_ns, payload = record
            try:
                if kind == CONTEXT:
                    events.append((position, time_ns, decode_event(payload)))
                elif kind == SESSION:
                    tables[rows.INSERT_SESSION].append(checked(rows.session_row(position, payload)))
                elif kind == ANNOTATION:
                    tables[rows.INSERT_ANNOTATION].append(checked(rows.annotation_row(position, time_ns, payload)))
                elif kind == PAYLOAD:
                    large.append(rows.payload_row(position, payload))
                elif kind == MARK:
                    marks.append((position, decode_mark(payload, position)))
                else:
                    rejected.append((position, kind, "unknown kind of record", payload))
            except (*NOT_DECODABLE, ValueError, TypeError) as error:
                rejected.append((position, kind, str(error), payload))
        events = self._without_forgotten(marks, events, tables)
        known = self._known(events)
        self._insert_contexts(events, known, tables, rejected)
        self._db.executemany(rows.INSERT_PAYLOAD, large)
        new = {sql: self._insert_rows(sql, found, records, rejected) for sql, found in tables.items()}
        self._note_spans(events, known.union(row[0] for row in rejected))
        self._note_arrivals(events)
        self._note_uses(events)
        self._count_annotations(new[rows.INSERT_ANNOTATION])
        self.quarantine(rejected)
        self._marker.apply(marks)
        return sum(new.values())

    def _without_forgotten(
        self, marks: list[Placed], events: list[Decoded], tables: dict[str, list[rows.Row]]
    ) -> list[Decoded]:
        """The events that may be stored; of annotations, what names a forgotten context is taken out."""
        noted = tables[rows.INSERT_ANNOTATION]
        gone = self._marker.gone(marks, chain((event[0] for event in events), (row[1] for row in noted)))
        if not gone:
            return events
        tables[rows.INSERT_ANNOTATION] = [row for row in noted if row[1] not in gone]
        return [event for event in events if event[0] not in gone]

    def _insert_contexts(
        self, events: list[Decoded], known: set[int], tables: dict[str, list[rows.Row]], rejected: list[rows.Row]
    ) -> None:
        """Write the log's lines, and make the rows, which say where they are."""
        lines = self._lines(events, known, rejected)
        places = self._write_log(events, lines)
        plain, full, texts = tables[rows.INSERT_PLAIN], tables[rows.INSERT_RECORD], self._texts
        for (position, time_ns, event), line in zip(events, lines, strict=True):
            try:
                row = rows.record_row(position, time_ns, event, next(places) if line else None, texts)
                (full if event.more else plain).append(checked(row, line))
            except (ValueError, TypeError) as error:
                rejected.append((position, CONTEXT, str(error), b""))

    def _lines(self, events: list[Decoded], known: set[int], rejected: list[rows.Row]) -> list[bytes]:
        """The log's line of each event; empty for those without data, and for those that are stored already."""
        lines = []
        store_id = self._store_id()
        for position, time_ns, event in events:
            line = b""
            if event.data and position not in known:
                line = encode_line(make_ref(store_id, position), event, time_ns)
                if _NEWLINE in line:
                    rejected.append((position, CONTEXT, "event data is no JSON of this store", event.data))
                    line = b""
            lines.append(line)
        return lines

    def _write_log(self, events: list[Decoded], lines: list[bytes]) -> Iterator[int]:
        """Append the lines that there are; returns the place of each of them, as rows have it."""
        written = [(event[0], event[1], line) for event, line in zip(events, lines, strict=True) if line]
        if not written:
            return iter(())
        positions, times, texts = zip(*written, strict=True)
        now = time.time_ns()  # a time that was brought may be far ahead: the log's day is not
        places = self._log.append(texts, times if max(times) <= now else [min(moment, now) for moment in times])
        self._count_lines(positions, places)
        return chain.from_iterable(starmap(rows.log_columns, places))

    def _count_lines(self, positions: Sequence[int], places: Sequence[tuple[int, list[int]]]) -> None:
        """How many lines each segment of the log has, and of which stretch of positions."""
        start, counts = 0, []
        for number, offsets in places:
            end = start + len(offsets)
            counts.append((number, positions[start], positions[end - 1], len(offsets)))
            start = end
        self._db.executemany(rows.INSERT_LINES, counts)

    def _store_id(self) -> int:
        return int(self._db.execute("SELECT store_id FROM store").fetchone()[0])

    def _known(self, events: list[Decoded]) -> set[int]:
        """Which of them the database has: a replayed event gets no second line."""
        if not events:
            return set()
        span = (events[0][0], events[-1][0])
        return {row[0] for row in self._db.execute("SELECT position FROM record WHERE position BETWEEN ? AND ?", span)}

    def _note_spans(self, events: list[Decoded], not_new: set[int]) -> None:
        """Between which times the contexts of each stretch of positions lie, and how many there are."""
        start, spans = 0, []
        while start < len(events):
            first = events[start][0] - events[start][0] % rows.SPAN
            end = bisect_left(events, first + rows.SPAN, start, key=_first)
            times = [event[1] for event in events[start:end]]
            new = sum(event[0] not in not_new for event in events[start:end]) if not_new else end - start
            spans.append((first, min(*times, _LAST_NS), min(max(times), _LAST_NS), new))
            start = end
        self._db.executemany(rows.INSERT_SPAN, spans)

    def _note_arrivals(self, events: list[Decoded]) -> None:
        """Between which positions events of other systems lie: their age counts from now, not from their own time."""
        brought = [position for position, _, event in events if event.logged is not None]
        if brought:
            self._db.execute(rows.INSERT_ARRIVAL, (brought[0], brought[-1], time.time_ns()))

    def _note_uses(self, events: list[Decoded]) -> None:
        """Which events refer to which large fields."""
        uses = [(position, digest) for position, _, event in events for digest in event.payloads]
        self._db.executemany(rows.INSERT_PROMISED, [(digest, position) for position, digest in uses])
        self._db.executemany(rows.INSERT_USE, uses)

    def _count_annotations(self, new: int) -> None:
        if new:
            self._db.execute("UPDATE store SET annotations = annotations + ?", (new,))

    def quarantine(self, rejected: Sequence[rows.Row]) -> None:
        """Put aside (position, kind, reason, raw bytes)."""
        self._db.executemany(rows.INSERT_QUARANTINE, rejected)

    def _insert_rows(
        self, sql: str, found: list[rows.Row], records: Sequence[RecordTuple], rejected: list[rows.Row]
    ) -> int:
        """Insert rows; one that holds a number beyond SQLite's 64 bits is rejected instead of holding up the others.

        Returns how many were new.
        """
        before = self._db.total_changes
        with contextlib.suppress(OverflowError):
            whole = len(found) - len(found) % ROWS_PER_STATEMENT
            if whole:
                many = sql + f", {sql[sql.rindex('(') :]}" * (ROWS_PER_STATEMENT - 1)
                for start in range(0, whole, ROWS_PER_STATEMENT):
                    values = chain.from_iterable(found[start : start + ROWS_PER_STATEMENT])
                    self._db.execute(many, [_NULL if value is None else value for value in values])
            self._db.executemany(sql, found[whole:])
            return self._db.total_changes - before
        sources = {record[0]: record for record in records}
        for row in found:
            try:
                self._db.execute(sql, row)
            except OverflowError as error:
                _, kind, _, _, payload = sources[row[0]]
                rejected.append((row[0], kind, str(error), payload))
        return self._db.total_changes - before
