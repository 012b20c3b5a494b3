"""Records into rows, many at a time: the drain's inner loop.

Binding a value costs SQLite's Python module more than storing it, so a context without optional fields, as most are,
binds only the columns it has, and one statement takes many rows.
"""

import contextlib
import sqlite3
from collections.abc import Sequence
from itertools import chain

from shmctx.cold import rows
from shmctx.hot._core import ANNOTATION, CONTEXT, SESSION
from shmctx.hot.shapes import RecordTuple
from shmctx.records import NOT_DECODABLE

ROWS_PER_STATEMENT = 64
MAX_INTERNED = 200_000
"""Texts whose ids are remembered."""


class Inserter:
    """Inserts into one connection, inside the caller's transactions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._texts: dict[str, int] = {}

    def forget(self) -> None:
        """A transaction was rolled back: ids that it gave may be given again."""
        self._texts.clear()

    def insert(self, records: Sequence[RecordTuple]) -> None:
        """Insert records, skipping those that are there. What fits no table goes to the quarantine."""
        tables: dict[str, list[rows.Row]] = {sql: [] for sql in rows.INSERTS}
        rejected: list[rows.Row] = []
        plain, full = tables[rows.INSERT_PLAIN], tables[rows.INSERT_RECORD]
        sessions, annotations = tables[rows.INSERT_SESSION], tables[rows.INSERT_ANNOTATION]
        for position, kind, _, time_ns, payload in records:
            try:
                if kind == CONTEXT:
                    row = rows.record_row(position, time_ns, payload, self._intern)
                    (plain if len(row) == rows.PLAIN_COLUMNS else full).append(row)
                elif kind == SESSION:
                    sessions.append(rows.session_row(position, payload))
                elif kind == ANNOTATION:
                    annotations.append(rows.annotation_row(position, time_ns, payload))
                else:
                    rejected.append((position, kind, "unknown kind of record", payload))
            except (*NOT_DECODABLE, ValueError, TypeError) as error:
                rejected.append((position, kind, str(error), payload))
        for sql, found in tables.items():
            self._insert_rows(sql, found, records, rejected)
        self.quarantine(rejected)

    def quarantine(self, rejected: Sequence[rows.Row]) -> None:
        """Put aside (position, kind, reason, raw bytes)."""
        self._db.executemany(rows.INSERT_QUARANTINE, rejected)

    def _insert_rows(
        self, sql: str, found: list[rows.Row], records: Sequence[RecordTuple], rejected: list[rows.Row]
    ) -> None:
        """Insert rows; one that holds a number beyond SQLite's 64 bits is rejected instead of holding up the others."""
        with contextlib.suppress(OverflowError):
            whole = len(found) - len(found) % ROWS_PER_STATEMENT
            if whole:
                many = sql + f", {sql[sql.rindex('(') :]}" * (ROWS_PER_STATEMENT - 1)
                for start in range(0, whole, ROWS_PER_STATEMENT):
                    self._db.execute(many, tuple(chain.from_iterable(found[start : start + ROWS_PER_STATEMENT])))
            self._db.executemany(sql, found[whole:])
            return
        sources = {record[0]: record for record in records}
        for row in found:
            try:
                self._db.execute(sql, row)
            except OverflowError as error:
                _, kind, _, _, payload = sources[row[0]]
                rejected.append((row[0], kind, str(error), payload))

    def _intern(self, text: str) -> int:
        """The id of a text, stored now if it is new."""
        number = self._texts.get(text)
        if number is None:
            self._db.execute("INSERT OR IGNORE INTO text (value) VALUES (?)", (text,))
            number = int(self._db.execute("SELECT id FROM text WHERE value = ?", (text,)).fetchone()[0])
            if len(self._texts) >= MAX_INTERNED:
                self._texts.clear()
            self._texts[text] = number
        return number
