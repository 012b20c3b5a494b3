"""`shmctx`: the group of commands, each loaded when it is asked for, and what errors look like and exit with."""

import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from shmctx.errors import GatewayUnavailable, InvalidField, LeaderAlive, SegmentError, ShmctxError

SUCCESS, ERROR, USAGE, UNAVAILABLE, DAMAGED, PROBLEMS, LEADER_ALIVE = range(7)
INTERRUPTED = 130  # 128 + SIGINT
NO_READER = 141  # 128 + SIGPIPE

EXIT_CODES = """\b
Exit codes: 0 done, 1 error, 2 wrong usage, 3 segment or daemon unavailable,
4 recovery found damage, 5 a check found problems, 6 refused because a leader
lives, 130 interrupted, 141 the reader of the output went away."""


def examples(*lines: str) -> str:
    """The part of a help text that shows how a command is called."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines), "", ""))


HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}

# Every command with the module that has it and what `shmctx --help` says, which therefore loads none of them.
COMMANDS = {
    "daemon": ("daemon", "Make or adopt a store and drain it until a signal."),
    "gateway": ("gateway", "Serve a store over HTTP: JSON, live events, a page."),
    "ls": ("inspect", "List the segments of this machine."),
    "stat": ("inspect", "Show positions, lag, leader and counters of a store."),
    "ps": ("inspect", "List the processes that use a store."),
    "get": ("read", "Print the contexts of refs."),
    "tail": ("follow", "Print the newest contexts, and follow."),
    "query": ("read", "Print the contexts that fit all that is given."),
    "events": ("events", "Print events with their data, by any filter."),
    "trace": ("trace", "Show what caused what: tree, JSON, diagram, timeline."),
    "impact": ("consequences", "Sum up what a context caused."),
    "errors": ("consequences", "Show where errors came from and what they touched."),
    "compare": ("consequences", "Show where two correlations diverge."),
    "audit-trail": ("consequences", "List who did what when in a correlation of a store."),
    "session": ("session", "Show a session: data, agents, activity, responses."),
    "report": ("report", "Report frequent chains, slow handlers, bursts, deep chains."),
    "doctor": ("doctor", "Check the machine and the stores for problems."),
    "prune": ("keep", "Remove what has expired, or say what would go."),
    "pin": ("keep", "Keep contexts for ever."),
    "unpin": ("keep", "Keep contexts only as long as others."),
    "forget": ("keep", "Remove contexts and their events from everywhere."),
    "checkpoint": ("checkpoint", "List checkpoints, show one, choose what the next start uses."),
    "unlink": ("manage", "Remove the name of a segment."),
    "migrate": ("migrate", "Move logs with contexts inside into a store."),
    "export": ("export", "Write events with their contexts inside: JSON lines, CSV, SQLite, Parquet."),
    "verify": ("verify", "Check that a store has, whole and unchanged, what it was given."),
    "audit": ("audit", "Find old patterns of event contexts in Python code."),
    "completion": ("manage", "Print the completion script of a shell."),
}


class Commands(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names, in the order in which they are best learned."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load a command; None for an unknown one."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"shmctx.cli.{COMMANDS[cmd_name][0]}"), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without arguments, show the help, as wrong usage."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(USAGE)
        return super().parse_args(ctx, args)


def print_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    """Print shmctx's version and end."""
    if wanted:
        from shmctx import __version__

        click.echo(f"{ctx.info_name} {__version__}")
        ctx.exit()


version_option = click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=print_version, help="Print the version."
)


EPILOG = examples(
    "shmctx daemon                     start the store `default`",
    "shmctx tail -f                    watch contexts as they are put",
    "shmctx get ctx_0123456789abcdef   resolve a ref",
)


@click.command(cls=Commands, context_settings=HELP_OPTIONS, epilog=EPILOG + EXIT_CODES)
@version_option
def shmctx() -> None:
    """Event contexts of many processes, in shared memory.

    A daemon makes a store, agents put contexts into it, and every process on the machine resolves their refs.
    """


def exit_code(error: ShmctxError) -> int:
    """What a command ends with that met this error."""
    if isinstance(error, LeaderAlive):
        return LEADER_ALIVE
    if isinstance(error, InvalidField):
        return USAGE
    return UNAVAILABLE if isinstance(error, SegmentError | GatewayUnavailable) else ERROR


def complain(message: str, hint: str = "") -> None:
    """Say on standard error what went wrong and what to do next."""
    coloured = not os.environ.get("NO_COLOR") and (bool(os.environ.get("FORCE_COLOR")) or sys.stderr.isatty())
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {message}", err=True, color=coloured)
    if hint:
        click.echo(f"{click.style('Try:', bold=True)} {hint}", err=True, color=coloured)


def run(command: click.Command, arguments: list[str]) -> int:
    """Run a command; returns its exit code. Every error becomes two lines on standard error."""
    name = command.name or ""
    try:
        with command.make_context(name, arguments) as context:
            command.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else name
        complain(error.format_message(), f"{path} --help")
        return USAGE
    except click.ClickException as error:
        complain(error.format_message())
        return error.exit_code
    except ShmctxError as error:
        complain(error.message, error.hint)
        return exit_code(error)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        return NO_READER
    return SUCCESS


def finish(command: click.Command, arguments: list[str]) -> NoReturn:
    """Run a command and end the process."""
    code = run(command, arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = NO_READER
    if code == NO_READER:  # the interpreter flushes once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def complete(command: click.Command, program: str) -> None:
    """Answer a shell that asks for completions, and end; else do nothing."""
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    asked = os.environ.get(variable)
    if asked:
        from click.shell_completion import shell_complete

        nothing: dict[str, Any] = {}
        sys.exit(shell_complete(command, nothing, program, variable, asked))


def main() -> NoReturn:
    """Entry point of `shmctx` and `python -m shmctx`."""
    complete(shmctx, "shmctx")
    finish(shmctx, sys.argv[1:])
