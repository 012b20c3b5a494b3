"""Verification: whether a store holds, whole and unchanged, what it was given.

    report = verify(Path("var/contexts.db"), against=[Path("logs/events.jsonl.gz")])
    assert report.ok, report.problems

Reads only, beside a leader too; what the store is given meanwhile may or may not be looked at.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from shmctx.cold.logged import directory_of
from shmctx.transfer.verify.contexts import Progress, check_contexts
from shmctx.transfer.verify.logfiles import LogLines, check_files, check_tallies
from shmctx.transfer.verify.original import Original
from shmctx.transfer.verify.report import LISTED, Comparison, Finding, Notebook, Report
from shmctx.transfer.verify.ring import attach, check_ring
from shmctx.transfer.verify.snapshot import Database
from shmctx.transfer.verify.tables import check_structure, check_tables

__all__ = ["Comparison", "Finding", "Report", "verify"]


def verify(
    database: Path | None = None,
    *,
    log: Path | None = None,
    name: str | None = None,
    against: Sequence[Path] = (),
    listed: int = LISTED,
    progress: Progress | None = None,
) -> Report:
    """Look at everything that a store has.

    `log`: the event log's directory, where it is not the one that the database says. `name`: also look at this segment,
    whose database it is unless one is named. `against`: logs that the store was made from, compared with it field by
    field. `listed`: how many findings of a kind are listed.

    Raises ColdError where there is nothing to look at, SegmentError, SourceUnreadable.
    """
    started = time.monotonic()
    book = Notebook(listed)
    with contextlib.ExitStack() as stack:
        ring = stack.enter_context(contextlib.closing(attach(name))) if name is not None else None
        path = database or (ring.database if ring else None)
        if path is None:
            raise ValueError("Name a database or a segment.")
        opened = stack.enter_context(contextlib.closing(Database(path.absolute())))
        report = Report(database=str(opened.path), name=name or "")
        check_structure(opened, book)
        with _damage_noted(opened, book):
            directory = log or directory_of(opened.path, opened.store().log_directory)
            report.log = str(directory)
            before = opened.changes()
            lines = LogLines(directory, book)
            check_files(opened, lines.reader, book)
            referring = check_contexts(opened, lines, book, progress or _silent)
            lines.finish(opened.store().log_end)
            check_tallies(opened, lines, referring, book, still=opened.changes() == before)
            check_tables(opened, book)
            if ring is not None:
                check_ring(ring, opened, book)
            if against:
                original = stack.enter_context(contextlib.closing(Original(opened, log, book)))
                report.against = original.compare(against)
    report.seconds = time.monotonic() - started
    return book.finish(report)


@contextlib.contextmanager
def _damage_noted(database: Database, book: Notebook) -> Iterator[None]:
    """A database that cannot be read further is what was looked for."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        book.problem("database", str(database.path), f"It cannot be read further: {error}.")


def _silent(done: int, total: int) -> None:
    """No progress wanted."""
