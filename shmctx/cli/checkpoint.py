"""`shmctx checkpoint list`, `show` and `restore`."""

from typing import Any

import click
import msgspec

from shmctx.checkpoints import choose
from shmctx.checkpoints.stored import Checkpoint, Listed
from shmctx.cli.keep import leading
from shmctx.cli.main import HELP_OPTIONS, examples
from shmctx.cli.readers import with_url
from shmctx.cli.render import ID, Column, Form, Listing, Output, clock, duration, number, size, with_output, yes
from shmctx.cli.stores import candidates, name_option, optional_name, reading


def _row(row: Listed) -> dict[str, Any]:
    found = row.checkpoint
    return {
        "time_ns": found.time_ns,
        "ref": found.ref,
        "application": found.application,
        "reason": found.reason,
        "participants": len(found.states),
        "size": found.size,
        "errors": list(found.errors),
        "next_start": row.next_start,
    }


CHECKPOINTS = Listing(
    (
        Column("time_ns", "Time", clock, style="dim"),
        Column("ref", "Ref", style=ID),
        Column("application", "Application", style="bold"),
        Column("reason", "Reason"),
        Column("participants", "Participants", number, right=True),
        Column("size", "Size", size, right=True),
        Column("errors", "Not captured", ", ".join, style="red"),
        Column("next_start", "Next start", yes),
    ),
    _row,
    _row,
)

STATES = Listing(
    (
        Column("stage", "Stage", number, right=True),
        Column("participant", "Participant", style="bold"),
        Column("size", "Size", size, right=True),
        Column("captured", "Captured for", style=ID),
        Column("error", "Error", style="red"),
    )
)


@click.group(
    context_settings=HELP_OPTIONS,
    no_args_is_help=False,  # click would give the help as an error's text
    epilog=examples(
        "shmctx checkpoint list ksi",
        "shmctx checkpoint show ctx_0123456789abcdef --state agents",
        "shmctx checkpoint restore ctx_0123456789abcdef",
    ),
)
def checkpoint() -> None:
    """List the checkpoints of applications, show what one holds, and choose what the next start uses."""


@checkpoint.command(
    "list", context_settings=HELP_OPTIONS, epilog=examples("shmctx checkpoint list ksi --application shop --limit 5")
)
@optional_name
@click.option("--application", metavar="TEXT", help="Only those of this one.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="So many of the newest.")
@with_url
@with_output
def list_(out: Output, name: str, *, application: str | None, limit: int) -> None:
    """List checkpoints, newest first, and which of them the next start of each application uses."""
    with reading(name) as store:
        out.rows(CHECKPOINTS, store.checkpoints(application, limit=limit))


@checkpoint.command(
    "show", context_settings=HELP_OPTIONS, epilog=examples("shmctx checkpoint show ctx_0123456789abcdef --state agents")
)
@click.argument("ref")
@name_option
@click.option("--state", metavar="PARTICIPANT", help="Print what this participant captured, as JSON.")
@with_url
@with_output
def show(out: Output, ref: str, *, name: str | None, state: str | None) -> None:
    """Show what a checkpoint holds: participants, their stages and sizes, who failed."""
    with candidates(name) as found:
        store = found.holding(ref)[0]
        if state is not None:
            out.json(store.checkpoint_state(ref, state))
            return
        shown = store.checkpoint(ref)
    wanted = shown.checkpoint
    out.document({**msgspec.to_builtins(wanted), "size": wanted.size, "next_start": shown.next_start}, _told(shown))
    if out.form is Form.TABLE:
        out.rows(STATES, _states(wanted))


def _told(shown: Listed) -> list[tuple[str, str]]:
    found = shown.checkpoint
    return [
        ("Checkpoint", found.ref),
        ("Application", found.application),
        ("Taken", f"{clock(found.time_ns)} ({found.reason})"),
        ("Capturing took", duration(found.duration_ms / 1e3)),
        ("Next start", yes(shown.next_start)),
    ]


def _states(found: Checkpoint) -> list[dict[str, Any]]:
    """A row for each participant, in the order in which they are restored, then those that never gave a state."""
    errors = {name: f"{failed.error_type}: {failed.error_message}" for name, failed in found.errors.items()}
    rows = [
        {
            "stage": state.stage,
            "participant": name,
            "size": state.size,
            "captured": state.captured or found.ref,
            "error": errors.pop(name, None),
        }
        for name, state in sorted(found.states.items(), key=lambda item: item[1].stage)
    ]
    nothing = {"stage": None, "size": None, "captured": None}
    return rows + [{**nothing, "participant": name, "error": error} for name, error in errors.items()]


@checkpoint.command(
    "restore", context_settings=HELP_OPTIONS, epilog=examples("shmctx checkpoint restore ctx_0123456789abcdef")
)
@click.argument("ref")
@name_option
def restore(ref: str, name: str | None) -> None:
    """Have the next start of its application use this checkpoint instead of the newest.

    The application itself restores it, when it starts; what it takes until then does not change the choice.
    """
    with candidates(name) as found:
        store, context = found.holding(ref)
        with leading(store.name) as writable:
            chosen = choose(writable, context.ref)
    click.echo(f"The next start of {chosen.application} uses {chosen.ref}, taken {clock(chosen.time_ns)}.")
