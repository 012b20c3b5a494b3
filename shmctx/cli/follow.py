"""`shmctx tail`: the newest contexts in the ring, and those that come, read from the ring itself."""

import contextlib
import select
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from shmctx.cli.events import listing
from shmctx.cli.filters import with_filters, with_text_and_fields
from shmctx.cli.main import HELP_OPTIONS, INTERRUPTED, examples
from shmctx.cli.readers import with_url
from shmctx.cli.render import CONTEXTS, Form, Listing, Output, with_output
from shmctx.cli.stores import optional_name
from shmctx.cli.tails import Coming, tailed
from shmctx.context import Context
from shmctx.event import Event

R = TypeVar("R")


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples(
        "shmctx tail ksi -n 20",
        "shmctx tail ksi -f",
        "shmctx tail ksi -f --jsonl | jq -c ._event_name",
        'shmctx tail ksi -f --event "agent:*" --fields monitoring --max-rate 20',
    ),
)
@optional_name
@click.option(
    "-n", "--lines", "--limit", type=click.IntRange(min=0), default=10, show_default=True, help="How many at first."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with every one that is put, until Ctrl-C.")
@click.option("--max-rate", type=click.FloatRange(0, min_open=True), metavar="N", help="With -f: this many a second.")
@click.option("--newest-first", is_flag=True, help="The other way round, without -f.")
@with_filters
@with_text_and_fields
@with_url
@with_output
def tail(
    out: Output,
    /,
    name: str,
    lines: int,
    fields: str | list[str] | None,
    *,
    follow: bool,
    newest_first: bool,
    **wanted: Any,
) -> None:
    """Print the newest contexts in shared memory, drained or not; with filters, those in the database too.

    With --fields, print events. Following costs no processor time while nothing is put, and goes on with the next
    segment when the name moves on. What --max-rate drops is counted on standard error.
    """
    if follow and out.form is Form.JSON:
        raise click.UsageError("--follow has no end, so it is no JSON document; use --jsonl.")
    if follow and newest_first:
        raise click.UsageError("--follow has no end to begin with: not with --newest-first.")
    max_rate = wanted.pop("max_rate")
    given = {option: value for option, value in wanted.items() if value is not None}
    listed, shown = _form(fields)
    with tailed(name, follow=follow) as source:
        first = source.first(lines, given)
        rows = first if fields is None else source.events(first)
        if not follow:
            out.rows(listed, reversed(rows) if newest_first else rows)
            return
        with _quiet_end():
            line = out.lines(listed)
            for row in rows:
                line(row)
            out.flush()
            for row in following(source.coming(shown, given, max_rate)):
                line(row)
                out.flush()


def _form(fields: str | list[str] | None) -> tuple[Listing, Callable[[Event], Context | Event]]:
    """How rows look, and what of an event is one: its context, where no fields are asked for."""
    if fields is None:
        return CONTEXTS, lambda event: event.context
    return listing(fields), lambda event: event


@contextlib.contextmanager
def _quiet_end() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None


def following(coming: Coming[R]) -> Iterator[R]:
    """What comes, without end, unless nobody reads our output any more; what was dropped is told on standard error."""
    dropped = 0
    with coming:
        while True:
            for row in coming:
                if coming.dropped > dropped:
                    click.echo(f"{coming.dropped - dropped} more were dropped.", err=True)
                    dropped = coming.dropped
                yield row
            if _nobody_reads():
                raise BrokenPipeError


def _nobody_reads() -> bool:
    """Whether the other end of our output was closed, as by `head`."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # errors are always reported
    return any(event & select.POLLERR for _, event in poll.poll(0))
