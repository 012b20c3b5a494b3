"""What a round of pruning would remove, found without changing anything."""

import sqlite3
import time
from collections import Counter
from pathlib import Path

import msgspec

from shmctx.cold import retention, rows
from shmctx.cold.connection import Connection, connect, translated
from shmctx.cold.logged import directory_of
from shmctx.cold.reader import READER_PRAGMAS, check_exists
from shmctx.cold.retention import Plan, Report
from shmctx.settings import Retention

_CONTEXTS = 4096  # looked at in one question


def stored_retention(connection: sqlite3.Connection) -> Retention:
    """The classes that the last leader used."""
    text = connection.execute("SELECT retention FROM store").fetchone()[0]
    return msgspec.json.decode(text, type=Retention) if text else Retention()


def survey(database: Path, older_ns: int | None = None) -> Report:
    """Classes as the last leader has them. `older_ns`: as if nothing older were kept but what is pinned.

    The bytes of the database are an estimate, by its contexts. Raises ColdError.
    """
    check_exists(database)
    with translated(str(database)):
        connection = connect(database, Connection, readonly=True)
        try:
            for pragma in READER_PRAGMAS:
                connection.execute(pragma)
            connection.execute("BEGIN")  # one picture of it all
            return _survey(connection, database, Plan(stored_retention(connection), older_ns))
        finally:
            connection.close()


def _survey(db: sqlite3.Connection, database: Path, plan: Plan) -> Report:
    report = Report()
    gone: set[int] = set()
    lines: Counter[int] = Counter()
    for stretch in retention.stretches(db, plan, time.time_ns()):
        while not stretch.done:
            expired = stretch.expired(_CONTEXTS)
            lines += retention.count(report, expired)
            gone.update(found.position for found in expired)
    horizon = rows.horizon(db)
    sessions = db.execute("SELECT position FROM session WHERE position < ?", (horizon,))
    report.sessions = sum(_is_unused(db, _SESSION_USES, row[0], gone) for row in sessions)
    payloads = db.execute("SELECT id, length(data) FROM payload WHERE position < ?", (horizon,))
    unneeded = [size for which, size in payloads if _is_unused(db, _PAYLOAD_USES, which, gone)]
    report.payloads, report.payload_bytes = len(unneeded), sum(unneeded)
    limit = time.time_ns() - plan.quarantine_ns
    report.quarantined = db.execute("SELECT count(*) FROM quarantine WHERE noted_ns <= ?", (limit,)).fetchone()[0]
    _files(db, database, lines, report)
    _pages(db, report)
    return report


_SESSION_USES = "SELECT position FROM record WHERE session = ?"
_PAYLOAD_USES = "SELECT position FROM payload_use WHERE payload = ?"


def _is_unused(db: sqlite3.Connection, uses: str, which: int, gone: set[int]) -> bool:
    return all(row[0] in gone for row in db.execute(uses, (which,)))


def _files(db: sqlite3.Connection, database: Path, lines: Counter[int], report: Report) -> None:
    """Files of the log that would hold no event any more."""
    from shmctx.log.reader import LogReader

    directory, newest = db.execute("SELECT log_directory, log_number FROM store").fetchone()
    kept = dict(db.execute("SELECT number, kept FROM log_segment WHERE number < ?", (newest or 0,)))
    emptied = {number for number, count in kept.items() if count <= lines[number]}
    files = [found for found in LogReader(directory_of(database, directory)).segments() if found.number in emptied]
    report.log_segments, report.log_bytes = len(emptied), sum(found.size for found in files)


def _pages(db: sqlite3.Connection, report: Report) -> None:
    contexts = db.execute("SELECT count(*) FROM record").fetchone()[0]
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    payloads = db.execute("SELECT coalesce(sum(length(data)), 0) FROM payload").fetchone()[0]
    rest = max((pages - free) * size - payloads, 0)
    report.database_bytes = free * size + report.payload_bytes + rest * report.contexts // max(contexts, 1)


def classes_of(database: Path) -> Retention:
    """The classes that the last leader used; the defaults where there is no database yet. Raises ColdError."""
    if not database.exists():
        return Retention()
    with translated(str(database)):
        connection = connect(database, Connection, readonly=True)
        try:
            return stored_retention(connection)
        finally:
            connection.close()
