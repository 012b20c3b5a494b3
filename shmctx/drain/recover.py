"""Recovery: every process is dead; what the ring holds and the database lacks goes into the database.

The segment is read with pread into private memory, so that nothing another process does to the file can be a signal
here. Replaying is harmless: a row's key is its position. Nothing is removed, so a second run finds nothing to do.
"""

import os
import time
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any

import msgspec

from shmctx import process
from shmctx.cold import Batch, Cursor
from shmctx.cold.connection import Connection, connect, translated
from shmctx.cold.sqlite import SqliteWriter
from shmctx.drain import generation
from shmctx.drain.ageing import forget
from shmctx.drain.election import Election
from shmctx.errors import ColdMismatch, LeaderAlive, SegmentCorrupt, SegmentMissing
from shmctx.forks import fork_gate
from shmctx.hot import segment as segments
from shmctx.hot._core import ANNOTATION, CONTEXT, FIRST_POSITION, GRANULE, SESSION, Ring

_RECORDS, _BYTES = 4096, 4 << 20
"""Of one transaction, at most."""

Progress = Callable[[int, int], None]
"""Called with (granules done, granules in all)."""


class Outcome(IntEnum):
    """What a recovery found; the exit code of `shmctx-recover`."""

    NOTHING_LOST = 0
    NO_SEGMENT = 3
    DAMAGED = 4
    """Records were damaged (their bytes are in the table `quarantine`) or gone before the database had them."""


class Report(msgspec.Struct, kw_only=True):
    """What a recovery did, or would do."""

    name: str
    database: str
    dry_run: bool
    outcome: Outcome = Outcome.NOTHING_LOST
    segments: int = 0
    """Segments read: the named one, and those that lost their name but not their users."""
    contexts: int = 0
    sessions: int = 0
    annotations: int = 0
    already_stored: int = 0
    damaged: list[dict[str, Any]] = []
    lost_bytes: int = 0
    """Ring space that was overwritten although the database has no trace of it (an older database put back)."""
    position: int = 0
    seconds: float = 0.0
    message: str = ""


def recover(name: str, database: Path, *, dry_run: bool = False, progress: Progress | None = None) -> Report:
    """Replay a segment into its database. Safe to run twice, and after a recovery that was killed.

    Raises LeaderAlive while a process drains the database, SegmentMismatch, SegmentCorrupt, ColdError.
    """
    started = time.monotonic()
    database = database.absolute()
    report = Report(name=name, database=str(database), dry_run=dry_run)
    election = Election(database)
    if not election.try_win():
        raise LeaderAlive(
            f"{process.describe(election.holder())} drains {database}; nothing needs recovering while it lives.",
            hint="End it first if it is stuck, then run this again.",
        )
    try:
        with fork_gate:
            _recover(report, name, database, progress or _silent)
    finally:
        election.resign()
    report.seconds = time.monotonic() - started
    if not report.message:
        report.message = _message(report)
    return report


def _silent(done: int, total: int) -> None:
    """No progress wanted."""


def _recover(report: Report, name: str, database: Path, progress: Progress) -> None:
    ring = _read_private(name)
    orphans = segments.orphans(name)
    if ring is None and not orphans:
        report.outcome = Outcome.NO_SEGMENT
        report.message = f"There is no segment {name!r}; the database was not touched."
        return
    writer: SqliteWriter | None = None
    if report.dry_run:
        cursor = _peek(database)
    else:
        writer = SqliteWriter(database)
        cursor = writer.cursor()
    try:
        if ring is not None:
            _replay_segment(report, ring, writer, cursor, progress)
        nameless = [Ring.from_bytes(_pread(orphan.fd)) for _, orphan in orphans]
        store_id = _store_of(cursor, ring, nameless)
        if writer is not None and writer.cursor() is None:
            writer.create_store(store_id=store_id)
        for orphan_ring in nameless:
            if orphan_ring.header()["store_id"] == store_id:  # another store's of the same name is not ours to store
                _replay_orphan(report, orphan_ring, writer)
    finally:
        if writer is not None:
            writer.close()


def _store_of(cursor: Cursor | None, ring: Ring | None, nameless: list[Ring]) -> int:
    """Which store is recovered: the database's, else the named segment's, else the newest nameless one's."""
    if cursor is not None:
        return cursor.store_id
    return (ring or max(nameless, key=lambda found: found.header()["created_ns"])).header()["store_id"]


def _read_private(name: str) -> Ring | None:
    """The segment as a copy in private memory, its head found from the records; None if there is none."""
    segments.check_name(name)
    try:
        fd = segments.open_checked(name, os.O_RDONLY)
    except SegmentMissing:
        return None
    try:
        raw = _pread(fd)
    finally:
        os.close(fd)
    try:
        return Ring.from_bytes(raw)
    except SegmentCorrupt as error:
        error.hint = (
            f"Its records cannot be told apart without the header. Keep a copy of {segments.path_of(name)} if they "
            f"matter, then `shmctx unlink {name}`; the database keeps what it has."
        )
        raise


def _pread(fd: int) -> bytearray:
    """The whole file. A file that shrinks meanwhile gives fewer bytes, not a signal."""
    raw = bytearray()
    while chunk := os.pread(fd, 16 << 20, len(raw)):
        raw += chunk
    return raw


def _peek(database: Path) -> Cursor | None:
    """The cursor, read without writing anything; None where there is no database yet."""
    if not database.exists():
        return None
    with translated(str(database)):
        connection = connect(database, Connection, readonly=True)
        try:
            row = connection.execute("SELECT store_id, generation, capacity, epoch, position FROM store").fetchone()
        finally:
            connection.close()
    return Cursor(*row) if row else None


def _replay_segment(
    report: Report, ring: Ring, writer: SqliteWriter | None, cursor: Cursor | None, progress: Progress
) -> None:
    report.segments += 1
    header = ring.header()
    reserved, _ = ring.settle()
    if cursor is not None and cursor.store_id != header["store_id"]:
        raise ColdMismatch(
            f"{report.database} belongs to store {cursor.store_id:06x}, the segment to store {header['store_id']:06x}.",
            hint=f"The segment was made with {header['database']}.",
        )
    start, head = _start(ring, cursor), ring.positions()[1]
    if writer is not None:
        if cursor is None:
            writer.create_store(store_id=header["store_id"], position=start)
        writer.take_over(store_id=header["store_id"])
        writer.begin_generation(generation=header["generation"], capacity=header["capacity"], position=start)
    report.lost_bytes = max(min(generation.oldest(ring), head) - max(start, header["base"]), 0) * GRANULE
    _replay(report, ring, writer, start, progress)
    if writer is not None:
        writer.maintain(idle=True)
    if report.damaged or report.lost_bytes or head > reserved:
        report.outcome = Outcome.DAMAGED
    if head > reserved:
        report.message = (
            f"{_message(report)} The segment's control words are damaged: run `shmctx unlink {report.name}` before "
            "the daemon starts again."
        )


def _replay(report: Report, ring: Ring, writer: SqliteWriter | None, start: int, progress: Progress) -> None:
    """Everything from `start` to the head, in batches of one transaction each."""
    position, head = start, ring.positions()[1]
    while position < head:
        end, records, skipped = ring.scan(position, head, _RECORDS, _BYTES)
        damaged = _damaged(report, ring, skipped)
        _count(report, records)
        if writer is not None:
            batch = Batch(start=position, end=end, records=records, damaged=damaged)
            writer.commit(forget(ring, writer, batch, in_ring=False))
        position = end
        progress(position - start, head - start)
    report.position = position


def _start(ring: Ring, cursor: Cursor | None) -> int:
    """Where the database's knowledge of this segment ends."""
    if cursor is None:
        return generation.oldest(ring)
    if cursor.generation == 0:
        return cursor.position
    return max(cursor.position, ring.header()["base"])


def _replay_orphan(report: Report, ring: Ring, writer: SqliteWriter | None) -> None:
    report.segments += 1
    drained = ring.positions()[2]
    ring.settle()
    position, head = max(min(drained, ring.positions()[1]), FIRST_POSITION), ring.positions()[1]
    while position < head:
        position, records, skipped = ring.scan(position, head, _RECORDS, _BYTES)
        damaged = _damaged(report, ring, skipped)
        counted = sum(record[1] in (CONTEXT, SESSION, ANNOTATION) for record in records)
        stored = writer.insert(records, damaged) if writer is not None else counted
        report.already_stored += counted - stored
        _count(report, records)
    if report.damaged:
        report.outcome = Outcome.DAMAGED


def _damaged(report: Report, ring: Ring, skipped: list[tuple[int, int]]) -> list[tuple[int, int, bytes]]:
    """Note the stretches of a scan that hold no whole record, and copy them for the quarantine."""
    damaged = generation.damaged(ring, skipped)
    report.damaged += [
        {"position": low, "granules": high - low, "reason": "checksum or size is wrong"} for low, high, _ in damaged
    ]
    return damaged


def _count(report: Report, records: list[Any]) -> None:
    kinds = [record[1] for record in records]
    report.contexts += kinds.count(CONTEXT)
    report.sessions += kinds.count(SESSION)
    report.annotations += kinds.count(ANNOTATION)


def _message(report: Report) -> str:
    verb = "would be stored" if report.dry_run else "stored"
    text = f"{report.contexts} contexts, {report.sessions} sessions and {report.annotations} annotations {verb}"
    if report.damaged:
        text += f"; {len(report.damaged)} damaged stretches put aside in the table `quarantine`"
    if report.lost_bytes:
        text += f"; {report.lost_bytes} bytes of the ring were overwritten before this database had them"
    return f"{text}." if report.damaged or report.lost_bytes else f"{text}; nothing lost."
