"""`shmctx export`: the way out, into files that need no shmctx."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from shmctx.cli.filters import with_filters
from shmctx.cli.main import HELP_OPTIONS, PROBLEMS, complain, examples
from shmctx.cli.progress import bar
from shmctx.cli.render import Output, duration, number, size, with_output
from shmctx.cli.stores import optional_name, view
from shmctx.transfer import export as transfer
from shmctx.transfer.export import Leaving, Report
from shmctx.transfer.writers import FORMS, STREAMED, form_of

STDOUT = Path("-")


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples(
        "shmctx export ksi --to events.jsonl                       of a store in use",
        "shmctx export --db var/contexts.db --to events.jsonl.zst  of one that nobody uses",
        "shmctx export ksi --agent a-7 --since 1d --to -           to standard output",
        "shmctx export ksi --to events.parquet                     needs shmctx[parquet]",
    ),
)
@optional_name
@click.option(
    "--db", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Of a database, without segment."
)
@click.option(
    "--log", type=click.Path(path_type=Path), metavar="DIR", help="Its event log, if not where the database says."
)
@click.option("--to", required=True, type=click.Path(path_type=Path), metavar="FILE", help="Where to; - is stdout.")
@click.option("--format", "form", type=click.Choice(FORMS), help="Otherwise by the ending of FILE.")
@click.option("--force", is_flag=True, help="Replace FILE.")
@click.option("--as-put", is_flag=True, help="Contexts without what was annotated to them later.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@with_filters
@with_output
def export(
    out: Output, /, name: str, *, db: Path | None, log: Path | None, to: Path, form: str | None, force: bool,
    as_put: bool, quiet: bool, **wanted: Any,
) -> None:  # fmt: skip
    """Write events with their contexts inside, as they were before shmctx: {"timestamp", "event_name", "data"}, the
    context in data._ksi_context. Or as table: CSV, SQLite, Parquet.

    The file appears when it is whole. Where the log or the database lacks what it should have, the rest is exported and
    the exit code is 5.
    """
    form = form or ("jsonl" if to == STDOUT else form_of(to))
    if to == STDOUT and form not in STREAMED:
        raise click.UsageError(f"{form} cannot go to standard output; name a file.")
    with (
        _leaving(name, db, log, annotated=not as_put) as leaving,
        bar("Exporting", quiet=quiet, numbers=True) as progress,
    ):
        target = sys.stdout.buffer if to == STDOUT else to
        report = transfer.export(leaving, target, form, wanted, replace=force, progress=progress)  # type: ignore[arg-type]
    if to != STDOUT:
        out.document({**msgspec.to_builtins(report), "whole": report.whole}, _for_people(report))
    if not report.whole:
        complain(
            f"{report.missing} events are without the data that the log should have, {report.fields_missing} large "
            "fields are missing.",
            "shmctx verify, which tells which and why",
        )
        raise click.exceptions.Exit(PROBLEMS)


@contextlib.contextmanager
def _leaving(name: str, db: Path | None, log: Path | None, *, annotated: bool) -> Iterator[Leaving]:
    with contextlib.ExitStack() as stack:
        if db is None:
            found = stack.enter_context(view(name))
            leaving = transfer.from_store(found.store, found.attachment, log, annotated=annotated)
        else:
            leaving = transfer.from_database(db, log, annotated=annotated)
        stack.callback(leaving.close)
        yield leaving


def _for_people(report: Report) -> list[tuple[str, str]]:
    return [
        ("Exported", f"{number(report.events)} events as {report.form}, {size(report.bytes)}"),
        ("To", report.to),
        ("Without data", f"{number(report.without_data)}, {number(report.expired)} of them expired or forgotten"),
        ("Missing", f"{number(report.missing)} lines of the log, {number(report.fields_missing)} large fields"),
        ("Took", duration(report.seconds)),
    ]
