"""`shmctx migrate`: the way in, for logs whose events have their contexts inside."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from shmctx.api import attach
from shmctx.cli.main import HELP_OPTIONS, PROBLEMS, examples
from shmctx.cli.render import Output, duration, number, size, with_output
from shmctx.cli.stores import complete_name
from shmctx.transfer.bad_lines import as_json
from shmctx.transfer.ledger import Counts
from shmctx.transfer.live import LiveReport, migrate_live
from shmctx.transfer.migrate import Report, Watch
from shmctx.transfer.migrate import migrate as move
from shmctx.transfer.sources import BadLine

Rows = list[tuple[str, str]]


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples(
        "shmctx migrate logs/ --db var/contexts.db --dry-run            look first",
        "shmctx migrate logs/ --db var/contexts.db --out var/events     database and lean logs",
        "shmctx migrate old.jsonl.gz contexts.db --db var/contexts.db   references, with KSI's database",
        "zcat old.gz | shmctx migrate - --name ksi                      into a store that is in use",
    )
    + "\b\nExit codes: 0 everything was moved, 5 some lines could not be: the report\n"
    + "and bad-lines.jsonl tell which and why.",
)
@click.argument("sources", nargs=-1, required=True, metavar="SRC...", type=click.Path(allow_dash=True, path_type=Path))
@click.option("--db", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="The SQLite file.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="Where the lean log goes; otherwise beside the database.",
)  # fmt: skip
@click.option("--name", shell_complete=complete_name, help="Into a store that is in use, instead of --db.")
@click.option(
    "--bad-lines", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="With --name: where lines go that could not be moved.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be done and change nothing.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@with_output
def migrate(
    out: Output, /, sources: tuple[Path, ...], *, db: Path | None, name: str | None, bad_lines: Path | None,
    dry_run: bool, quiet: bool, **options: Path | None,
) -> None:  # fmt: skip
    """Move events that were logged with their contexts inside into a database and lean logs, or into a store.

    SRC is a file, a folder of them, or - for standard input, plain, gzip or zstd: JSON lines whose contexts are
    embedded (data._ksi_context), flat, or referred to; and KSI's own database. Nothing of it is changed. A run that was
    ended half way goes on with the same command; one that is repeated finds nothing new.
    """
    log = options["out"]
    if (db is None) == (name is None):
        raise click.UsageError("Name the database with --db, or a store that is in use with --name.")
    if name is not None and (dry_run or log is not None):
        raise click.UsageError("--dry-run and --out go with --db.")
    with _progress(quiet) as watch:
        if name is not None:
            with _aside(bad_lines) as tell, attach(name, standby=True) as store:
                live = migrate_live(sources, store, tell=tell, watch=watch)
            out.document(msgspec.to_builtins(live), _of_live(live))
            bad = live.counts.bad
        else:
            assert db is not None
            report = move(sources, db, log, dry_run=dry_run, watch=watch)
            out.document(msgspec.to_builtins(report), _of(report))
            bad = report.counts.bad
    if bad:
        raise click.exceptions.Exit(PROBLEMS)


def _of(report: Report) -> Rows:
    counts = report.counts
    after = report.database_bytes + report.log_bytes
    ratio = f", {report.reduction:.0%} less" if report.reduction > 0 else ""
    rows = [
        ("Would store" if report.dry_run else "Stored", f"{number(report.stored_now)} events"),
        ("Database", f"{report.database}: {number(report.contexts)} contexts, {number(report.sessions)} sessions"),
        ("Lean log", report.log),
        ("Before", f"{size(report.text_bytes)} of text, {size(report.source_bytes)} on disk"),
        ("After", f"{size(after)}: database {size(report.database_bytes)}, log {size(report.log_bytes)}{ratio}"),
        *_of_counts(counts),
        ("Orphans", f"{number(report.orphans)} parents that are not there"),
        *_examples("", [(event, "") for event in report.orphan_examples]),
    ]
    if report.bad_lines and not report.dry_run:
        rows.append(("Put aside in", report.bad_lines))
    return [*rows, ("Took", duration(report.seconds))]


def _of_live(report: LiveReport) -> Rows:
    stored = ("Stored", f"{number(report.counts.stored)} events in {report.name}")
    return [stored, *_of_counts(report.counts), ("Took", duration(report.seconds))]


def _of_counts(counts: Counts) -> Rows:
    forms = ", ".join(f"{number(count)} {form}" for form, count in sorted(counts.forms.items()))
    return [
        ("Found", forms or "no events"),
        ("Duplicates", number(counts.duplicates)),
        ("Ids used twice", f"{number(counts.reused)} events have the id of another one; both were kept"),
        *_examples("", counts.examples.get("reused", [])),
        ("References", f"{number(counts.unresolved)} lead nowhere"),
        ("Bad lines", number(counts.bad)),
        *_examples("", counts.examples.get("bad", [])),
    ]


def _examples(label: str, some: list[tuple[str, str]]) -> Rows:
    return [(label, f"{place} {what}".rstrip()) for place, what in some[:5]]


@contextlib.contextmanager
def _aside(path: Path | None) -> Iterator[Any]:
    """Where bad lines are told: a file that is appended to, or nowhere."""
    if path is None:
        yield None
        return
    with path.open("ab") as file:

        def tell(bad: BadLine) -> None:
            file.write(as_json(bad))

        yield tell


@contextlib.contextmanager
def _progress(quiet: bool) -> Iterator[Watch | None]:
    """Events, rate and time left on standard error, if somebody sees it."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("Moving"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[events]:,} events"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, events=0)
        yield lambda done, total, events: bar.update(task, completed=done, total=total or None, events=events)
