"""Correlations as chains, kept for a moment: a page asks for one again and again."""

import threading
import time
from collections import Counter, OrderedDict

from shmctx import analysis
from shmctx.context import Context
from shmctx.gateway.answers import Correlation, Moment, Row
from shmctx.gateway.errors import invalid, not_found
from shmctx.store import Store

MAX_CONTEXTS = 200_000
"""Of one correlation; a larger one is read in pages, as contexts."""
_KEPT = 8  # correlations
_AGE = 2.0  # seconds
_ROOTS = 100


class Whole:
    """All of one correlation, as it was a moment ago."""

    def __init__(self, correlation_id: str, contexts: list[Context]) -> None:
        self.correlation_id = correlation_id
        self.contexts = contexts
        self.chain = analysis.chain(contexts)
        self._children = Counter(node.parent for node in self.chain.nodes if node.parent is not None)
        self._by_ref = {node.ref: node for node in self.chain.nodes}
        self._by_time: list[analysis.Node] | None = None

    def summary(self) -> Correlation:
        """In short, with its first roots."""
        nodes = self.chain.nodes
        by_age = sorted(nodes, key=lambda node: node.ref)  # refs sort by age
        return Correlation(
            correlation_id=self.correlation_id,
            count=len(nodes),
            errors=sum(node.error is not None for node in nodes),
            first=self.chain.begin_ns / 1e9,
            last=max(node.time_ns for node in nodes) / 1e9,
            agents=list(dict.fromkeys(node.agent_id for node in by_age if node.agent_id is not None)),
            roots=self.rows(None, 0, _ROOTS)[0],
        )

    def rows(self, parent: str | None, offset: int, limit: int) -> tuple[list[Row], int]:
        """Some of what a context of it caused directly, or of its roots, and how many there are.

        Raises ContextNotFound.
        """
        if parent is None:
            nodes = list(self.chain.roots())
        else:
            node = self._by_ref.get(parent) or self.chain.node(parent)
            if node is None:
                raise not_found()
            nodes = list(self.chain.children(node))
        return [self._row(node) for node in nodes[offset : offset + limit]], len(nodes)

    def timeline(self, offset: int, limit: int) -> list[Moment]:
        """Some of it in the order of times."""
        if self._by_time is None:
            self._by_time = sorted(self.chain.nodes, key=lambda node: (node.time_ns, node.ref))
        page = self._by_time[offset : offset + limit]
        return [Moment(*_values(self._row(node)), self.chain.offset(node) * 1e3) for node in page]

    def _row(self, node: analysis.Node) -> Row:
        return Row(
            ref=node.ref,
            event_name=node.event_name,
            agent_id=node.agent_id,
            timestamp=node.time_ns / 1e9,
            depth=node.depth,
            duration_ms=None if node.duration_ns is None else node.duration_ns / 1e6,
            error=node.error,
            children=self._children[node.index],
        )


def _values(row: Row) -> tuple[str, str, str | None, float, int, float | None, str | None, int]:
    return (
        row.ref, row.event_name, row.agent_id, row.timestamp, row.depth, row.duration_ms, row.error, row.children,
    )  # fmt: skip


class Chains:
    """The correlations that were asked for last. Any thread may ask."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Whole]] = OrderedDict()

    def whole(self, correlation_id: str) -> Whole:
        """A correlation, at most two seconds old. Raises ContextNotFound, InvalidField, ColdError."""
        found = self._kept.get(correlation_id)
        if found is not None and time.monotonic() - found[0] < _AGE:
            return found[1]
        asked = time.monotonic()
        contexts = self._store.query(correlation_id=correlation_id, limit=MAX_CONTEXTS + 1)
        if not contexts:
            raise not_found()
        if len(contexts) > MAX_CONTEXTS:
            raise invalid(
                f"The correlation has more than {MAX_CONTEXTS:,} contexts.",
                "Read it in pages: /v1/contexts?correlation_id=...",
            )
        whole = Whole(correlation_id, contexts)
        with self._lock:
            self._kept[correlation_id] = asked, whole
            self._kept.move_to_end(correlation_id)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return whole
