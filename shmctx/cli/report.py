"""`shmctx report`: frequent chains, slow handlers, bursts and unusually deep chains of a stretch of time."""

from collections.abc import Callable
from typing import Any

import click
import msgspec

from shmctx import analysis
from shmctx.cli.filters import moment
from shmctx.cli.main import HELP_OPTIONS, examples
from shmctx.cli.readers import with_url
from shmctx.cli.render import ID, Column, Listing, Output, clock, duration, number, with_output
from shmctx.cli.stores import optional_name, reading
from shmctx.context import Context


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _milliseconds(value: float) -> str:
    return duration(value / 1e3)


def _rate(value: float) -> str:
    return f"{value:,.1f}/s"


def _ms(key: str, title: str) -> Column:
    return Column(key, title, _milliseconds, right=True)


LISTINGS = {
    "chains": Listing(
        (
            Column("count", "Times", number, right=True),
            Column("names", "Chain", " > ".join, style="bold"),
            Column("example", "Example", style=ID),
        ),
        msgspec.structs.asdict,
    ),
    "slow": Listing(
        (
            Column("name", "Name", style="bold"),
            Column("count", "Times", number, right=True),
            _ms("p50_ms", "p50"),
            _ms("p95_ms", "p95"),
            _ms("max_ms", "Max"),
            _ms("total_ms", "Total"),
            Column("failed", "Failed", number, right=True, style="red"),
            Column("slowest", "Slowest", style=ID),
        ),
        msgspec.structs.asdict,
    ),
    "bursts": Listing(
        (
            Column("begin_ns", "From", clock, style="dim"),
            Column("end_ns", "To", clock, style="dim"),
            Column("events", "Events", number, right=True),
            Column("rate", "Rate", _rate, right=True),
            Column("usual", "Usual", _rate, right=True),
            Column("by_name", "Events", _counts, style="bold"),
            Column("by_agent", "Agents", _counts),
        ),
        msgspec.structs.asdict,
    ),
    "deep": Listing(
        (
            Column("depth", "Depth", number, right=True),
            Column("usual", "Usual", number, right=True),
            Column("events", "Events", number, right=True),
            Column("begins_with", "Begins with", style="bold"),
            Column("correlation_id", "Correlation", style=ID),
            Column("deepest", "Deepest", style=ID),
            Column("repeats", "Repeats", _counts),
        ),
        msgspec.structs.asdict,
    ),
}


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples("shmctx report slow ksi --since 1h", "shmctx report chains ksi --length 3 --json"),
)
@click.argument("kind", type=click.Choice(list(LISTINGS)), metavar="chains|slow|bursts|deep")
@optional_name
@click.option("--since", metavar="TIME", callback=moment, default="1d", show_default=True, help="From then on.")
@click.option("--until", metavar="TIME", callback=moment, help="Before then.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="Rows at most.")
@click.option("--length", type=click.IntRange(min=2), metavar="N", help="chains: stretches of N events; else whole.")
@click.option("--by-event", is_flag=True, help="slow: all handlers of an event name together.")
@click.option(
    "--window",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="bursts: events are counted in windows of this length.",
)
@click.option("--least", type=click.IntRange(min=1), metavar="N", help="bursts: events (20); deep: depth (10).")
@click.option("--factor", type=click.FloatRange(min=1), metavar="X", help="Times the median: bursts 4, deep 3.")
@with_url
@with_output
def report(out: Output, /, kind: str, name: str, since: float, until: float | None, **options: Any) -> None:
    """Report on a stretch of time: sequences of events that come often, handlers that take long, bursts of events,
    chains that are deeper than usual."""
    with reading(name) as store:
        contexts = store.query(since=since, until=until)
        out.rows(LISTINGS[kind], _REPORTS[kind](contexts, {k: v for k, v in options.items() if v is not None}))


def _only(options: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: options[name] for name in names if name in options}


_REPORTS: dict[str, Callable[[list[Context], dict[str, Any]], list[Any]]] = {
    "chains": lambda contexts, given: analysis.frequent_chains(
        analysis.chain(contexts), **_only(given, "length", "limit")
    ),
    "slow": lambda contexts, given: analysis.slow_handlers(contexts, **_only(given, "by_event", "limit")),
    "bursts": lambda contexts, given: analysis.bursts(contexts, **_only(given, "window", "factor", "least", "limit")),
    "deep": lambda contexts, given: analysis.deep_chains(contexts, **_only(given, "factor", "least", "limit")),
}
