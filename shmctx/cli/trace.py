"""`shmctx trace`: who caused what, as a tree, as JSON, as a diagram, as a picture."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from shmctx import analysis
from shmctx.analysis.text import MAX_INDENT, NOTES, drawn
from shmctx.cli.main import HELP_OPTIONS, examples
from shmctx.cli.readers import with_url
from shmctx.cli.render import ID, Column, Form, Listing, Output, duration, with_output
from shmctx.cli.stores import Candidates, candidates, name_option
from shmctx.context import Context

FORMATS = ("tree", "json", "jsonl", "mermaid", "svg")
_BY_SUFFIX = {".svg": "svg", ".mmd": "mermaid", ".mermaid": "mermaid", ".json": "json", ".jsonl": "jsonl"}

named_argument = click.argument("named", metavar="CORRELATION_OR_REF")


class Row(NamedTuple):
    """An event of the tree, or a step of the critical path."""

    chain: analysis.Chain
    node: analysis.Node
    lines: str
    """What is drawn before it on a terminal."""
    context: Context
    step: analysis.Step | None = None


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples(
        "shmctx trace corr_0123456789abcdef",
        "shmctx trace ctx_0123456789abcdef --below --json",
        "shmctx trace ctx_0123456789abcdef -o timeline.svg",
    ),
)
@named_argument
@name_option
@click.option("--below", is_flag=True, help="Only a context and what it caused, in whatever correlation.")
@click.option("--critical-path", is_flag=True, help="Only the chain of causes that ended last, and what it waited for.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Otherwise by the ending of FILE, or a tree.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write there instead."
)
@with_url
@with_output
def trace(
    out: Output,
    /,
    *,
    named: str,
    name: str | None,
    below: bool,
    critical_path: bool,
    form: str | None,
    output: Path | None,
) -> None:
    """Show what caused what in one correlation: when, by which agent, how long, with its errors.

    It is named by its id, or by a ref or event id of any of its contexts. A context whose parent is not known is a
    root, and so is the first of those that name each other as parents.
    """
    chosen = _chosen(out, form, output)
    if critical_path and chosen in ("mermaid", "svg"):
        raise click.UsageError("Diagrams show the critical path anyway: leave out --critical-path.")
    with candidates(name) as found:
        contexts = _wanted(found, named, below=below)
    chain = analysis.chain(contexts)
    with _writing(output):
        if chosen == "svg":
            sys.stdout.write(analysis.svg(chain, title=named))
        elif chosen == "mermaid":
            sys.stdout.write(analysis.mermaid(chain))
        elif chosen == "tree" and output and not critical_path:
            sys.stdout.write(analysis.tree(chain))
        else:
            shown = Output(Form(chosen)) if chosen in ("json", "jsonl") else out
            listing = PATH if critical_path else tree(shown.form)
            shown.rows(listing, rows(chain, contexts, critical_path=critical_path))


def _chosen(out: Output, form: str | None, output: Path | None) -> str:
    """The format: --json and --jsonl, --format, the file's ending, a tree."""
    asked = out.form.value if out.form in (Form.JSON, Form.LINES) else None
    if asked and form and asked != form:
        raise click.UsageError(f"--{asked} and --format {form} exclude each other.")
    return asked or form or (_BY_SUFFIX.get(output.suffix, "tree") if output else "tree")


def _wanted(found: Candidates, named: str, *, below: bool) -> list[Context]:
    if not below:
        return found.members(named)[1]
    store, context = found.holding(named)
    return [context, *store.descendants(context.ref)]


@contextlib.contextmanager
def _writing(output: Path | None) -> Iterator[None]:
    """What is printed inside goes to the file, which is whole or as it was before."""
    if output is None:
        yield
        return
    unfinished = output.with_name(f".{output.name}.unfinished")
    try:
        with unfinished.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
            yield
        unfinished.replace(output)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}.") from None
    finally:
        unfinished.unlink(missing_ok=True)


def rows(chain: analysis.Chain, contexts: Sequence[Context], *, critical_path: bool = False) -> Iterator[Row]:
    """The rows of the tree, or of the critical path."""
    by_ref = {context.ref: context for context in contexts}
    if critical_path:
        path = analysis.critical_path(chain)
        for step in path.steps if path else ():
            yield Row(chain, step.node, "", by_ref[step.node.ref], step)
    else:
        for node, lines in drawn(chain):
            yield Row(chain, node, lines, by_ref[node.ref])


def _values(row: Row) -> dict[str, Any]:
    node, step = row.node, row.step
    values = {
        "offset_seconds": row.chain.offset(node),
        "level": node.level,
        "event": node.event_name,
        "duration_seconds": _seconds(node.duration_ns),
        "agent_id": node.agent_id,
        "ref": node.ref,
        "error": node.error,
        "root": node.root,
    }
    if step is not None:
        values |= {
            "before_seconds": _seconds(step.before_ns),
            "gap_seconds": _seconds(step.gap_ns),
            "after_seconds": _seconds(step.after_ns),
        }
    return values


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else ns / 1e9


def _document(row: Row) -> dict[str, Any]:
    left_out = ("event", "agent_id", "ref", "error")
    added = {key: value for key, value in _values(row).items() if key not in left_out}
    return added | row.context.to_dict()


def _time(key: str, title: str) -> Column:
    return Column(key, title, duration, right=True, style="dim")


def tree(form: Form) -> Listing:
    """The columns. Lines are drawn for a terminal; in plain text two spaces stand for a level."""

    def values(row: Row) -> dict[str, Any]:
        lines = row.lines if form is Form.TABLE else "  " * min(row.node.level, MAX_INDENT)
        return _values(row) | {"event": lines + row.node.event_name, "note": NOTES[row.node.root] or None}

    columns = (
        _time("offset_seconds", "+"),
        Column("event", "Event", style="bold"),
        _time("duration_seconds", "Took"),
        Column("agent_id", "Agent"),
        Column("ref", "Ref", style=ID),
        Column("error", "Error", style="red"),
        Column("note", "Note", style="yellow"),
    )
    return Listing(columns, values, _document)


PATH = Listing(
    (
        _time("offset_seconds", "+"),
        Column("event", "Event", style="bold"),
        _time("duration_seconds", "Took"),
        _time("before_seconds", "Until next"),
        _time("gap_seconds", "Idle before"),
        _time("after_seconds", "After next"),
        Column("agent_id", "Agent"),
        Column("ref", "Ref", style=ID),
        Column("error", "Error", style="red"),
    ),
    _values,
    _document,
)
