"""What leaves a store: its events with their contexts, in the order of positions, as JSON that nobody has decoded."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from shmctx import payloads
from shmctx.cold import Query, questions, rows
from shmctx.cold.reader import SqliteReader
from shmctx.event import Event
from shmctx.log.reader import LogReader
from shmctx.records import StoredEvent
from shmctx.resolver import merged
from shmctx.store import Store
from shmctx.transfer.embedding import Embedded, Origin, RowEmbedder, wire
from shmctx.transfer.places import Places

_KNOWN = 1 << 16
"""Texts, and sessions, that are kept in memory."""
_FIELD_BYTES = 16 << 20
"""Of large fields that are kept, since they come again and again."""
_NAME, _AGENT, _CLIENT, _SESSION, _PLACE = 2, 8, 9, 10, 11
"""Columns of SELECT_BARE."""

_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder().decode
_decode_origin = msgspec.json.Decoder(Origin).decode


class Outgoing:
    """Reads the events of a database and its log, without asking for each of them. For one thread.

    `annotated`: contexts with what was annotated to them later, as everybody sees them.
    """

    def __init__(self, reader: SqliteReader, log: LogReader, store_id: int, *, annotated: bool = True) -> None:
        self._ask = reader.ask
        self._annotated = annotated
        self._texts: dict[int, str] = {}
        self._sessions: dict[int, str] = {}
        self._embed = RowEmbedder(store_id, self._texts, self._sessions).context
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
        pending = pending or {}
        while True:
            page = self._ask(questions.bare(msgspec.structs.replace(query, limit=questions.CHUNK), pending.keys()))
            self._learn(page)
            notes = self._notes(page, pending) if self._annotated else {}
            yield from map(self._embedded, page, (notes.get(row[0]) for row in page))
            if len(page) < questions.CHUNK:
                return
            query = msgspec.structs.replace(query, after=page[-1][0])

    def hot(self, event: Event, stored: StoredEvent) -> Embedded:
        """An event that the ring has, from its record."""
        context = event.context if self._annotated else msgspec.structs.replace(event.context, noted=None)
        data = None if event.data is None else _json(event.data)
        return Embedded(
            context.position,
            event.time_ns,
            msgspec.Raw(stored.logged) if stored.logged else _seconds(event.time_ns),
            msgspec.Raw(_json(event.event_name)),
            _json(wire(context)),
            data,
            _decode_origin(stored.origin) if stored.origin else None,
        )

    def _learn(self, page: Sequence[rows.Row]) -> None:
        """Texts and sessions that a page names."""
        named = {which for row in page for which in (row[_NAME], row[_AGENT], row[_CLIENT])}
        for unknown in _unknown(self._texts, named):
            found = self._ask(questions.texts(unknown))
            self._texts.update((which, _json(text).decode()) for which, text in found.items())
        for unknown in _unknown(self._sessions, {row[_SESSION] for row in page}):
            sessions = self._ask(questions.sessions_at(unknown))
            self._sessions.update((which, _json(session).decode()) for which, session in sessions.items())

    def _notes(self, page: Sequence[rows.Row], pending: Mapping[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
        """What was annotated to the contexts of a page, by their positions."""
        positions = [row[0] for row in page]
        cold = self._ask(questions.annotations_of(positions))
        notes = {position: merged(noted) for position, noted in cold.items()}
        for position in pending.keys() & set(positions):
            notes[position] = notes.get(position, {}) | pending[position]
        return notes

    def _embedded(self, row: rows.Row, noted: Mapping[str, Any] | None) -> Embedded:
        position, time_ns, place = row[0], row[1], row[_PLACE]
        context = self._embed(row, noted)
        line = None if place is None else self.places.event(place >> 32, place & 0xFFFFFFFF, position)
        if line is None:
            name = msgspec.Raw(self._texts[row[_NAME]])
            return Embedded(position, time_ns, _seconds(time_ns), name, context, None)
        data = bytes(line.data)
        if payloads.refers(data):
            data = self._fields.restored(data)
        return Embedded(position, time_ns, line.timestamp, line.event_name, context, data, line.origin)


def _unknown(known: dict[int, str], named: set[Any]) -> Iterator[list[int]]:
    """What is named and not known, in pieces for one question each. Makes room where too much is known."""
    unknown = named.difference(known, (None,))
    if unknown and len(known) > _KNOWN:
        known.clear()
        unknown = named.difference((None,))
    ordered = sorted(unknown)
    for start in range(0, len(ordered), questions.CHUNK):
        yield ordered[start : start + questions.CHUNK]


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
    yield from _undrained(store, outgoing, query, drained, head)


def _undrained(store: Store, outgoing: Outgoing, query: Query, drained: int, head: int) -> Iterator[Embedded]:
    finder = store.finder()
    with store.follow(since=drained, timeout=0) as follower:
        for event in follower:
            position = event.context.position
            if position >= head:
                return
            if position < drained or not finder.fits(event.context, query):
                continue
            stored = finder.data.stored(position)
            if stored is not None:
                yield outgoing.hot(event, stored)
            else:  # drained and overwritten meanwhile
                yield from outgoing.stored(msgspec.structs.replace(query, after=position - 1, before=position + 1))


def _seconds(time_ns: int) -> msgspec.Raw:
    return msgspec.Raw(_json(time_ns / 1_000_000_000))
