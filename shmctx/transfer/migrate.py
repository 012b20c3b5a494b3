"""Moving in: logs with contexts inside become a database of shmctx and lean logs.

The sources are never changed. What is read becomes records in transactions of some thousands, each of which also says
how far its source was read; so a run that was killed goes on where it was, and one that is repeated finds nothing new.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from shmctx import cold
from shmctx.cold.connection import Connection, connect, translated
from shmctx.cold.sqlite import SqliteWriter
from shmctx.context import EVENT_PREFIX
from shmctx.errors import ColdUnavailable, LogUnavailable, TargetUnavailable, TransferError
from shmctx.settings import Settings
from shmctx.transfer import bad_lines, ledger, lines
from shmctx.transfer.bad_lines import BadLines
from shmctx.transfer.batches import Batch, Done
from shmctx.transfer.building import Building, elected
from shmctx.transfer.intake import Intake
from shmctx.transfer.known import Known
from shmctx.transfer.ledger import Counts, Progress
from shmctx.transfer.reading import few_collections, read, read_beside
from shmctx.transfer.sources import BadLine, Sources

_ORPHANS = """
SELECT parent FROM record WHERE parent IS NOT NULL AND (typeof(parent) = 'text' OR parent < 0)
EXCEPT SELECT event_id FROM record"""

WORTH = 8 << 20
"""Bytes of sources, as they lie there, from which another process reads them while this one writes."""
Watch = Callable[[int, int, int], None]
"""Called with (bytes read, bytes in all, events so far)."""


class Report(msgspec.Struct, kw_only=True):
    """What a migration did, or would do. Sizes in bytes."""

    database: str
    log: str
    dry_run: bool = False
    sources: int = 0
    counts: Counts = msgspec.field(default_factory=Counts)
    """Of all runs that filled this database from these sources."""
    stored_now: int = 0
    """Events that this run stored."""
    contexts: int = 0
    """In the database afterwards."""
    sessions: int = 0
    orphans: int = 0
    """Parents that no context of the database is: they come later, or never did."""
    orphan_examples: list[str] = []
    source_bytes: int = 0
    """Files as they lie there."""
    text_bytes: int = 0
    """Their text."""
    database_bytes: int = 0
    log_bytes: int = 0
    reduction: float = 0.0
    """Of the text, by database and log together: 0.7 is 70 % less."""
    bad_lines: str | None = None
    """The file that tells of them."""
    seconds: float = 0.0


def migrate(
    paths: Iterable[Path],
    database: Path,
    log: Path | None = None,
    *,
    dry_run: bool = False,
    settings: Settings | None = None,
    watch: Watch | None = None,
) -> Report:
    """Move what these paths have (see transfer.sources) into a database and its event log, which nobody has open.

    `log`: where the lean log is to be; without it, beside the database. `dry_run`: into a temporary folder that is then
    removed, compared with the database if it is there. `watch`: told how far it is.

    Raises SourceUnreadable; TargetUnavailable where something else is in the way; LeaderAlive while a process drains
    the database; ColdError, TransferError where the disk is full. A run that was ended half way goes on with the same
    command.
    """
    began = time.monotonic()
    paths = list(paths)
    with Sources(paths) as sources, contextlib.ExitStack() as stack:
        known: list[Path] = []
        if dry_run:
            if database.exists():
                known.append(database.absolute())
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shmctx-dry-run-")))
            building = Building(folder / database.name, None)
        else:
            stack.enter_context(elected(database))
            building = Building(database, log)
            _check_apart(paths, building.log)
        run = _Run(paths, sources, building, settings or Settings(), watch or _silent)
        if not building.started or not building.is_settled():
            run.fill(known)
        if not dry_run:
            building.name()
        report = _report(
            run, building.path if dry_run else building.database, building.directory if dry_run else building.log
        )
    report.database, report.log = str(database.absolute()), str(log.absolute() if log else building.log)
    report.dry_run, report.seconds = dry_run, time.monotonic() - began
    return report


def _check_apart(paths: Iterable[Path], log: Path) -> None:
    """What is written must not be read: the next run would take it for more of the source."""
    for path in paths:
        if path.is_dir() and log.resolve().is_relative_to(path.resolve()):
            raise TargetUnavailable(
                f"{log} lies within {path}, which is to be read. Nothing was done.",
                hint="Name a folder outside of it with --out, or the single files that are to be read.",
            )


def _silent(done: int, total: int, events: int) -> None:
    """Nobody watches."""


class _Run:
    def __init__(
        self, paths: Sequence[Path], sources: Sources, building: Building, settings: Settings, watch: Watch
    ) -> None:
        self.sources = sources
        self._paths = paths
        self.stored = 0
        self._building = building
        self._settings = settings
        self._watch = watch
        self._total = sum(map(lines.size, sources.logs))

    def fill(self, known: Sequence[Path]) -> None:
        """Store what is new. Raises as migrate."""
        with _explained(), few_collections(), self._building.writer() as writer, contextlib.ExitStack() as stack:
            cursor = writer.cursor()
            assert cursor is not None
            databases = [stack.enter_context(Known(path)) for path in (self._building.path, *known)]
            intake = Intake(databases, cursor.position, self._settings)
            done, told = ledger.known_in(self._building.path)
            aside = stack.enter_context(BadLines(self._building.directory / bad_lines.NAME, told))
            batches = stack.enter_context(contextlib.closing(self._read(done, cursor.store_id)))
            for batch in batches:
                self._store(writer, intake, batch, done, aside)
            stack.close()
            self._building.compress(writer)
            self._building.settle(writer)

    def _read(self, done: Done, store_id: int) -> Generator[Batch]:
        """By another process, where that is worth its start."""
        beside = self._total >= WORTH and lines.STDIN not in self._paths and len(os.sched_getaffinity(0)) > 1
        return read_beside(self._paths, done, store_id) if beside else read(self._paths, done, store_id)

    def _store(
        self,
        writer: SqliteWriter,
        intake: Intake,
        batch: Batch,
        done: dict[tuple[str, bytes], Progress],
        aside: BadLines,
    ) -> None:
        taken = intake.take(batch.arrived)
        counts, progress = batch.progress.counts, batch.progress
        if not batch.anew and progress.key in done:
            progress.counts = done[progress.key].counts
            progress.counts.add(counts)
        progress.counts.take(taken, batch.file)
        done[progress.key] = progress
        told = aside.tell([*batch.bad, *(BadLine(batch.file, line, reason, b"") for line, reason in taken.refused)])
        writer.commit(
            cold.Batch(start=taken.start, end=taken.end, records=taken.records),
            also=lambda connection: ledger.note(connection, progress, told),
        )
        writer.maintain(idle=False)
        self.stored += taken.stored
        self._watch(batch.read, self._total, self.stored)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Errors of the disk, with what to do about them here."""
    try:
        yield
    except (ColdUnavailable, LogUnavailable) as error:
        raise TransferError(f"{error.message} What was stored so far stays.", hint=bad_lines.AGAIN) from error


@contextlib.contextmanager
def _read(database: Path) -> Iterator[Connection]:
    with translated(str(database)), contextlib.closing(connect(database, Connection, readonly=True)) as connection:
        yield connection


def _report(run: _Run, database: Path, directory: Path) -> Report:
    report = Report(database=str(database), log=str(directory), stored_now=run.stored)
    report.sources = len(run.sources.logs) + len(run.sources.databases)
    with _read(database) as connection:
        done, _ = ledger.known(connection)
        names = {str(path.absolute()) for path in run.sources.logs} | {
            str(source.path.absolute()) for source in run.sources.databases
        }
        for progress in done.values():
            if progress.path in names or progress.path == str(lines.STDIN):
                report.counts.add(progress.counts)
        report.contexts = connection.execute("SELECT count(*) FROM record").fetchone()[0]
        report.sessions = connection.execute("SELECT count(*) FROM session").fetchone()[0]
        orphans = [row[0] for row in connection.execute(_ORPHANS)]
        report.orphans = len(orphans)
        report.orphan_examples = [_event_id(parent) for parent in orphans[: ledger.EXAMPLES]]
    report.source_bytes = sum(lines.size(path) for path in run.sources.logs)
    report.text_bytes = report.counts.bytes
    report.database_bytes = database.stat().st_size
    files = (
        [path for path in directory.iterdir() if path.is_file() and not path.is_symlink()] if directory.is_dir() else []
    )
    report.log_bytes = sum(path.stat().st_size for path in files if path.name != bad_lines.NAME)
    if report.text_bytes:
        report.reduction = 1 - (report.database_bytes + report.log_bytes) / report.text_bytes
    report.bad_lines = str(directory / bad_lines.NAME) if report.counts.bad and not run.stored < 0 else None
    return report


def _event_id(column: int | str) -> str:
    return column if isinstance(column, str) else f"{EVENT_PREFIX}{-1 - column:08x}"
