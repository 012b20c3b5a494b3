"""`shmctx tail`: the newest contexts in the ring, and those that come, read from the ring itself."""

import contextlib
import select
import sys
from collections.abc import Iterator

import click

from shmctx.cli.main import HELP_OPTIONS, INTERRUPTED, complain, examples
from shmctx.cli.render import CONTEXTS, Form, Output, with_output
from shmctx.cli.stores import View, optional_name, view
from shmctx.context import Context
from shmctx.errors import ColdError, RecordDamaged
from shmctx.hot._core import CONTEXT, FIRST_POSITION, Ring
from shmctx.refs import make_ref

_LOOK_AROUND = 1.0  # seconds without a context between looks at whoever reads our output
_RECORDS, _BYTES = 1024, 4 << 20  # of one scan, at most
_GRANULES_PER_CONTEXT = 4  # the first guess; the walk goes further back if it was too low


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples("shmctx tail ksi -n 20", "shmctx tail ksi -f", "shmctx tail ksi -f --jsonl | jq -c ._event_name"),
)
@optional_name
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), default=10, show_default=True, help="How many to begin with."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with every context that is put, until Ctrl-C.")
@with_output
def tail(out: Output, name: str, lines: int, follow: bool) -> None:
    """Print the newest contexts that are in shared memory, drained or not.

    Following costs no processor time while nothing is put, and goes on with the next segment when the name moves on.
    """
    if follow and out.form is Form.JSON:
        raise click.UsageError("--follow has no end, so it is no JSON document; use --jsonl.")
    with view(name, waiting=follow) as found:
        ring = found.attachment.ring
        head = ring.positions()[1]
        first = _contexts(found, newest(ring, head, lines))
        if not follow:
            out.rows(CONTEXTS, first)
            return
        with _quiet_end():
            line = out.lines(CONTEXTS)
            for context in first:
                line(context)
            out.flush()
            for context in following(found, head):
                line(context)
                out.flush()


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


def following(found: View, position: int) -> Iterator[Context]:
    """The contexts from `position` on, as they are put; without end, unless nobody reads our output any more."""
    with found.store.follow(since=position, timeout=_LOOK_AROUND) as follower:
        while True:
            for event in follower:
                yield event.context
            if _nobody_reads():
                raise BrokenPipeError


def _nobody_reads() -> bool:
    """Whether the other end of our output was closed, as by `head`."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # errors are always reported
    return any(event & select.POLLERR for _, event in poll.poll(0))
