"""Finding many contexts: those that fit a query, those at many positions, those that another one caused.

The ring is asked first: whatever is drained between the two steps then shows up in the database.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

from shmctx import records
from shmctx.cold import Query, questions
from shmctx.cold.questions import Noted, Question, Steps
from shmctx.context import Context
from shmctx.hot._core import AGENT_LINK, CONTEXT, CORRELATION_LINK, PARENT_LINK, SESSION_LINK
from shmctx.hot.shapes import RecordTuple
from shmctx.names import matcher
from shmctx.records import Annotation
from shmctx.resolver import MANY, Resolver, merged

_SCAN = 1024


class Finder(Resolver):
    """Resolves refs and answers queries for one store. Any thread may use it."""

    def query(self, query: Query) -> Steps[list[Context]]:
        """Contexts that fit, in the order of their positions, annotations merged."""
        whole = self._all_in_ring(query)
        if whole is not None:
            return whole
        _, head, drained, _ = self._ring.positions()
        undrained = list(self._undrained(query, drained)) if drained < head else []
        stored = yield from self.stored(query)
        if not undrained:
            return stored
        found = {context.position: context for context in (*undrained, *stored)}
        ordered = sorted(found, reverse=query.newest_first)
        return [found[position] for position in ordered[: query.limit]]

    def _all_in_ring(self, query: Query) -> list[Context] | None:
        """The answer, where the ring has all of it: what a context caused, and its annotations, lie behind it.

        None if the context that began the correlation, or that is the parent, is not in the ring, was put back into it
        from the database, or if any record is damaged.
        """
        for link, start in ((CORRELATION_LINK, query.correlation), (PARENT_LINK, query.parent)):
            if not isinstance(start, int) or start < self._base:
                continue
            positions = self._ring.find(link, start, start, MANY)
            if link == CORRELATION_LINK and positions[-1:] != [start]:
                continue  # a correlation's chain ends with its first context
            found = self._read(positions if query.newest_first else reversed(positions), query)
            if self._ring.live(start):
                return found
        return None

    def _read(self, positions: Iterable[int], query: Query) -> list[Context] | None:
        """Those of the contexts at these positions that fit, up to the limit; None if one cannot be read."""
        found: list[Context] = []
        for position in positions:
            if len(found) == query.limit:
                break
            record = self._whole(position)
            if record is None:
                return None
            if record[1] != CONTEXT:
                continue
            context = self._decode(record)
            if context is None:
                return None
            if self.fits(context, query):
                found.append(self._annotate(context, position, {}) if record[2] else context)
        return found

    def stored(self, query: Query) -> Steps[list[Context]]:
        """Contexts in the database that fit, in the query's order, annotations merged."""

        def question(drained: int) -> Question[list[Noted]]:
            return questions.contexts(query, self._store_id, () if query.errors is None else self._failed(drained))

        return (yield from self._noted(question))

    def _noted(self, question: Callable[[int], Question[list[Noted]]]) -> Steps[list[Context]]:
        """What the database answers to a question, given the drain position, with the ring's annotations merged too."""
        while self.anything_cold():
            _, head, drained, _ = self._ring.positions()
            cold: list[Noted] = yield question(drained)
            if drained < self._ring.positions()[1]:
                cold = [(at, noted | self.hot_annotations(at.position, drained)) for at, noted in cold]
            found = [records.annotated(context, merged(noted)) if noted else context for context, noted in cold]
            if drained == head or self._ring.live(drained):  # else annotations were drained and overwritten meanwhile
                return found
        return []

    def failed_by(self, record: RecordTuple) -> Steps[Context | None]:
        """The context that an annotation in the ring puts into error; None for other records, and if it was before."""
        annotation = self.annotation(record)
        if annotation is None or not records.says_error(annotation.fields):
            return None
        target = annotation.target
        context = yield from self.at(target)
        noted = self.hot_annotations(target)
        if not self._ring.live(target) and self.anything_cold():
            noted |= (yield questions.annotations_of((target,))).get(target, {})
        before = [fields for position, fields in noted.items() if position < record[0]]
        if context is None or any(map(records.says_error, (context.more, *before))):
            return None
        return context

    def undrained_annotations(self, drained: int | None = None) -> Iterator[Annotation]:
        """Annotations that the database may not have yet: those from the drain position, or from another one, on."""
        for record in self.scan(self._ring.positions()[2] if drained is None else drained):
            annotation = self.annotation(record)
            if annotation is not None:
                yield annotation

    def _failed(self, drained: int) -> set[int]:
        """Positions of the contexts that an annotation which the database may not have yet says to be in error."""
        noted = self.undrained_annotations(drained)
        return {annotation.target for annotation in noted if records.says_error(annotation.fields)}

    def many(self, positions: Sequence[int]) -> Steps[dict[int, Context]]:
        """The contexts at positions, annotations merged, those in the ring first; what is nowhere is left out."""
        hot = ((position, self.hot(position)) for position in positions)
        found = {position: context for position, context in hot if context is not None}
        missing = [position for position in positions if position not in found]
        for start in range(0, len(missing), questions.CHUNK):
            question = questions.contexts_at(missing[start : start + questions.CHUNK], self._store_id)
            cold = yield from self._noted(functools.partial(_same, question))
            found |= {context.position: context for context in cold}
        return found

    def effects_in_ring(self, cause: Context) -> tuple[list[Context], bool]:
        """What a context caused directly, as far as the ring has it; and whether that is all there is, so that nobody
        need ask the database: what a native context caused lies behind it. Otherwise it is at least what is not
        drained yet."""
        identity = cause.identity
        native = isinstance(identity, int) and identity >= self._base
        found, whole = [], native
        for position in self._ring.find(PARENT_LINK, identity, cause.position if native else self._drained(), MANY):
            record = self._whole(position)
            context = None if record is None else self.context(record)
            if context is not None and context.parent_identity == identity:
                found.append(context)
            elif record is None or (context is None and record[1] == CONTEXT):
                whole = False
        return found, whole and self._ring.live(cause.position)

    def _drained(self) -> int:
        return self._ring.positions()[2]

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
            and (query.errors is None or self.in_error(context) is query.errors)
        )

    def in_error(self, context: Context) -> bool:
        """Whether a context's own fields, or any annotation of it that the ring has, say that something went wrong."""
        return records.says_error(context.more) or any(
            map(records.says_error, self.hot_annotations(context.position).values())
        )


def _same(question: Question[list[Noted]], _drained: int) -> Question[list[Noted]]:
    """A question that does not depend on the drain position."""
    return question
