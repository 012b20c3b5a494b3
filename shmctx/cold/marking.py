"""Marks in the database: pinned, often read, forgotten; inside the transaction that drains them."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from shmctx.cold import rows
from shmctx.cold.questions import CHUNK
from shmctx.marks import Action, Mark

Placed = tuple[int, Mark]
"""A mark with its own position."""

_KEEP = (
    "INSERT INTO kept (position, pinned, often) SELECT position, ?2, ?3 FROM record WHERE position = ?1 "
    "ON CONFLICT (position) DO UPDATE SET pinned = max(pinned, excluded.pinned), often = max(often, excluded.often)"
)
_UNPIN = "UPDATE kept SET pinned = 0 WHERE position = ?"
_DUE_AGAIN = "UPDATE span SET due_ns = NULL WHERE first = ?"
_LINES_GONE = "UPDATE log_segment SET kept = kept - ?, blanked = blanked + ? WHERE number = ?"


class Log(Protocol):
    """Where event data is."""

    def blank(self, places: Iterable[tuple[int, int]]) -> None:
        """Make the lines at these (segment number, byte offset) unreadable, durably."""


class Marker:
    """Carries marks out in one connection. Used by one thread."""

    def __init__(self, connection: sqlite3.Connection, log: Log) -> None:
        self._db = connection
        self._log = log
        self._anything_forgotten: bool | None = None
        self._forgot = False

    def forgot(self) -> bool:
        """Whether something was forgotten since the last call."""
        forgot, self._forgot = self._forgot, False
        return forgot

    def rolled_back(self) -> None:
        """What was remembered of a transaction is not so."""
        self._anything_forgotten = None

    def gone(self, marks: Sequence[Placed], positions: Iterable[int]) -> set[int]:
        """Which of the positions were forgotten, or are to be by these marks: nothing about them is stored."""
        now = {mark.target for _, mark in marks if mark.action is Action.FORGET}
        if self._anything_forgotten is None:
            self._anything_forgotten = self._db.execute("SELECT 1 FROM forgotten LIMIT 1").fetchone() is not None
        if not now and not self._anything_forgotten:
            return now
        asked = sorted(set(positions))
        found = now.intersection(asked)
        for start in range(0, len(asked), CHUNK) if self._anything_forgotten else ():
            chunk = asked[start : start + CHUNK]
            sql = f"SELECT position FROM forgotten WHERE position IN ({','.join('?' * len(chunk))})"
            found.update(row[0] for row in self._db.execute(sql, chunk))
        return found

    def apply(self, marks: Sequence[Placed]) -> None:
        """Do what the marks ask for, in their order."""
        for position, mark in marks:
            target = mark.target
            if mark.action is Action.PIN:
                self._db.execute(_KEEP, (target, 1, 0))
            elif mark.action is Action.READ:
                self._db.execute(_KEEP, (target, 0, 1))
            elif mark.action is Action.UNPIN:
                self._db.execute(_UNPIN, (target,))
                self._db.execute(_DUE_AGAIN, (target - target % rows.SPAN,))
            elif mark.action is Action.FORGET:
                self._forget(target)
            else:
                self._db.execute(
                    "INSERT OR IGNORE INTO pruning (position, older_ns) VALUES (?, ?)", (position, mark.older_ns)
                )

    def _forget(self, target: int) -> None:
        """Blank the event's line, remove all rows of it, and note that none may come again."""
        self._anything_forgotten = self._forgot = True
        row = self._db.execute("SELECT log_place FROM record WHERE position = ?", (target,)).fetchone()
        if row is not None and row[0] is not None:
            place = rows.log_place(row[0])
            self._log.blank([place])
            self._db.execute(_LINES_GONE, (1, 1, place[0]))
        remove(self._db, [target])
        self._db.execute("DELETE FROM quarantine WHERE position = ?", (target,))
        self._db.execute("INSERT OR IGNORE INTO forgotten VALUES (?)", (target,))


def remove(connection: sqlite3.Connection, positions: Sequence[int]) -> None:
    """Delete the rows of up to CHUNK contexts: their own, annotations, uses of large fields, and why they are kept."""
    marks = ",".join("?" * len(positions))
    removed = connection.execute(f"DELETE FROM record WHERE position IN ({marks}) RETURNING position", positions)
    stretches = Counter(position - position % rows.SPAN for (position,) in removed)
    connection.executemany("UPDATE span SET contexts = contexts - ?2 WHERE first = ?1", stretches.items())
    noted = connection.execute(f"DELETE FROM annotation WHERE target IN ({marks})", positions).rowcount
    if noted:
        connection.execute("UPDATE store SET annotations = annotations - ?", (noted,))
    connection.execute(f"DELETE FROM payload_use WHERE position IN ({marks})", positions)
    connection.execute(f"DELETE FROM kept WHERE position IN ({marks})", positions)


def lines_gone(connection: sqlite3.Connection, counts: dict[int, int]) -> None:
    """So many lines of each segment of the log belong to no context any more."""
    connection.executemany(_LINES_GONE, [(count, 0, number) for number, count in counts.items()])


def drop_unused(connection: sqlite3.Connection, hashes: Sequence[bytes]) -> None:
    """Delete those of these large fields that no event refers to."""
    connection.executemany(
        "DELETE FROM payload WHERE hash = ? AND NOT EXISTS (SELECT 1 FROM payload_use WHERE payload = payload.id)",
        [(digest,) for digest in hashes],
    )
