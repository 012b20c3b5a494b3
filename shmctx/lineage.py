"""Who caused what: children, siblings, ancestors, descendants.

Every context's effects are looked for in the ring first and then in the database, so that what is drained between the
two is seen in one of them. The database follows whole chains by itself: how deep they are costs no further question.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

from shmctx.cold import Query, chains, questions
from shmctx.cold.questions import Question, Steps
from shmctx.context import Context, Identity
from shmctx.finder import Finder
from shmctx.refs import alias_of

T = TypeVar("T")


def children(finder: Finder, ref: str) -> Steps[list[Context]]:
    """The contexts that name this one as their parent, oldest first. Raises ContextNotFound."""
    context = yield from finder.resolve(ref)
    return (yield from finder.query(Query(parent=context.identity)))


def siblings(finder: Finder, ref: str) -> Steps[list[Context]]:
    """The other contexts that name the same parent, oldest first, even if that was never put.

    Empty for a context that nothing caused. Raises ContextNotFound.
    """
    context = yield from finder.resolve(ref)
    if context.parent_identity is None:
        return []
    caused = yield from finder.query(Query(parent=context.parent_identity))
    return [other for other in caused if other.ref != context.ref]


def ancestors(finder: Finder, ref: str) -> Steps[list[Context]]:
    """Parent, grandparent, ...; ends where a parent is unknown or was met (brought ids can form rings).

    Raises ContextNotFound.
    """
    context = yield from finder.resolve(ref)
    met = {context.position: context}
    known = _Known()
    while True:
        position = yield from known.parent(finder, context)
        if position is None or position in met:
            break
        ancestor = yield from known.at(finder, position)
        if ancestor is None:
            break
        met[position] = context = ancestor
    return list(met.values())[1:]


class _Known:
    """Cold ancestors that came together with an answer."""

    def __init__(self) -> None:
        self._contexts: dict[int, Context] = {}
        self._brought: dict[Identity, int] = {}

    def parent(self, finder: Finder, context: Context) -> Steps[int | None]:
        """The position of the parent, in the order in which Finder.locate looks: hot, then cold."""
        identity = context.parent_identity
        if not isinstance(identity, str):
            return identity
        position = self._brought.get(identity)
        if position is None or alias_of(identity) != identity or finder.hot_alias(identity) is not None:
            position = yield from finder.locate(identity)
        return position

    def at(self, finder: Finder, position: int) -> Steps[Context | None]:
        """The context at a position; with the first cold one come all above it."""
        if position not in self._contexts and finder.anything_cold() and finder.hot(position) is None:
            self._contexts = yield from finder.many((yield chains.above(position)))
            self._brought = {context.identity: position for position, context in self._contexts.items()}
        return self._contexts.get(position) or (yield from finder.at(position))


def descendants(finder: Finder, ref: str, max_depth: int | None = None) -> Steps[list[Context]]:
    """Everything caused by this context, oldest first, each once. Raises ContextNotFound."""
    origin = yield from finder.resolve(ref)
    found = {origin.position: origin}
    fresh = [origin]
    for _ in itertools.count() if max_depth is None else range(max_depth):
        if not fresh:
            break
        fresh = yield from _effects(finder, fresh, found, further=max_depth is None)
    del found[origin.position]
    return [found[position] for position in sorted(found)]


def _effects(
    finder: Finder, causes: list[Context], found: dict[int, Context], *, further: bool
) -> Steps[list[Context]]:
    """Add to `found` what these contexts caused, and return it; `further`: with the effects of that, as far as they
    were seen on the way. Whatever is returned must be asked about in turn: hot effects of cold contexts come then."""
    hot, asked = _hot_effects(finder, causes, found, further=further)
    positions = yield from _in_chunks(finder, chains.children, asked)
    new = [position for position in dict.fromkeys(positions) if position not in found]
    if further:
        new = yield from _in_chunks(finder, chains.below, new)
    cold = yield from finder.many([position for position in new if position not in found])
    found |= cold
    return list(cold.values()) if further else hot + list(cold.values())


def _hot_effects(
    finder: Finder, causes: list[Context], found: dict[int, Context], *, further: bool
) -> tuple[list[Context], list[Identity]]:
    """What of it is in the ring, and whose effects the database may have besides."""
    new: list[Context] = []
    asked: list[Identity] = []
    for cause in itertools.chain(causes, new) if further else causes:  # `new` grows meanwhile
        effects, whole = finder.effects_in_ring(cause)
        if not whole:
            asked.append(cause.identity)
        for effect in effects:
            position = effect.position
            if position not in found:
                found[position] = effect
                new.append(effect)
    return new, asked


def _in_chunks(
    finder: Finder, question: Callable[[Sequence[T]], Question[list[int]]], values: Sequence[T]
) -> Steps[list[int]]:
    positions: list[int] = []
    if finder.anything_cold():
        for start in range(0, len(values), questions.CHUNK):
            positions += yield question(values[start : start + questions.CHUNK])
    return positions


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
