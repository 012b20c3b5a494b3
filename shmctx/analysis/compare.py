"""Comparison of two chains: where a second run went another way than the first.

Events are paired from the roots down: the effects of a pair are paired with each other, first those that are alike in
everything, then by name and agent, then by name, in their order. What happens at the same time may come in another
order each run, so order alone is no difference.
"""

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from shmctx.analysis.chain import Chain, Node, chain
from shmctx.analysis.facts import DURATION, HANDLERS, fields
from shmctx.context import Context

ADDED, REMOVED, CHANGED = "added", "removed", "changed"

OWN = frozenset({"_response_ref", DURATION, HANDLERS})
"""Fields that differ from run to run and say nothing; so do ids, times and the session."""

Data = Mapping[str, Mapping[str, Any] | None]
"""Event data by ref."""


class Difference(msgspec.Struct):
    """One event that the two chains do not have alike."""

    kind: str
    """`added` (only the second has it), `removed` (only the first), `changed`."""
    event_name: str
    level: int
    under: str | None
    """The name of the event that caused it."""
    a: str | None
    """Its ref in the first chain."""
    b: str | None
    """Its ref in the second."""
    fields: dict[str, tuple[Any, Any]]
    """What changed, by wire name, or by its path in event data (`data.items`): the values in the first and in the
    second, None where there is none. Ids of the chains' own events are told as `<event name>`."""


class Comparison(msgspec.Struct):
    """How two chains differ, event by event in tree order."""

    a_events: int
    b_events: int
    same: int
    """Pairs without a difference."""
    differences: list[Difference]
    path: list[str]
    """Event names from the root to the first difference; empty without one."""


def compare(
    a: Iterable[Context], b: Iterable[Context], *, data: Data | None = None, ignore: Collection[str] = ()
) -> Comparison:
    """Compare the contexts of two correlations. `ignore` names wire fields (`_trial`) or `data`."""
    left, right = _Side(a, data or {}, ignore), _Side(b, data or {}, ignore)
    differences: list[Difference] = []
    first: tuple[Chain, Node] | None = None
    same = 0
    for x, y in _pairs(left, right):
        changed = _changed(left.facts[x.ref], right.facts[y.ref]) if x and y else {}
        if x and y and not changed:
            same += 1
            continue
        side, node = (left, x) if x else (right, y)
        assert node is not None
        first = first or (side.chain, node)
        kind = CHANGED if x and y else REMOVED if x else ADDED
        under = None if node.parent is None else side.chain.nodes[node.parent].event_name
        refs = (x.ref if x else None, y.ref if y else None)
        differences.append(Difference(kind, node.event_name, node.level, under, *refs, changed))
    path = [node.event_name for node in first[0].path(first[1])] if first else []
    return Comparison(len(left.chain.nodes), len(right.chain.nodes), same, differences, path)


class _Side:
    """One of the two chains, with what is compared of each event."""

    def __init__(self, contexts: Iterable[Context], data: Data, ignore: Collection[str]) -> None:
        contexts = list(contexts)
        left_out = OWN | set(ignore)
        self.chain = chain(contexts)
        self.facts: dict[str, dict[str, Any]] = {}
        self._members: dict[str, str] = {}
        for node in self.chain.nodes:
            told = f"<{node.event_name}>"
            self._members |= {node.ref: told, node.event_id: told, node.correlation_id: "<correlation>"}
        for context in contexts:
            facts = {"_agent_id": context.agent_id, "_client_id": context.client_id, **fields(context)}
            facts = {name: value for name, value in facts.items() if name not in left_out}
            if context.ref in data and "data" not in left_out:
                facts["data"] = data[context.ref]
            self.facts[context.ref] = dict(self._leaves(facts, ""))

    def _leaves(self, value: Any, path: str) -> Iterator[tuple[str, Any]]:
        """The values in nested objects by their dotted paths."""
        if isinstance(value, Mapping) and (value or not path):
            for name, item in value.items():
                yield from self._leaves(item, f"{path}.{name}" if path else str(name))
        else:
            yield path, self._told(value)

    def _told(self, value: Any) -> Any:
        """The value, with ids of this chain's own events told as names: both runs have ids of their own."""
        if isinstance(value, str):
            return self._members.get(value, value)
        if isinstance(value, list | tuple):
            return [self._told(item) for item in value]
        if isinstance(value, Mapping):
            return {name: self._told(item) for name, item in value.items()}
        return value

    def alike(self, node: Node) -> Hashable:
        """Equal for events that are alike in everything."""
        return node.event_name, msgspec.json.encode(self.facts[node.ref], order="deterministic")


def _pairs(left: _Side, right: _Side) -> Iterator[tuple[Node | None, Node | None]]:
    """Every node of both chains once, alone or with its counterpart; causes before effects."""
    stack: list[tuple[Node | None, Node | None]] = _matched(left, right, left.chain.roots(), right.chain.roots())[::-1]
    while stack:
        x, y = stack.pop()
        yield x, y
        if x and y:
            stack += _matched(left, right, left.chain.children(x), right.chain.children(y))[::-1]
        elif x:
            yield from ((node, None) for node in left.chain.below(x))
        elif y:
            yield from ((None, node) for node in right.chain.below(y))


def _matched(
    left: _Side, right: _Side, xs: Iterable[Node], ys: Iterable[Node]
) -> list[tuple[Node | None, Node | None]]:
    """Pairs in the first chain's order, then what only the second has."""
    xs, unmatched = list(xs), list(ys)
    found: dict[int, Node] = {}
    keys: tuple[tuple[Callable[[Node], Hashable], Callable[[Node], Hashable]], ...] = (
        (left.alike, right.alike),
        (_name_and_agent, _name_and_agent),
        (_name, _name),
    )
    for key_x, key_y in keys:
        waiting: dict[Hashable, deque[Node]] = {}
        for y in unmatched:
            waiting.setdefault(key_y(y), deque()).append(y)
        for x in xs:
            if x.index not in found and (row := waiting.get(key_x(x))):
                found[x.index] = row.popleft()
        taken = {y.index for y in found.values()}
        unmatched = [y for y in unmatched if y.index not in taken]
    pairs: list[tuple[Node | None, Node | None]] = [(x, found.get(x.index)) for x in xs]
    return pairs + [(None, y) for y in unmatched]


def _name(node: Node) -> Hashable:
    return node.event_name


def _name_and_agent(node: Node) -> Hashable:
    return node.event_name, node.agent_id


def _changed(a: dict[str, Any], b: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (a.get(name), b.get(name)) for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name)}
