"""Options that say which contexts or events a command is about: the filters of Store.query and of the Monitor."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from shmctx import moments
from shmctx.errors import InvalidField

F = TypeVar("F", bound=Callable[..., Any])


def moment(_context: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    """Seconds since 1970 from an age (`10m` ago), seconds since 1970, or an ISO time, local unless it has a zone."""
    if text is None:
        return None
    try:
        return moments.moment(text)
    except InvalidField as error:
        raise click.BadParameter(error.message) from None


def chosen_fields(_context: click.Context, _option: click.Parameter, text: str | None) -> str | list[str] | None:
    """A bundle's name, or the fields of a list with commas."""
    from shmctx.events.selection import BUNDLES

    return text if text is None or text in BUNDLES else text.split(",")


_FILTERS = (
    click.option("--correlation", "correlation_id", metavar="ID", help="Of this conversation."),
    click.option("--agent", "agent_id", metavar="ID", help="Of this agent."),
    click.option("--session", "session_id", metavar="ID", help="Of this session."),
    click.option("--event", "--name", "event_name", metavar="NAME", help="Of events with such a name: agent:*."),
    click.option("--errors/--no-errors", default=None, help="In error, or not, by what was put or annotated."),
    click.option(
        "--since", metavar="TIME", callback=moment, help="From then on: 10m, 2h, 1d ago, an ISO time, seconds."
    ),
    click.option("--until", metavar="TIME", callback=moment, help="Before then."),
    click.option("--after", metavar="REF", help="Behind this one, in the order of the output: the next page."),
)
_PAGES = (
    click.option("--limit", type=click.IntRange(min=0), metavar="N", help="This many at most; otherwise all."),
    click.option("--newest-first", is_flag=True, help="The other way round."),
)
_EVENTS = (
    click.option("--text", metavar="TEXT", help="With this in names, ids, custom fields or data, in any case."),
    click.option(
        "--fields", metavar="FIELDS", callback=chosen_fields,
        help="minimal, monitoring, debugging, timing, errors, full, or a list with commas: ref,agent_id,data.prompt.",
    ),
)  # fmt: skip


def _with(options: tuple[Callable[[F], F], ...]) -> Callable[[F], F]:
    return lambda command: functools.reduce(lambda inner, option: option(inner), reversed(options), command)


with_filters = _with(_FILTERS)
"""Which contexts."""
with_pages = _with(_PAGES)
"""How many of them, and in which order."""
with_text_and_fields = _with(_EVENTS)
"""Which events, by their data too, and what of each."""
