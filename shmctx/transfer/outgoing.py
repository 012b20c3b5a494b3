"""What leaves a store: its events with their contexts, in the order of positions, as JSON that nobody has decoded."""

import itertools
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any

import msgspec

from shmctx import payloads
from shmctx.cold import Query, questions, rows
from shmctx.cold.questions import Question
from shmctx.cold.reader import SqliteReader
from shmctx.event import Event
from shmctx.log.reader import LogReader
from shmctx.resolver import merged
from shmctx.store import Store
from shmctx.transfer.embedding import Embedded, RowEmbedder, wire
from shmctx.transfer.places import Places

_ROWS = 1000
"""Contexts of one question: reads are short, so that they hold up no checkpoint."""
_SESSIONS = 4096
_FIELD_BYTES = 16 << 20
"""Of large fields that are kept, since they come again and again."""
_PLACE, _NOTE, _FIELDS = 11, 14, 15
"""Columns of select_contexts."""

_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder().decode


class Outgoing:
    """Reads the events of a database and its log, without asking for each of them. For one thread.

    `annotated`: contexts with what was annotated to them later, as everybody sees them.
    """

    def __init__(self, reader: SqliteReader, log: LogReader, store_id: int, *, annotated: bool = True) -> None:
        self._ask = reader.ask
        self._store_id = store_id
        self._annotated = annotated
        self._embed = RowEmbedder(store_id, self._session).context
        self._sessions: dict[int, bytes | None] = {}
        self._fields = _Fields(reader)
        self.places = Places(log, store_id)

    @property
    def fields_missing(self) -> int:
        """Large fields that the data names and the database does not have; their marks stayed in the data."""
        return self._fields.missing

    def stored(self, query: Query, pending: Mapping[int, dict[str, Any]] | None = None) -> Iterator[Embedded]:
        """Events in the database that fit, oldest first.

        `pending`: fields annotated to contexts that the database does not have yet, by the contexts' positions.
        Raises ColdError.
        """
        failed = pending or {}
        while True:
            found = self._page(msgspec.structs.replace(query, limit=_ROWS), failed)
            count = 0
            for position, group in itertools.groupby(found, key=itemgetter(0)):
                count += 1
                yield self._embedded(list(group), failed.get(position))
            if count < _ROWS:
                return
            query = msgspec.structs.replace(query, after=found[-1][0])

    def _page(self, query: Query, failed: Mapping[int, dict[str, Any]]) -> list[rows.Row]:
        question = questions.contexts(query, self._store_id, failed.keys())
        return self._ask(Question(question.sql, question.values, lambda found: sorted(found, key=itemgetter(0))))

    def _embedded(self, group: list[rows.Row], pending: Mapping[str, Any] | None) -> Embedded:
        """One context, of which there is a row for each annotation."""
        row = group[0]
        position, time_ns = row[0], row[1]
        noted: Mapping[str, Any] = {}
        if self._annotated and (pending or row[_NOTE] is not None):
            cold = {row[_NOTE]: rows.fields_from_json(row[_FIELDS]) for row in group if row[_NOTE] is not None}
            noted = merged(cold) | (pending or {})
        context = self._embed(row, noted)
        line = None if row[_PLACE] is None else self.places.event(*rows.log_place(row[_PLACE]), position)
        if line is None:
            return Embedded(position, time_ns, _seconds(time_ns), _json(row[2]), context, None)
        data = bytes(line.data)
        if payloads.refers(data):
            data = self._fields.restored(data)
        origin = bytes(line.origin)
        return Embedded(position, time_ns, bytes(line.timestamp), bytes(line.event_name), context, data, origin)

    def _session(self, position: int) -> bytes | None:
        if position not in self._sessions:
            if len(self._sessions) >= _SESSIONS:
                self._sessions.clear()
            session = self._ask(questions.session_at(position))
            self._sessions[position] = None if session is None else _json(session)
        return self._sessions[position]


class _Fields:
    """Large fields of event data, those used last kept."""

    def __init__(self, reader: SqliteReader) -> None:
        self._ask = reader.ask
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0
        self.missing = 0

    def restored(self, data: bytes) -> bytes:
        """Data with its large fields back in place."""
        decoded = _from_json(data)
        hashes = payloads.named(decoded)
        found = {digest: field for digest in hashes if (field := self._field(digest)) is not None}
        self.missing += len(hashes) - sum(digest in found for digest in hashes)
        return _json(payloads.restore(decoded, found)) if found else data

    def _field(self, digest: bytes) -> bytes | None:
        field = self._kept.pop(digest, None)
        if field is None:
            field = self._ask(questions.payloads((digest,))).get(digest)
            if field is None:
                return None
            self._bytes += len(field)
        self._kept[digest] = field
        while self._bytes > _FIELD_BYTES:
            self._bytes -= len(self._kept.popitem(last=False)[1])
        return field


def live(store: Store, outgoing: Outgoing, query: Query) -> Iterator[Embedded]:
    """The events of a store in use that were put before now: those that are drained, then what only the ring has.

    Raises ColdError.
    """
    finder = store.finder()
    _, head, drained, _ = finder.ring.positions()
    pending: dict[int, dict[str, Any]] = {}
    for annotation in finder.undrained_annotations(drained):
        pending[annotation.target] = pending.get(annotation.target, {}) | annotation.fields
    if finder.anything_cold():
        yield from outgoing.stored(msgspec.structs.replace(query, before=drained), pending)
    yield from _undrained(store, query, drained, head)


def _undrained(store: Store, query: Query, drained: int, head: int) -> Iterator[Embedded]:
    finder = store.finder()
    with store.follow(since=drained, timeout=0) as follower:
        for event in follower:
            position = event.context.position
            if position >= head:
                return
            if position >= drained and finder.fits(event.context, query):
                yield _from_event(event, position)


def _from_event(event: Event, position: int) -> Embedded:
    data = None if event.data is None else _json(event.data)
    timestamp, name = _seconds(event.time_ns), _json(event.event_name)
    return Embedded(position, event.time_ns, timestamp, name, _json(wire(event.context)), data)


def _seconds(time_ns: int) -> bytes:
    return repr(time_ns / 1_000_000_000).encode()
