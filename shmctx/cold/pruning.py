"""Rounds through what has expired, in steps so short that draining goes on between them."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from shmctx.cold import questions, retention, rows
from shmctx.cold.eventlog import EventLog
from shmctx.cold.marking import lines_gone, remove
from shmctx.cold.retention import Plan, Report, Stretch
from shmctx.errors import LogDamaged
from shmctx.settings import Retention

_STEP = 0.005  # seconds that a step should take
_FEWEST = 16  # contexts looked at in one step
_PAGES = 64  # of the database, given back in one step
_SPARE = 100  # one page in so many may stay free: the next inserts take it
_NEVER = 1 << 62  # a time, in ns
_REMEMBERED = 32  # finished rounds that were asked for

_UNUSED_SESSIONS = (
    "DELETE FROM session WHERE position BETWEEN ? AND ? AND NOT EXISTS "
    "(SELECT 1 FROM record WHERE record.session = session.position)"
)
_UNUSED_PAYLOADS = (
    "DELETE FROM payload WHERE id BETWEEN ? AND ? AND position < ? AND NOT EXISTS "
    "(SELECT 1 FROM payload_use WHERE payload_use.payload = payload.id) RETURNING length(data)"
)


class Asked(NamedTuple):
    """A round: the position of the mark that asked for it, 0 for those that come by themselves."""

    position: int
    older_ns: int | None


class Pruner:
    """Removes what has expired through the one connection that writes. Used by one thread.

    `owned` is a transaction that ends with LeadershipLost where another process leads by now; `used` is around every
    use of the connection. Methods raise ColdError.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        log: EventLog,
        kept: Retention | None,
        owned: Callable[[], contextlib.AbstractContextManager[None]],
        used: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> None:
        self._db = connection
        self._log = log
        self._told = kept
        self._retention = kept or Retention()
        self._owned = owned
        self._used = used
        self._round: Iterator[bool] | None = None
        self._size = _FEWEST

    def settle(self) -> None:
        """Remember the classes; with others than before, everything may be due at another time. In a transaction."""
        if self._told is None:
            return
        told = msgspec.json.encode(self._told).decode()
        if self._db.execute("SELECT retention FROM store").fetchone()[0] != told:
            self._db.execute("UPDATE span SET due_ns = NULL")
            self._db.execute("UPDATE store SET retention = ?", (told,))

    def last_ns(self) -> int:
        """When the last round that came by itself ended, ns since 1970; 0 if none has."""
        with self._used():
            row = self._db.execute("SELECT finished_ns FROM pruning WHERE position = 0").fetchone()
        return row[0] if row is not None else 0

    @property
    def at_work(self) -> bool:
        """Whether a round has begun and not ended."""
        return self._round is not None

    def begin(self, *, due: bool) -> int | None:
        """Begin the next round that somebody asked for, or the one that is due: where its mark is, or 0; else None."""
        sql = "SELECT position, older_ns FROM pruning WHERE finished_ns IS NULL ORDER BY position LIMIT 1"
        with self._used():
            row = self._db.execute(sql).fetchone()
        if row is None and not due:
            return None
        asked = Asked(0, None) if row is None else Asked(*row)
        self._round = self._steps(asked)
        return asked.position

    def run(self, older_ns: int | None) -> Report:
        """A whole round, for who need not drain meanwhile. Raises ColdError."""
        self._round = self._steps(Asked(0, older_ns))
        while self.at_work:
            if not self.step():
                time.sleep(_STEP)
        with self._used():
            told = self._db.execute("SELECT report FROM pruning WHERE position = 0").fetchone()[0]
        return msgspec.json.decode(told, type=Report)

    def step(self) -> bool:
        """Go on with the round for some milliseconds; False where there is nothing to do at the moment."""
        if self._round is None:
            return False
        started = time.monotonic()
        with self._used():
            more = next(self._round, None)
        took = time.monotonic() - started
        if took > 2 * _STEP:
            self._size = max(self._size // 2, _FEWEST)
        elif took < _STEP:
            self._size = min(self._size * 2, questions.CHUNK)
        if more is None:
            self._round = None
        return bool(more)

    def abandon(self) -> None:
        """Give a round up; the next one goes on where its work ended."""
        if self._round is not None:
            self._round.close()  # type: ignore[attr-defined]
            self._round = None

    # ---- one round; each step yields whether the next one can follow at once ----

    def _steps(self, asked: Asked) -> Iterator[bool]:
        report, plan = Report(), Plan(self._retention, asked.older_ns)
        for stretch in retention.stretches(self._db, plan, time.time_ns()):
            while not stretch.done:
                self._contexts(stretch, report)
                yield True
        yield from self._sessions(report)
        yield from self._payloads(report)
        yield from self._quarantine(plan, report)
        yield from self._lines(report)
        yield from self._pages(report)
        with self._owned():
            self._db.execute(
                "INSERT OR REPLACE INTO pruning VALUES (?, ?, ?, ?)",
                (*asked, time.time_ns(), msgspec.json.encode(report).decode()),
            )
            self._db.execute(
                "DELETE FROM pruning WHERE position > 0 AND finished_ns IS NOT NULL AND position <= "
                f"(SELECT position FROM pruning ORDER BY position DESC LIMIT 1 OFFSET {_REMEMBERED})"
            )

    def _contexts(self, stretch: Stretch, report: Report) -> None:
        expired = stretch.expired(self._size)
        if not expired and not stretch.done:
            return
        with self._owned():
            if expired:
                remove(self._db, [found.position for found in expired])
                lines_gone(self._db, retention.count(report, expired))
            if stretch.done and stretch.kept:
                due = _NEVER if stretch.due_ns is None else stretch.due_ns
                self._db.execute("UPDATE span SET due_ns = ? WHERE first = ?", (due, stretch.first))
            elif stretch.done:
                self._db.execute("DELETE FROM span WHERE first = ?", (stretch.first,))

    def _sessions(self, report: Report) -> Iterator[bool]:
        after, horizon = -1, rows.horizon(self._db)
        sql = "SELECT position FROM session WHERE position > ? AND position < ? ORDER BY position LIMIT ?"
        while found := [row[0] for row in self._db.execute(sql, (after, horizon, self._size))]:
            after = found[-1]
            with self._owned():
                report.sessions += self._db.execute(_UNUSED_SESSIONS, (found[0], after)).rowcount
            yield True

    def _payloads(self, report: Report) -> Iterator[bool]:
        after, horizon = -1, rows.horizon(self._db)
        sql = "SELECT id FROM payload WHERE id > ? ORDER BY id LIMIT ?"
        while found := [row[0] for row in self._db.execute(sql, (after, self._size))]:
            after = found[-1]
            with self._owned():
                sizes = [row[0] for row in self._db.execute(_UNUSED_PAYLOADS, (found[0], after, horizon))]
            report.payloads += len(sizes)
            report.payload_bytes += sum(sizes)
            yield True

    def _quarantine(self, plan: Plan, report: Report) -> Iterator[bool]:
        now_ns = time.time_ns()
        if self._db.execute("SELECT 1 FROM quarantine LIMIT 1").fetchone() is None:
            return
        with self._owned():
            self._db.execute("UPDATE quarantine SET noted_ns = ? WHERE noted_ns IS NULL", (now_ns,))
        expired = "SELECT position FROM quarantine WHERE noted_ns <= ? LIMIT ?"
        removed = 1
        while removed:
            with self._owned():
                removed = self._db.execute(
                    f"DELETE FROM quarantine WHERE position IN ({expired})",
                    (now_ns - plan.quarantine_ns, _FEWEST),
                ).rowcount
            report.quarantined += removed
            yield True

    def _lines(self, report: Report) -> Iterator[bool]:
        """Files of the log that hold no event any more are removed; in those that hold few, the others are blanked."""
        segments = self._db.execute(
            "SELECT number, first, last, lines, kept, blanked FROM log_segment "
            "WHERE number < (SELECT log_number FROM store) ORDER BY number"
        ).fetchall()
        for number, first, last, lines, kept, blanked in segments:
            if kept <= 0:
                report.log_bytes += self._log.remove(number)
                report.log_segments += 1
                with self._owned():
                    self._db.execute("DELETE FROM log_segment WHERE number = ?", (number,))
                yield True
            elif 2 * (lines - kept - blanked) >= lines:
                yield from self._blank(number, (first, last), lines - kept, report)

    def _blank(self, number: int, stretch: tuple[int, int], dead: int, report: Report) -> Iterator[bool]:
        """Take what expired out of a file that other events still need: beside the drain, which it would hold up."""
        needed = {
            row[0] & 0xFFFFFFFF
            for row in self._db.execute(
                "SELECT log_place FROM record WHERE position BETWEEN ? AND ? AND log_place BETWEEN ? AND ?",
                (*stretch, number << 32, number << 32 | 0xFFFFFFFF),
            )
        }
        blanking = self._log.blank_all_but(number, needed)
        try:
            while blanking.is_alive():
                yield False
            blanked, saved = blanking.result()
        except LogDamaged as error:
            self._log.tell(f"What expired in segment {number} of the event log stays until all of it has. {error}")
            blanked, saved = dead, 0
        finally:
            blanking.join()
        with self._owned():
            self._db.execute("UPDATE log_segment SET blanked = blanked + ? WHERE number = ?", (blanked, number))
        report.log_bytes += saved
        yield True

    def _pages(self, report: Report) -> Iterator[bool]:
        """Give free pages back to the file system, some at a time."""
        page_size, mode, pages, free = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "auto_vacuum", "page_count", "freelist_count")
        )
        while mode == 2 and free > pages // _SPARE:
            with self._owned():
                self._db.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
            before, free = free, self._db.execute("PRAGMA freelist_count").fetchone()[0]
            if free >= before:
                return
            report.database_bytes += (before - free) * page_size
            yield True
