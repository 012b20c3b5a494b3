"""`shmctx events`: events with their data, by any filter, with the fields that somebody wants to see."""

from collections.abc import Sequence
from typing import Any

import click

from shmctx.cli.filters import with_filters, with_pages, with_text_and_fields
from shmctx.cli.main import HELP_OPTIONS, examples
from shmctx.cli.readers import with_url
from shmctx.cli.render import ID, Column, Listing, Output, clock, plain, with_output
from shmctx.cli.stores import optional_name, reading
from shmctx.events.monitor import DEFAULT_FIELDS
from shmctx.events.selection import names, selector

_STYLES = {"ref": ID, "timestamp": "dim", "event_name": "bold"} | dict.fromkeys(
    ("error", "error_type", "error_message"), "red"
)
_WIDTHS = {"ref": 20, "timestamp": 12, "event_name": 28, "agent_id": 16, "depth": 5}


def listing(fields: str | Sequence[str]) -> Listing:
    """Events as rows of these fields: a bundle or a list. Raises InvalidField."""
    return Listing(tuple(_column(name) for name in names(fields)), selector(fields), selector(fields))


def _column(name: str) -> Column:
    plainly = name.lstrip("_") if name in ("_ref", "_agent_id", "_event_name") else name
    show = (lambda seconds: clock(int(seconds * 1e9))) if name in ("timestamp", "_event_timestamp") else plain
    return Column(name, name, show, width=_WIDTHS.get(plainly, 0), style=_STYLES.get(plainly, ""))


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples(
        'shmctx events ksi --event "agent:*" --since 10m',
        "shmctx events ksi --text timeout --newest-first --limit 5",
        "shmctx events ksi --errors --fields errors --jsonl",
        "shmctx events ksi --fields ref,agent_id,data.prompt",
    ),
)
@optional_name
@with_filters
@with_text_and_fields
@with_pages
@with_url
@with_output
def events(out: Output, /, name: str, fields: str | list[str] | None, **wanted: Any) -> None:
    """Print the events that fit all that is given, with their data, oldest first, drained or not."""
    rows = listing(fields or DEFAULT_FIELDS)
    with reading(name) as store:
        out.rows(rows, store.matching(**wanted))
