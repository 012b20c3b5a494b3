"""`shmctx prune`, `pin`, `unpin` and `forget`."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from shmctx import attachment as attachments
from shmctx.cli.main import HELP_OPTIONS, complain, examples, exit_code
from shmctx.cli.render import Output, number, size, with_output
from shmctx.cli.stores import candidates, name_option, optional_name
from shmctx.cold.retention import Report
from shmctx.cold.survey import classes_of, survey
from shmctx.drain.prune import prune as prune_database
from shmctx.errors import ShmctxError
from shmctx.settings import Settings
from shmctx.store import Store

_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def age(_context: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    """Seconds from `30s`, `10m`, `2h`, `7d` or `1w`."""
    match = _AGE.fullmatch(text or "")
    if text is not None and match is None:
        raise click.BadParameter(f"{text!r} is no age; write 30s, 10m, 2h, 7d or 1w.")
    return float(match[1]) * _UNITS[match[2]] if match else None


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples(
        "shmctx prune ksi --dry-run              what has expired, by class",
        "shmctx prune ksi --older-than 2d        keep nothing older but what is pinned",
        "shmctx prune --db var/contexts.db       a store that nobody has open",
    ),
)
@optional_name
@click.option(
    "--db", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Of a store without segment."
)
@click.option("--dry-run", is_flag=True, help="Say what would go and change nothing.")
@click.option("--older-than", metavar="AGE", callback=age, help="Keep nothing older (7d) but what is pinned.")
@click.option("--timeout", type=click.FloatRange(min=0), default=600.0, show_default=True, help="Seconds to wait.")
@with_output
def prune(out: Output, name: str, *, db: Path | None, dry_run: bool, older_than: float | None, timeout: float) -> None:
    """Remove now what has expired: contexts, their events in the log, sessions and large fields that nothing needs.

    The process that leads does it, as it does by itself every hour, in steps between which it drains; where nobody
    leads, this one does both meanwhile. What is kept for how long, the leader's settings say.
    """
    older_ns = None if older_than is None else int(older_than * 1e9)
    if dry_run:
        report = survey(db or _database(name), older_ns)
    elif db is not None:
        report = prune_database(db, older_ns)
    else:
        with leading(name) as store:
            report = msgspec.convert(store.prune(older_than, timeout=timeout), Report)
    out.document({"dry_run": dry_run, **msgspec.to_builtins(report)}, _for_people(report, dry_run=dry_run))


def _database(name: str) -> Path:
    attached = attachments.attach(name, Settings(), readonly=True)
    try:
        return attached.database
    finally:
        attached.close()


def leading(name: str) -> Store:
    """The store, which this process leads if nobody else does, keeping what its last leader kept."""
    settings = Settings(retention=classes_of(_database(name)))
    return Store(attachments.attach(name, settings, standby=True))


def _for_people(report: Report, *, dry_run: bool) -> list[tuple[str, str]]:
    classes = ", ".join(f"{number(count)} {kind}" for kind, count in sorted(report.classes.items()))
    return [
        (
            "Would remove" if dry_run else "Removed",
            f"{number(report.contexts)} contexts" + (f": {classes}" * bool(classes)),
        ),
        ("Events", number(report.events)),
        ("Sessions", number(report.sessions)),
        ("Large fields", f"{number(report.payloads)}, {size(report.payload_bytes)}"),
        ("Quarantined", number(report.quarantined)),
        ("Event log", f"{size(report.log_bytes)}, {number(report.log_segments)} files"),
        ("Database", ("about " if dry_run else "") + size(report.database_bytes)),
    ]


def _each(refs: tuple[str, ...], name: str | None, change: Callable[[Store, str], None], done: str) -> None:
    """Change what these refs name; what does not resolve is told, and the others are changed."""
    failed: list[ShmctxError] = []
    with candidates(name) as found:
        for ref in refs:
            try:
                store = found.of(ref)[0] if len(found.of(ref)) == 1 else found.holding(ref)[0]
                with leading(store.name) as writable:
                    change(writable, ref)
                click.echo(f"{done} {ref}.")
            except ShmctxError as error:
                complain(error.message, error.hint)
                failed.append(error)
    if failed:
        raise click.exceptions.Exit(max(map(exit_code, failed)))


def _command(name: str, done: str, told: str, change: Callable[[Store, str], Any]) -> click.Command:
    @click.command(
        name, context_settings=HELP_OPTIONS, epilog=examples(f"shmctx {name} ctx_0123456789abcdef"), help=told
    )
    @click.argument("refs", nargs=-1, required=True, metavar="REF...")
    @name_option
    def command(refs: tuple[str, ...], name: str | None) -> None:
        _each(refs, name, change, done)

    return command


pin = _command("pin", "Pinned", "Keep contexts and their events for ever, whatever the retention says.", Store.pin)
unpin = _command("unpin", "Unpinned", "Keep contexts only as long as others of their kind.", Store.unpin)
forget = _command(
    "forget",
    "Forgot",
    """Remove contexts and their events from everywhere: ring, database, event log, large fields.

    What they caused stays. It cannot be undone.""",
    Store.forget,
)
