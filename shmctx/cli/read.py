"""`shmctx get` and `query`: contexts, out of the ring and the database."""

import sys
from collections.abc import Iterator
from typing import Any

import click

from shmctx.cli.filters import with_filters, with_pages
from shmctx.cli.main import HELP_OPTIONS, complain, examples, exit_code
from shmctx.cli.readers import with_url
from shmctx.cli.render import CONTEXTS, Output, with_output
from shmctx.cli.stores import Candidates, candidates, name_option, optional_name, reading
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
@with_url
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


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples(
        "shmctx query ksi --agent a-7 --since 10m",
        "shmctx query ksi --event agent:spawn --newest-first --limit 5 --json",
    ),
)
@optional_name
@with_filters
@click.option("--parent", metavar="REF", help="Caused directly by this context.")
@with_pages
@with_url
@with_output
def query(out: Output, /, name: str, **wanted: Any) -> None:
    """Print the contexts that fit all that is given, oldest first, drained or not."""
    with reading(name) as store:
        out.rows(CONTEXTS, store.query(**wanted))
