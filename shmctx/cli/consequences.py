"""`shmctx impact`, `errors`, `compare` and `audit-trail`: questions about one correlation, or two."""

from typing import Any

import click
import msgspec

from shmctx import analysis
from shmctx.cli.main import HELP_OPTIONS, examples
from shmctx.cli.readers import Reader, with_url
from shmctx.cli.render import ID, Column, Form, Listing, Output, clock, duration, number, plain, with_output
from shmctx.cli.stores import candidates, name_option
from shmctx.cli.trace import named_argument


@click.command(context_settings=HELP_OPTIONS, epilog=examples("shmctx impact ctx_0123456789abcdef --json"))
@click.argument("ref", metavar="REF")
@name_option
@with_url
@with_output
def impact(out: Output, ref: str, name: str | None) -> None:
    """Sum up what came after a context, through it: events, agents, sessions, errors, time."""
    with candidates(name) as found:
        store, context = found.holding(ref)
        result = analysis.impact(context, store.descendants(context.ref))
    document = msgspec.to_builtins(result) | {"span_seconds": result.span_seconds}
    out.document(document, _impact_told(result))


def _impact_told(result: analysis.Impact) -> list[tuple[str, str]]:
    return [
        ("event", f"{result.event_name} {result.ref}"),
        ("caused", f"{number(result.events)} events on {number(result.levels)} levels"),
        ("within", duration(result.span_seconds)),
        ("events", _counts(result.by_name)),
        ("agents", _counts(result.by_agent)),
        ("sessions", ", ".join(result.sessions)),
        ("correlations", ", ".join(result.correlations)),
        ("failed", f"{number(result.errors)} {' '.join(result.failed[:5])}".strip()),
    ]


def _counts(counts: dict[str, int]) -> str:
    more = f" and {len(counts) - 10} more" if len(counts) > 10 else ""
    return ", ".join(f"{name} {count}" for name, count in list(counts.items())[:10]) + more


@click.command(context_settings=HELP_OPTIONS, epilog=examples("shmctx errors corr_0123456789abcdef"))
@named_argument
@name_option
@with_url
@with_output
def errors(out: Output, named: str, name: str | None) -> None:
    """Show where the errors of a correlation came from, what failed because of them, and whom they touched."""
    with candidates(name) as found:
        chain = analysis.chain(found.members(named)[1])
    out.rows(ERRORS, ((chain, failure) for failure in analysis.failures(chain)))


def _error_values(row: tuple[analysis.Chain, analysis.Failure]) -> dict[str, Any]:
    chain, failure = row
    return {
        "offset_seconds": chain.offset(failure.origin),
        "event": failure.origin.event_name,
        "error": failure.origin.error,
        "ref": failure.origin.ref,
        "path": " > ".join(node.event_name for node in failure.path),
        "spread": len(failure.spread),
        "after": len(failure.after),
        "effects": failure.effects,
        "agents": ", ".join(failure.agents),
    }


ERRORS = Listing(
    (
        Column("offset_seconds", "+", duration, right=True, style="dim"),
        Column("event", "Began in", style="bold"),
        Column("error", "Error", style="red"),
        Column("ref", "Ref", style=ID),
        Column("path", "Path"),
        Column("spread", "Spread", number, right=True),
        Column("after", "Later", number, right=True),
        Column("effects", "Effects", number, right=True),
        Column("agents", "Agents"),
    ),
    _error_values,
    lambda row: row[1],
)


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples("shmctx compare corr_0123456789abcdef corr_0123456789abcdeg --ignore _trial"),
)
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@name_option
@click.option("--ignore", multiple=True, metavar="FIELD", help="A field whose changes do not matter, or `data`.")
@with_url
@with_output
def compare(out: Output, /, first: str, second: str, name: str | None, ignore: tuple[str, ...]) -> None:
    """Show where two correlations diverge, event by event: added, removed and changed, with fields and event data.

    Each is named by its id, or by a ref or event id of any of its contexts.
    """
    with candidates(name) as found:
        (store, a), (other, b) = found.members(first), found.members(second)
        data = {} if "data" in ignore else _data(store, a) | _data(other, b)
    result = analysis.compare(a, b, data=data, ignore=ignore)
    if out.form is Form.JSON:
        out.json(result)
        return
    if out.form is Form.TABLE:
        parting = f"; they part at {' > '.join(result.path)}" if result.path else ""
        told = f"{number(result.same)} events alike, {number(len(result.differences))} differ{parting}"
        out.document({}, [("compared", told)])
    out.rows(DIFFERENCES, result.differences)


def _data(store: Reader, contexts: list[Any]) -> dict[str, dict[str, Any] | None]:
    return {event.ref: event.data for event in store.with_data(contexts)}


def _changes(fields: dict[str, tuple[Any, Any]]) -> str:
    return ", ".join(f"{name}: {plain(a) or '-'} -> {plain(b) or '-'}" for name, (a, b) in fields.items())


DIFFERENCES = Listing(
    (
        Column("kind", "", style="yellow"),
        Column("event_name", "Event", style="bold"),
        Column("level", "Level", right=True),
        Column("under", "Under"),
        Column("a", "In A", style=ID),
        Column("b", "In B", style=ID),
        Column("fields", "Changed", _changes),
    ),
    msgspec.structs.asdict,
)


@click.command(context_settings=HELP_OPTIONS, epilog=examples("shmctx audit-trail corr_0123456789abcdef --jsonl"))
@named_argument
@name_option
@click.option(
    "--long-gap",
    type=click.FloatRange(min=0, min_open=True),
    default=analysis.LONG_GAP,
    show_default=True,
    metavar="SECONDS",
    help="Without an event, from which it is noted.",
)
@with_url
@with_output
def audit_trail(out: Output, /, named: str, name: str | None, long_gap: float) -> None:
    """List who did what when in a correlation, in the order in which it was stored, with what is missing in between.

    (`shmctx audit` is about something else: old patterns of event contexts in Python code.)
    """
    with candidates(name) as found:
        trail = analysis.audit_trail(found.members(named)[1], long_gap=long_gap)
    if out.form is Form.JSON:
        out.json(trail)
    else:
        out.rows(ENTRIES, trail.entries)


def _entry_values(entry: analysis.Entry) -> dict[str, Any]:
    return msgspec.structs.asdict(entry) | {"notes": ", ".join(entry.notes)}


def _nanoseconds(value: int) -> str:
    return duration(value / 1e9)


ENTRIES = Listing(
    (
        Column("number", "#", right=True, style="dim"),
        Column("time_ns", "Time", clock, style="dim"),
        Column("gap_ns", "After", _nanoseconds, right=True, style="dim"),
        Column("event_name", "Event", style="bold"),
        Column("agent_id", "Agent"),
        Column("client_id", "Client", wide=True),
        Column("user_id", "User"),
        Column("tenant_id", "Tenant", wide=True),
        Column("ref", "Ref", style=ID),
        Column("cause", "Cause", wide=True, style=ID),
        Column("duration_ns", "Took", _nanoseconds, right=True),
        Column("response_ref", "Response", wide=True),
        Column("error", "Error", style="red"),
        Column("notes", "Note", style="yellow"),
    ),
    _entry_values,
)
