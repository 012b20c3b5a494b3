"""`shmctx unlink` and `completion`."""

import sys

import click

from shmctx import process
from shmctx.cli.main import ERROR, HELP_OPTIONS, complain, examples
from shmctx.cli.render import size
from shmctx.cli.stores import name_argument, view
from shmctx.errors import SegmentError, SegmentMissing
from shmctx.hot import segment as segments


@click.command(context_settings=HELP_OPTIONS, epilog=examples("shmctx unlink ksi", "shmctx unlink ksi --yes"))
@name_argument
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Even if contexts would be lost, or nobody can tell; does not ask.")
def unlink(name: str, yes: bool, force: bool) -> None:
    """Remove the name of a segment. Its database is not touched.

    Processes that use the segment keep it; one that leads drains it and makes a new one. Where nobody uses it, its
    memory is given back, and what the database lacks would be lost: then this refuses, unless --force is given.
    """
    meaning = _check(name, force=force)
    if not (yes or force):
        if not sys.stdin.isatty():
            raise click.UsageError("Nobody can be asked here; --yes says that you mean it.")
        if not click.confirm(f"{meaning} Remove the name {name!r}?", err=True):
            raise click.exceptions.Exit(ERROR)
    segments.unlink(name)
    click.echo(f"Removed {segments.path_of(name)}.")


def _check(name: str, *, force: bool) -> str:
    """What unlinking means, in a sentence; ends with an error where something could be lost."""
    try:
        with view(name) as found:
            undrained, leader = found.undrained_bytes, found.attachment.ring.leader()
            database = found.attachment.database
    except SegmentMissing:
        raise
    except SegmentError as error:
        if not force:
            complain(
                f"{error.message} Whether its database has everything cannot be told.",
                f"shmctx unlink {name} --force, if what it holds may be lost",
            )
            raise click.exceptions.Exit(ERROR) from None
        return "It cannot be read."
    alive = leader["pid"] and process.is_alive(leader["pid"], leader["start"])
    if undrained and not force:
        complain(
            f"The segment {name!r} holds {size(undrained)} that {database} does not have. "
            + (f"{process.describe(leader['pid'])} drains it." if alive else "Nobody drains it: they would be lost."),
            "again in a moment" if alive else f"shmctx-recover {name} --db {database}, then again",
        )
        raise click.exceptions.Exit(ERROR)
    if alive:
        return f"{process.describe(leader['pid'])} will go on with a new segment."
    return "The database has everything."


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples(
        'eval "$(shmctx completion bash)"              in ~/.bashrc',
        "shmctx completion fish > ~/.config/fish/completions/shmctx.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that makes a shell complete commands, options and store names."""
    from click.shell_completion import get_completion_class

    from shmctx.cli.main import shmctx

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(shmctx, {}, "shmctx", "_SHMCTX_COMPLETE").source())
