"""`shmctx-recover`: what the ring holds and the database lacks goes into the database, after every process died."""

import sys
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec

from shmctx.cli.main import HELP_OPTIONS, complain, complete, examples, finish, version_option
from shmctx.cli.progress import bar
from shmctx.cli.render import Output, duration, number, size, with_output
from shmctx.cli.stores import name_argument
from shmctx.drain.recover import Outcome, Report
from shmctx.drain.recover import recover as replay
from shmctx.errors import SegmentMissing

EXIT_CODES = """\b
Exit codes: 0 nothing lost, 1 error, 2 wrong usage, 3 no segment of that name
(the database is not touched), 4 something was damaged or lost (see the report
and the table `quarantine`), 6 refused because a process drains."""
EPILOG = (
    examples("shmctx-recover ksi --db var/contexts.db --dry-run", "shmctx-recover ksi --db var/contexts.db --json")
    + EXIT_CODES
)


@click.command("shmctx-recover", context_settings=HELP_OPTIONS, epilog=EPILOG)
@name_argument
@click.option(
    "--db", required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="The SQLite file."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done and change nothing.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@version_option
@with_output
def recover(out: Output, name: str, db: Path, dry_run: bool, quiet: bool) -> None:
    """Store what a segment holds and its database lacks. Safe to run twice, and after it was killed.

    The daemon does the same when it starts; this is for a machine where it cannot start, and for looking first.
    """
    with bar("Replaying", quiet=quiet) as progress:
        report = replay(name, db, dry_run=dry_run, progress=progress)
    if report.outcome == Outcome.NO_SEGMENT:
        complain(report.message, SegmentMissing.hint)
    out.document(document(report), _for_people(report))
    raise click.exceptions.Exit(int(report.outcome))


def document(report: Report) -> dict[str, Any]:
    """The report as JSON shows it: the outcome by name, and the exit code that says it."""
    told: dict[str, Any] = msgspec.to_builtins(report)
    return told | {"outcome": report.outcome.name.lower(), "exit_code": int(report.outcome)}


def _for_people(report: Report) -> list[tuple[str, str]]:
    done = "Would store" if report.dry_run else "Stored"
    rows = [
        ("Result", report.message),
        ("Database", report.database),
        (done, f"{number(report.contexts)} contexts, {report.sessions} sessions, {report.annotations} annotations"),
        ("Segments read", str(report.segments)),
        ("Stored already", number(report.already_stored)),
        ("Damaged", number(len(report.damaged))),
        ("Lost", size(report.lost_bytes)),
        ("Took", duration(report.seconds)),
    ]
    return rows + [
        ("", f"position {stretch['position']}, {stretch['granules']} granules: {stretch['reason']}")
        for stretch in report.damaged[:20]
    ]


def main() -> NoReturn:
    """Entry point of `shmctx-recover`."""
    complete(recover, "shmctx-recover")
    finish(recover, sys.argv[1:])
