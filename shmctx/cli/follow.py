"""`shmctx tail`: the newest contexts in the ring, and those that come, read from the ring itself."""

import contextlib
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import click

from shmctx.cli.events import listing
from shmctx.cli.filters import with_filters, with_text_and_fields
from shmctx.cli.main import HELP_OPTIONS, INTERRUPTED, complain, examples
from shmctx.cli.render import CONTEXTS, Form, Listing, Output, with_output
from shmctx.cli.stores import View, optional_name, view
from shmctx.context import Context
from shmctx.errors import ColdError, RecordDamaged
from shmctx.event import Event
from shmctx.events.monitor import Monitor
from shmctx.events.subscription import Subscription
from shmctx.hot._core import CONTEXT, FIRST_POSITION, Ring
from shmctx.refs import make_ref

R = TypeVar("R")

_LOOK_AROUND = 1.0  # seconds without a context between looks at whoever reads our output
_RECORDS, _BYTES = 1024, 4 << 20  # of one scan, at most
_GRANULES_PER_CONTEXT = 4  # the first guess; the walk goes further back if it was too low


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
    with view(name, waiting=follow) as found:
        head = found.attachment.ring.positions()[1]
        first = _first(found, head, lines, given)
        rows = first if fields is None else found.store.events(first)
        if not follow:
            out.rows(listed, reversed(rows) if newest_first else rows)
            return
        with _quiet_end():
            line = out.lines(listed)
            for row in rows:
                line(row)
            out.flush()
            for row in following(Subscription(found.store, shown, {**given, "after": head}, max_rate, _LOOK_AROUND)):
                line(row)
                out.flush()


def _form(fields: str | list[str] | None) -> tuple[Listing, Callable[[Event], Context | Event]]:
    """How rows look, and what of an event is one: its context, where no fields are asked for."""
    if fields is None:
        return CONTEXTS, lambda event: event.context
    return listing(fields), lambda event: event


def _first(found: View, head: int, lines: int, given: dict[str, Any]) -> Sequence[Context]:
    """The newest that fit, oldest first; without filters from the ring alone, which needs no database."""
    if not given:
        return list(_contexts(found, newest(found.attachment.ring, head, lines)))
    wanted = {name: value for name, value in given.items() if name != "after"}
    behind = found.store.resolve(given["after"]).position if "after" in given else 0
    events = Monitor(found.store).events(limit=lines, newest_first=True, **wanted)
    return [event.context for event in reversed(events) if event.context.position > behind]


@contextlib.contextmanager
def _quiet_end() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None


def _contexts(found: View, positions: list[int]) -> Iterator[Context]:
    for position in positions:
        try:
            context = found.store.get(make_ref(found.store.store_id, position))
        except (RecordDamaged, ColdError) as error:
            complain(error.message, error.hint)
            continue
        if isinstance(context, Context):  # else it was no context, or is gone
            yield context


def newest(ring: Ring, head: int, count: int) -> list[int]:
    """Positions of the last `count` contexts before `head`, oldest first; fewer if the ring has fewer.

    A ring can be walked forwards only, from any granule: the walk starts a little before the head, and further back
    until it has met enough.
    """
    header = ring.header()
    gap = header["base"] - header["gap_start"]
    window = count * _GRANULES_PER_CONTEXT
    while True:
        window = min(window, header["capacity"])
        start = head - window
        if start < header["base"]:  # the older side of the gap between generations
            start = max(start - gap, FIRST_POSITION)
        positions = [record[0] for record in _scan(ring, start, head) if record[1] == CONTEXT]
        if len(positions) >= count or window == header["capacity"] or start == FIRST_POSITION:
            return positions[-count:] if count else []
        window *= 4


def _scan(ring: Ring, start: int, head: int) -> Iterator[tuple[int, int]]:
    while start < head:
        start, records, _ = ring.scan(start, head, _RECORDS, _BYTES)
        yield from ((record[0], record[1]) for record in records)


def following(coming: Subscription[R]) -> Iterator[R]:
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
