"""Who caused what: children, ancestors, descendants."""

from collections import deque

from shmctx.cold import Query, questions
from shmctx.cold.questions import Steps
from shmctx.context import Context
from shmctx.finder import Finder


def children(finder: Finder, ref: str) -> Steps[list[Context]]:
    """The contexts that name this one as their parent, oldest first. Raises ContextNotFound."""
    context = yield from finder.resolve(ref)
    return (yield from _caused_by(finder, context))


def _caused_by(finder: Finder, context: Context) -> Steps[list[Context]]:
    return finder.query(Query(parent=context.identity))


def ancestors(finder: Finder, ref: str) -> Steps[list[Context]]:
    """Parent, grandparent, ...; ends where a parent is unknown or was met (brought ids can form rings).

    Raises ContextNotFound.
    """
    context = yield from finder.resolve(ref)
    found: list[Context] = []
    met = {context.ref}
    parent = context.parent_ref
    while parent is not None:
        ancestor = yield from finder.find(parent)
        if ancestor is None or ancestor.ref in met:
            break
        met.add(ancestor.ref)
        found.append(ancestor)
        parent = ancestor.parent_ref
    return found


def descendants(finder: Finder, ref: str, max_depth: int | None = None) -> Steps[list[Context]]:
    """Everything caused by this context, oldest first, each once. Raises ContextNotFound."""
    context = yield from finder.resolve(ref)
    found: dict[int, Context] = {}
    queue = deque([(context, 0)])
    while queue:
        cause, level = queue.popleft()
        if max_depth is not None and level >= max_depth:
            continue
        for child in (yield from _caused_by(finder, cause)):
            position = child.position
            if position not in found and position != context.position:
                found[position] = child
                queue.append((child, level + 1))
    return [found[position] for position in sorted(found)]


def all_positions(finder: Finder) -> Steps[list[int]]:
    """Positions of all contexts, oldest first. What is drained meanwhile is in the first list, and in the second."""
    undrained = finder.undrained()
    found: list[int] = []
    while finder.anything_cold():
        chunk: list[int] = yield questions.positions_after(found[-1] if found else 0)
        if not chunk:
            break
        found += chunk
    last = found[-1] if found else 0
    return found + [position for position in undrained if position > last]
