"""`shmctx verify`: whether a store holds, whole and unchanged, what it was given."""

from pathlib import Path
from typing import Any

import click
import msgspec

from shmctx.cli.main import HELP_OPTIONS, PROBLEMS, examples
from shmctx.cli.progress import bar
from shmctx.cli.render import Column, Form, Listing, Output, duration, number, with_output
from shmctx.cli.stores import complete_name, default_name
from shmctx.transfer.verify import Finding, Report
from shmctx.transfer.verify import verify as look
from shmctx.transfer.verify.report import LISTED

FINDINGS = Listing(
    (
        Column("level", "Level"),
        Column("kind", "Kind"),
        Column("where", "Where"),
        Column("detail", "Finding"),
    )
)


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples(
        "shmctx verify --db var/contexts.db                           of a store that nobody uses",
        "shmctx verify --name ksi                                     beside its leader, ring included",
        "shmctx verify --db var/contexts.db --against logs/ --json    with what it was made from",
    ),
)
@click.argument("more", nargs=-1, metavar="[SRC]...", type=click.Path(allow_dash=True, path_type=Path))
@click.option("--db", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="The SQLite file.")
@click.option(
    "--log", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="Its event log, if not where the database says.",
)  # fmt: skip
@click.option("--name", shell_complete=complete_name, help="The segment, whose database it is unless --db names one.")
@click.option(
    "--against", multiple=True, type=click.Path(allow_dash=True, path_type=Path), metavar="SRC",
    help="Logs that the store was made from: files, folders, KSI databases, - for standard input.",
)  # fmt: skip
@click.option("--limit", type=click.IntRange(1), default=LISTED, show_default=True, help="Findings listed of a kind.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@with_output
def verify(
    out: Output, /, more: tuple[Path, ...], *, db: Path | None, log: Path | None, name: str | None,
    against: tuple[Path, ...], limit: int, quiet: bool,
) -> None:  # fmt: skip
    """Look at everything that a store has: database, event log, large fields, and what the ring has besides.

    Changes nothing, and can run beside a leader. Exit code 0 if all is well, 5 with problems; notes are no problems.
    """
    if more and not against:
        raise click.UsageError("Name what the store was made from with --against.")
    if db is None and name is None:
        name = default_name()
    with bar("Verifying", quiet=quiet) as progress:
        report = look(db, log=log, name=name, against=(*against, *more), listed=limit, progress=progress)
    _print(out, report)
    if not report.ok:
        raise click.exceptions.Exit(PROBLEMS)


def _print(out: Output, report: Report) -> None:
    out.document(msgspec.to_builtins(report), _for_people(report))
    findings = [*(_row("problem", finding) for finding in report.problems), *(_row("note", it) for it in report.notes)]
    if findings and out.form is Form.TABLE:
        click.echo()
        out.rows(FINDINGS, findings)


def _row(level: str, finding: Finding) -> dict[str, Any]:
    return {"level": level, **msgspec.to_builtins(finding)}


def _for_people(report: Report) -> list[tuple[str, str]]:
    counts = report.counts
    rows = [
        ("Result", "everything is as it was stored" if report.ok else f"problems: {_counted(report.problem_counts)}"),
        ("Database", report.database),
        ("Contexts", _numbers(counts, "contexts", "events", "undrained")),
        ("Besides", _numbers(counts, "sessions", "annotations", "payloads", "quarantined")),
        ("Event log", f"{report.log}: {_numbers(counts, 'log_segments', 'lines')}"),
    ]
    if report.against is not None:
        rows.append(("Original", _counted(msgspec.to_builtins(report.against))))
    if report.note_counts:
        rows.append(("Notes", _counted(report.note_counts)))
    return [*rows, ("Took", duration(report.seconds))]


def _numbers(counts: dict[str, int], *names: str) -> str:
    return ", ".join(f"{number(counts[name])} {name.replace('_', ' ')}" for name in names if name in counts)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{number(count)} {kind.replace('_', ' ')}" for kind, count in counts.items() if count)
