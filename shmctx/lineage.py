"""Who caused what: children, ancestors, descendants."""

from collections import deque
from collections.abc import Iterator

from shmctx.cold import ColdReader, Query
from shmctx.context import Context
from shmctx.finder import Finder
from shmctx.refs import make_ref


def children(finder: Finder, context: Context) -> list[Context]:
    """The contexts that name this one as their parent, oldest first."""
    return finder.query(Query(parent=context.identity))


def ancestors(finder: Finder, context: Context) -> list[Context]:
    """Parent, grandparent, ...; ends where a parent is unknown or was met (brought ids can form rings)."""
    found: list[Context] = []
    met = {context.ref}
    parent = context.parent_ref
    while parent is not None:
        ancestor = finder.find(parent)
        if ancestor is None or ancestor.ref in met:
            break
        met.add(ancestor.ref)
        found.append(ancestor)
        parent = ancestor.parent_ref
    return found


def descendants(finder: Finder, context: Context, max_depth: int | None = None) -> list[Context]:
    """Everything caused by this context, oldest first, each once."""
    found: dict[int, Context] = {}
    queue = deque([(context, 0)])
    while queue:
        cause, level = queue.popleft()
        if max_depth is not None and level >= max_depth:
            continue
        for child in children(finder, cause):
            position = child.position
            if position not in found and position != context.position:
                found[position] = child
                queue.append((child, level + 1))
    return [found[position] for position in sorted(found)]


def all_refs(finder: Finder, reader: ColdReader, store_id: int) -> Iterator[str]:
    """Refs of all contexts, oldest first. What is drained meanwhile is in the first list, and in the second."""
    undrained = finder.undrained()
    last = 0
    if finder.anything_cold():
        for last in reader.positions():
            yield make_ref(store_id, last)
    for position in undrained:
        if position > last:
            yield make_ref(store_id, position)
