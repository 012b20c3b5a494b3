"""Finding many contexts: those that fit a query, those at many positions, those that another one caused.

The ring is asked first: whatever is drained between the two steps then shows up in the database.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from shmctx.cold import Query, chains, questions
from shmctx.cold.questions import Steps
from shmctx.context import Context, Identity
from shmctx.hot._core import AGENT_LINK, CONTEXT, CORRELATION_LINK, PARENT_LINK, SESSION_LINK
from shmctx.hot.shapes import RecordTuple
from shmctx.names import matcher
from shmctx.resolver import MANY, Resolver

_SCAN = 1024


class Finder(Resolver):
    """Resolves refs and answers queries for one store. Any thread may use it."""

    def query(self, query: Query) -> Steps[list[Context]]:
        """Contexts that fit, in the order of their positions, annotations merged."""
        drained = self._ring.positions()[2]
        found = {context.position: context for context in self._undrained(query, drained)}
        found |= {context.position: context for context in (yield from self.stored(query))}
        ordered = sorted(found, reverse=query.newest_first)
        return [found[position] for position in ordered[: query.limit]]

    def stored(self, query: Query) -> Steps[list[Context]]:
        """Contexts in the database that fit, in the query's order, annotations merged."""
        if not self.anything_cold():
            return []
        cold: list[Context] = yield questions.contexts(query, self._store_id)
        noted: dict[int, dict[int, dict[str, Any]]] = {}
        for start in range(0, len(cold), questions.CHUNK):
            chunk = cold[start : start + questions.CHUNK]
            noted |= yield questions.annotations_of([context.position for context in chunk])
        return [self._annotate(context, context.position, noted.get(context.position, {})) for context in cold]

    def many(self, positions: Sequence[int]) -> Steps[dict[int, Context]]:
        """The contexts at positions, annotations merged, those in the ring first; what is nowhere is left out."""
        hot = ((position, self.hot(position)) for position in positions)
        found = {position: context for position, context in hot if context is not None}
        missing = [position for position in positions if position not in found]
        for start in range(0, len(missing), questions.CHUNK) if self.anything_cold() else ():
            chunk = missing[start : start + questions.CHUNK]
            contexts: list[Context] = yield chains.contexts(chunk, self._store_id)
            noted = yield questions.annotations_of(chunk)
            for context in contexts:
                position = context.position
                found[position] = self._annotate(context, position, noted.get(position, {}))
        return found

    def undrained_children(self, parent: Identity) -> Iterator[Context]:
        """Contexts that name this parent and that the database may not have yet."""
        for position in self._ring.find(PARENT_LINK, parent, self._ring.positions()[2], MANY):
            context = self.hot(position)
            if context is not None and context.parent_identity == parent:
                yield context

    def _undrained(self, query: Query, drained: int) -> Iterator[Context]:
        """Hot contexts from the drain position on that fit."""
        for position in self._candidates(query, drained):
            context = self._hot(position)
            if context is not None and self.fits(context, query):
                yield self._annotate(context, position, {})

    def _candidates(self, query: Query, drained: int) -> Iterator[int]:
        """Positions to look at: a chain of the index where the query has a key, all records otherwise."""
        keys = (
            (CORRELATION_LINK, query.correlation),
            (PARENT_LINK, query.parent),
            (SESSION_LINK, query.session_id),
            (AGENT_LINK, query.agent_id),
        )
        for link, key in keys:
            if key is not None:
                yield from self._ring.find(link, key, drained, MANY)
                return
        yield from (record[0] for record in self.scan(drained))

    def scan(self, start: int) -> Iterator[RecordTuple]:
        """The whole records from a position to the head of this moment."""
        head = self._ring.positions()[1]
        while start < head:
            start, found, _ = self._ring.scan(start, head, _SCAN, 1 << 22)
            yield from found

    def undrained(self) -> list[int]:
        """Positions of the contexts that the database does not have yet."""
        return [record[0] for record in self.scan(self._ring.positions()[2]) if record[1] == CONTEXT]

    def fits(self, context: Context, query: Query) -> bool:
        """Whether a context is what the query looks for."""
        return bool(
            (query.correlation is None or context.correlation_identity == query.correlation)
            and (query.parent is None or context.parent_identity == query.parent)
            and (query.agent_id is None or context.agent_id == query.agent_id)
            and (query.event_name is None or matcher(query.event_name)(context.event_name))
            and (query.since_ns is None or context.time_ns >= query.since_ns)
            and (query.until_ns is None or context.time_ns < query.until_ns)
            and (query.before is None or context.position < query.before)
            and (query.after is None or context.position > query.after)
            and (query.session_id is None or self._session_id(context) == query.session_id)
        )
