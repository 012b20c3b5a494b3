"""`shmctx get` and `query`: contexts, out of the ring and the database."""

import re
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click

from shmctx.cli.main import HELP_OPTIONS, complain, examples, exit_code
from shmctx.cli.render import CONTEXTS, Output, with_output
from shmctx.cli.stores import Candidates, candidates, name_option, optional_name, view
from shmctx.context import Context
from shmctx.errors import ContextNotFound, RecordDamaged, SegmentMissing, ShmctxError

_HINT = "shmctx query, which finds contexts by what they hold; shmctx ls shows the stores there are"


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples(
        "shmctx get ctx_0123456789abcdef --json",
        "shmctx query ksi --jsonl | jq -r ._parent_event_id | shmctx get - --name ksi",
    ),
)
@click.argument("refs", nargs=-1, required=True, metavar="REF...")
@name_option
@with_output
def get(out: Output, refs: tuple[str, ...], name: str | None) -> None:
    """Print the contexts of refs or event ids; `-` reads them from standard input, one a line.

    Without --name and SHMCTX_SEGMENT, the store is found by the ref. A ref that does not resolve is reported on
    standard error and the others are printed; the exit code is then 1, or 3 if its store is not on this machine.
    """
    failed: list[ShmctxError] = []
    with candidates(name) as found:
        out.rows(CONTEXTS, _resolved(found, _read_refs(refs), failed))
    if failed:
        raise click.exceptions.Exit(max(map(exit_code, failed)))


def _read_refs(refs: tuple[str, ...]) -> Iterator[str]:
    for ref in refs:
        if ref == "-":
            yield from filter(None, (line.strip() for line in sys.stdin))
        else:
            yield ref


def _resolved(found: Candidates, refs: Iterator[str], failed: list[ShmctxError]) -> Iterator[Context]:
    for ref in refs:
        try:
            yield found.resolve(ref)
        except (ContextNotFound, RecordDamaged, SegmentMissing) as error:
            complain(error.message, error.hint or _HINT)
            failed.append(error)


_AGE = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def moment(_context: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    """Seconds since 1970 from an age (`10m` ago), seconds since 1970, or an ISO time, local unless it has a zone."""
    if text is None:
        return None
    match = _AGE.fullmatch(text)
    if match:
        return time.time() - float(match[1]) * _UNITS[match[2]]
    try:
        return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is no time; write 10m, 2h, 1d, 2026-01-31T12:00 or seconds since 1970."
        ) from None


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples(
        "shmctx query ksi --agent a-7 --since 10m",
        "shmctx query ksi --event agent:spawn --newest-first --limit 5 --json",
    ),
)
@optional_name
@click.option("--correlation", "correlation_id", metavar="ID", help="Of this conversation.")
@click.option("--agent", "agent_id", metavar="ID", help="Of this agent.")
@click.option("--session", "session_id", metavar="ID", help="Of this session.")
@click.option("--event", "event_name", metavar="NAME", help="Of events with this name.")
@click.option("--parent", metavar="REF", help="Caused directly by this context.")
@click.option("--since", metavar="TIME", callback=moment, help="From then on: 10m, 2h, 1d ago, an ISO time, seconds.")
@click.option("--until", metavar="TIME", callback=moment, help="Before then.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="This many at most; otherwise all.")
@click.option("--newest-first", is_flag=True, help="The other way round.")
@with_output
def query(out: Output, /, name: str, **wanted: Any) -> None:
    """Print the contexts that fit all that is given, oldest first, drained or not."""
    with view(name) as found:
        out.rows(CONTEXTS, found.store.query(**wanted))
