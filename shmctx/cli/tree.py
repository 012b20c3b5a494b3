"""`shmctx tree`: who caused what in one correlation."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import click

from shmctx.cli.main import HELP_OPTIONS, examples
from shmctx.cli.render import Column, Form, Listing, Output, duration, with_output
from shmctx.cli.stores import View, name_argument, view
from shmctx.context import Context, Identity
from shmctx.errors import ContextNotFound

START, ORPHAN, CYCLE = "start", "orphan", "cycle"
_MAX_INDENT = 40  # levels; deeper ones are marked by their number

_NOTES = {None: "", START: "", ORPHAN: "parent unknown", CYCLE: "is its own ancestor"}


class Node(NamedTuple):
    """A context in its place."""

    context: Context
    level: int
    lines: str
    """What is drawn before it on a terminal."""
    offset: float
    """Seconds since the correlation's first context."""
    root: str | None
    """Why it has no parent here: START, ORPHAN, CYCLE; None if it has one."""


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples("shmctx tree ksi corr_0123456789abcdef", "shmctx tree ksi ctx_0123456789abcdef --json"),
)
@name_argument
@click.argument("correlation", metavar="CORRELATION_OR_REF")
@with_output
def tree(out: Output, name: str, correlation: str) -> None:
    """Print a correlation as an indented tree: what caused what, when, by which agent, with its errors.

    It is named by its id, or by a ref or event id of any of its contexts. A context whose parent is not known is a
    root, and so is the first of those that name each other as parents.
    """
    with view(name) as found:
        out.rows(listing(out.form), arranged(_members(found, correlation)))


def _members(found: View, named: str) -> list[Context]:
    """All contexts of the correlation that an id, ref or event id names. Raises ContextNotFound."""
    members = found.store.query(correlation_id=named)
    if not members:
        context = found.store.get(named)
        if not isinstance(context, Context):
            raise ContextNotFound(
                f"{named!r} is neither a correlation nor a context of the store {found.store.name!r}.",
                hint=f"shmctx query {found.store.name} --newest-first --limit 10",
            )
        members = found.store.query(correlation_id=context.correlation_id)
    return members


def arranged(contexts: list[Context]) -> Iterator[Node]:
    """The contexts in tree order, each once, whatever their parents claim."""
    by_identity = {context.identity: context for context in contexts}
    children: dict[Identity, list[Context]] = {}
    roots = []
    for context in contexts:
        parent = context.parent_identity
        if parent is None or parent not in by_identity:
            roots.append((context, START if parent is None else ORPHAN))
        else:
            children.setdefault(parent, []).append(context)
    begin = min(context.time_ns for context in contexts)
    seen: set[str] = set()
    for root, why in roots:
        yield from _branch(root, why, children, begin, seen)
    for context in contexts:  # whoever was not met is in a ring, or below one
        if context.ref not in seen:
            yield from _branch(context, CYCLE, children, begin, seen)


def _branch(
    root: Context, why: str, children: dict[Identity, list[Context]], begin: int, seen: set[str]
) -> Iterator[Node]:
    """A root and all below it, depth first, without recursion: chains may be longer than Python's stack."""
    stack: list[tuple[Context, int, str, str, str | None]] = [(root, 0, "", "", why)]
    while stack:
        context, level, drawn, below, reason = stack.pop()
        if context.ref in seen:
            continue
        seen.add(context.ref)
        yield Node(context, level, drawn, (context.time_ns - begin) / 1e9, reason)
        caused = [child for child in children.get(context.identity, ()) if child.ref not in seen]
        for child in reversed(caused):
            last = child is caused[-1]
            drawn, further = ("└─ ", "   ") if last else ("├─ ", "│  ")
            if level >= _MAX_INDENT:
                drawn, further = f"… {level + 1} ", ""
            stack.append((child, level + 1, below + drawn, below + further, None))


def _values(node: Node) -> dict[str, Any]:
    context = node.context
    return {
        "offset_seconds": node.offset,
        "level": node.level,
        "agent_id": context.agent_id,
        "ref": context.ref,
        "event_name": context.event_name,
        "error": context.error_text,
        "root": node.root,
    }


def _document(node: Node) -> dict[str, Any]:
    added = {"level": node.level, "offset_seconds": node.offset, "root": node.root}
    return added | node.context.to_dict()


def listing(form: Form) -> Listing:
    """The columns. Lines are drawn for a terminal; in plain text two spaces stand for a level."""

    def values(node: Node) -> dict[str, Any]:
        row = _values(node)
        drawn = node.lines if form is Form.TABLE else "  " * min(node.level, _MAX_INDENT)
        return row | {"event": drawn + node.context.event_name, "note": _NOTES[node.root] or None}

    columns = (
        Column("offset_seconds", "+", duration, right=True, style="dim"),
        Column("event", "Event", style="bold"),
        Column("agent_id", "Agent"),
        Column("ref", "Ref", style="cyan"),
        Column("error", "Error", style="red"),
        Column("note", "Note", style="yellow"),
    )
    return Listing(columns, values, _document)
