"""Chains: contexts as the tree of what caused what.

A chain is a list of nodes in tree order (a node, then all below it) that name each other by index. So a subtree is a
slice, no walk needs recursion however deep a chain is, and as JSON it has one level.
"""

from collections.abc import Iterable, Iterator
from typing import cast

import msgspec

from shmctx.analysis.facts import duration_ns
from shmctx.context import EVENT_PREFIX, HEX_CORRELATION, Context, Identity
from shmctx.refs import parse_ref

START, ORPHAN, CYCLE = "start", "orphan", "cycle"


class Node(msgspec.Struct, gc=False):
    """An event in its place in a chain."""

    index: int
    """In Chain.nodes."""
    parent: int | None
    """Index of the node that caused it; None for a root."""
    level: int
    """Steps from its root, which has 0."""
    root: str | None
    """Why it has no parent here: `start` (nothing caused it), `orphan` (the parent is not among the contexts), `cycle`
    (it is its own ancestor: brought ids can form rings); None if it has one."""
    ref: str
    event_id: str
    event_name: str
    agent_id: str | None
    correlation_id: str
    time_ns: int
    """Since 1970."""
    duration_ns: int | None
    """Of all handlers together; None where it is not known."""
    error: str | None
    """In one line."""
    depth: int = 0
    """As the context says it, which may be more than the level."""
    size: int = 1
    """Nodes from this one to the last below it."""

    @property
    def end_ns(self) -> int:
        """When its handlers were done; its time where that is not known."""
        return self.time_ns + (self.duration_ns or 0)


class Chain(msgspec.Struct):
    """What caused what among some contexts. Roots, and effects of the same cause, are in the order of positions."""

    nodes: list[Node]
    begin_ns: int = 0
    """The earliest time of any node; 0 without nodes."""
    end_ns: int = 0
    """The latest moment of any node, durations included."""

    def roots(self) -> Iterator[Node]:
        """The nodes that nothing here caused."""
        return self._row(0, len(self.nodes))

    def children(self, node: Node) -> Iterator[Node]:
        """What a node caused directly."""
        return self._row(node.index + 1, node.index + node.size)

    def _row(self, start: int, stop: int) -> Iterator[Node]:
        while start < stop:
            node = self.nodes[start]
            yield node
            start += node.size

    def siblings(self, node: Node) -> list[Node]:
        """The others that the same node caused; for a root the other roots."""
        row = self.roots() if node.parent is None else self.children(self.nodes[node.parent])
        return [other for other in row if other.index != node.index]

    def path(self, node: Node) -> list[Node]:
        """From the root to the node, both included."""
        found = [node]
        while (parent := found[-1].parent) is not None:
            found.append(self.nodes[parent])
        return found[::-1]

    def below(self, node: Node) -> list[Node]:
        """All that a node caused, directly or not, in tree order."""
        return self.nodes[node.index + 1 : node.index + node.size]

    def node(self, ref: str) -> Node | None:
        """The node of a ref or event id."""
        return next((node for node in self.nodes if ref in (node.ref, node.event_id)), None)

    def ends(self) -> list[int]:
        """For each node when the last of it and all below it ended, in ns since 1970."""
        ends = [node.end_ns for node in self.nodes]
        for node in reversed(self.nodes):
            if node.parent is not None:
                ends[node.parent] = max(ends[node.parent], ends[node.index])
        return ends

    def offset(self, node: Node) -> float:
        """Seconds from the chain's begin to the node."""
        return (node.time_ns - self.begin_ns) / 1e9


def chain(contexts: Iterable[Context]) -> Chain:
    """The chain of contexts: of a correlation, of a context and its descendants, or of any others.

    Every context comes once, whatever its parent claims to be. Where several brought the same event id, the effects
    belong to the one that comes first in tree order.
    """
    members = {context.ref: context for context in contexts}
    placed = _Placing([members[ref] for ref in sorted(members)])  # refs sort by age
    nodes = placed.nodes
    for node in reversed(nodes):
        if node.parent is not None:
            nodes[node.parent].size += node.size
    begin = min((node.time_ns for node in nodes), default=0)
    return Chain(nodes, begin, max((node.end_ns for node in nodes), default=0))


class _Placing:
    """Puts contexts into tree order."""

    def __init__(self, contexts: list[Context]) -> None:
        self.nodes: list[Node] = []
        self._effects: dict[Identity, list[tuple[Identity, Context]]] = {}
        self._placed: set[str] = set()
        self._correlations: dict[tuple[Identity | None, int], str] = {}
        self._parents: dict[Identity, Identity] = {}
        named = [(_identity(context), context) for context in contexts]
        known = {identity for identity, _ in named}
        roots = []
        for identity, context in named:
            parent = context.parent_identity if context.form else context.parent
            if parent is None or parent not in known:
                roots.append((identity, context, START if parent is None else ORPHAN))
            else:
                self._effects.setdefault(parent, []).append((identity, context))
                self._parents.setdefault(identity, parent)
        for identity, context, why in roots:
            self._branch(identity, context, why)
        self._rings(named)

    def _rings(self, named: list[tuple[Identity, Context]]) -> None:
        """Whoever was not placed is in a ring of contexts that name each other as parents, or below one."""
        oldest: dict[Identity, Context] = {}
        for identity, context in named:
            oldest.setdefault(identity, context)
        for _, context in named:
            if context.ref not in self._placed:
                entry = min(self._ring(context), key=lambda member: oldest[member].ref)  # refs sort by age
                self._branch(entry, oldest[entry], CYCLE)

    def _ring(self, context: Context) -> list[Identity]:
        """The ids of the ring that one comes to on the way up from here. Nobody who bears one of them was placed, nor
        the id of anybody on the way; the context's own may have been, by another who brought the same."""
        met: dict[Identity, int] = {}
        identity = cast(Identity, context.parent_identity)
        while identity not in met:
            met[identity] = len(met)
            identity = self._parents[identity]
        return list(met)[met[identity] :]

    def _branch(self, identity: Identity, root: Context, why: str) -> None:
        """A root and all below it, without recursion: chains may be longer than Python's stack."""
        stack: list[tuple[Identity, Context, int | None, int]] = [(identity, root, None, 0)]
        nodes, placed = self.nodes, self._placed
        placed.add(root.ref)
        while stack:
            identity, context, parent, level = stack.pop()
            index = len(nodes)
            nodes.append(self._node(context, index, parent, level, why if parent is None else None))
            caused = [effect for effect in self._effects.pop(identity, ()) if effect[1].ref not in placed]
            placed.update(effect.ref for _, effect in caused)
            stack.extend((name, effect, index, level + 1) for name, effect in reversed(caused))

    def _node(self, context: Context, index: int, parent: int | None, level: int, root: str | None) -> Node:
        plain = context.more is None and context.noted is None
        return Node(
            index,
            parent,
            level,
            root,
            context.ref,
            EVENT_PREFIX + context.ref[4:] if context.event is None else context.event_id,
            context.event_name,
            context.agent_id,
            self._correlation_id(context),
            context.time_ns,
            None if plain else duration_ns(context),
            None if plain else context.error_text,
            context.depth,
        )

    def _correlation_id(self, context: Context) -> str:
        key = context.correlation, context.form & HEX_CORRELATION
        if key[0] is None:
            return context.correlation_id
        found = self._correlations.get(key)
        if found is None:
            found = self._correlations[key] = context.correlation_id
        return found


def _identity(context: Context) -> Identity:
    """As Context.identity, in fewer steps: it is asked of every context."""
    if context.event is None and (parsed := parse_ref(context.ref)):
        return parsed[1]
    return context.identity
