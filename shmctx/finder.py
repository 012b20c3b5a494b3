"""Finding contexts: hot first, then cold, and both together for a query.

The database is asked only for what the ring does not have. A query asks both, the ring first: whatever is drained
between the two steps then shows up in the second. What may ask the database returns Steps (see cold.questions), which
Finder.run answers in this thread and store.aio in an event loop.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from shmctx import records
from shmctx.cold import Query, chains, questions
from shmctx.cold.questions import Steps, answered
from shmctx.context import Context, Identity
from shmctx.errors import ContextNotFound, ForeignRef, MalformedRef, RecordDamaged
from shmctx.event import Event
from shmctx.event_data import EventData
from shmctx.hot._core import (
    AGENT_LINK,
    ALIAS_LINK,
    ANNOTATION,
    COLD_HITS,
    CONTEXT,
    CORRELATION_LINK,
    FIRST_POSITION,
    MISSES,
    PARENT_LINK,
    SESSION,
    SESSION_LINK,
    Ring,
    make_ref,
)
from shmctx.hot.shapes import RecordTuple
from shmctx.refs import MAX_ALIAS, REF_LENGTH, alias_of, resolve_native

if TYPE_CHECKING:
    from shmctx.cold.reader import SqliteReader

T = TypeVar("T")
_MANY = 1 << 40
_SCAN = 1024
SESSIONS_CACHED = 4096


class Finder:
    """Resolves refs and answers queries for one store. Any thread may use it."""

    def __init__(self, ring: Ring, reader: "SqliteReader", store_id: int) -> None:
        self._ring = ring
        self._ask = reader.ask
        self._store_id = store_id
        self.data = EventData(ring, reader.path)
        self._sessions: OrderedDict[int, bytes] = OrderedDict()
        self._put_sessions: OrderedDict[Any, tuple[int, dict[str, Any]]] = OrderedDict()

    @property
    def ring(self) -> Ring:
        """The ring of the segment that is searched."""
        return self._ring

    def run(self, steps: Steps[T]) -> T:
        """The result of steps, with this thread asking. Raises ColdError."""
        return answered(steps, self._ask)

    # ---- one context ----

    def find(self, ref: str) -> Steps[Context | None]:
        """The context of a ref or alias, annotations merged; None if it is nowhere. Raises RecordDamaged."""
        position = yield from self.locate(ref)
        context = None if position is None else (yield from self.at(position))
        if context is None:
            self._ring.count(MISSES, 1)
        return context

    def resolve(self, ref: str) -> Steps[Context]:
        """As find, but a ref that does not resolve is an error. Raises ContextNotFound, MalformedRef, ForeignRef."""
        context = yield from self.find(ref)
        if context is None:
            raise self.missing(ref)
        return context

    def missing(self, ref: object) -> ContextNotFound:
        """The error that says best why a ref does not resolve."""
        if not isinstance(ref, str) or not ref or len(ref) > MAX_ALIAS or not _encodable(ref):
            return MalformedRef(f"{ref!r} is not a ref.", hint="A ref is the text that put() returned.")
        native = resolve_native(ref)
        if native is None and ref.startswith("ctx_") and len(ref) == REF_LENGTH:
            return MalformedRef(f"{ref!r} has a ref's length but not its alphabet.", hint="Copy it again, whole.")
        if native is not None and native[0] != self._store_id:
            return ForeignRef(f"{ref!r} belongs to store {native[0]:06x}; this is store {self._store_id:06x}.")
        return ContextNotFound(
            f"{ref!r} resolves neither in the ring nor in the database: never put, aged out, or lost with a reboot."
        )

    def locate(self, ref: object) -> Steps[int | None]:
        """The position that a ref or alias names, whether or not something is there; None for an unknown one."""
        if not isinstance(ref, str) or not ref or len(ref) > MAX_ALIAS:
            return None
        native = resolve_native(ref)
        if native is not None and native[0] == self._store_id:
            return native[1]
        if not ref.isascii() and not _encodable(ref):
            return None
        for alias in dict.fromkeys((alias_of(ref), ref)):
            position = yield from self._find_alias(alias)
            if position is not None:
                return position
        return None

    def _find_alias(self, alias: str) -> Steps[int | None]:
        position = self.hot_alias(alias)
        if position is not None or not self.anything_cold():
            return position
        found: int | None = yield questions.position_of(alias)
        return found

    def hot_alias(self, alias: str) -> int | None:
        """The position of the newest context in the ring that brought this event id."""
        for position in self._ring.find(ALIAS_LINK, alias, 0, 8):
            context = self._hot(position)
            if context is not None and context.identity == alias:
                return position
        return None

    def hot(self, position: int) -> Context | None:
        """The context at a position, annotations merged, if the ring has it whole."""
        try:
            record = self._ring.record(position)
        except RecordDamaged:
            return None
        context = None if record is None else self._decode(record)
        return self._annotate(context, position, {}) if context is not None and record and record[2] else context

    def at(self, position: int) -> Steps[Context | None]:
        """The context at a position, annotations merged."""
        try:
            record = self._ring.record(position)
        except RecordDamaged:
            context = yield from self._cold(position)
            if context is None:
                raise
            return context
        if record is None:
            return (yield from self._cold(position))
        return self.context(record)

    def context(self, record: RecordTuple) -> Context | None:
        """The context of a record in the ring, annotations merged; None if it is none."""
        context = self._decode(record)
        return context if context is None or not record[2] else self._annotate(context, record[0], {})

    def _hot(self, position: int) -> Context | None:
        try:
            record = self._ring.record(position)
        except RecordDamaged:
            return None
        return None if record is None else self._decode(record)

    def _cold(self, position: int) -> Steps[Context | None]:
        if not self.anything_cold():
            return None
        context: Context | None = yield questions.context_at(position, self._store_id)
        if context is None:
            return None
        self._ring.count(COLD_HITS, 1)
        noted = yield questions.annotations_of((position,))
        return self._annotate(context, position, noted.get(position, {}))

    def anything_cold(self) -> bool:
        """Whether anything was ever drained: before that, there may be no database at all."""
        return self._ring.positions()[2] > FIRST_POSITION

    def _decode(self, record: RecordTuple) -> Context | None:
        """The Context of a ring record; None if it is none."""
        position, kind, _, time_ns, payload = record
        if kind != CONTEXT:
            return None
        try:
            context = records.decode_context(payload)
        except records.NOT_DECODABLE:
            return None
        return context.placed(make_ref(self._store_id, position), time_ns)

    def event(self, ref: str) -> Steps[Event | None]:
        """The event of a ref or alias; None if it is nowhere. Raises RecordDamaged."""
        context = yield from self.find(ref)
        return None if context is None else (yield from self.data.events([context]))[0]

    # ---- annotations and sessions ----

    def _annotate(self, context: Context, position: int, cold: dict[int, dict[str, Any]]) -> Context:
        """Merge annotations, given those of the database by position; those in the ring are added."""
        noted = cold | self.hot_annotations(position)
        merged: dict[str, Any] = {}
        for _, fields in sorted(noted.items()):
            merged |= fields
        return records.annotated(context, merged)

    def hot_annotations(self, target: int) -> dict[int, dict[str, Any]]:
        """Fields annotated to a target by records in the ring, by the annotation's position."""
        found = {}
        for position in self._ring.find(PARENT_LINK, target, 0, _MANY):
            try:
                record = self._ring.record(position)
                if record is None or record[1] != ANNOTATION:
                    continue
                annotation = records.decode_annotation(record[4])
            except (RecordDamaged, *records.NOT_DECODABLE):
                continue
            if annotation.target == target:
                found[position] = annotation.fields
        return found

    def session(self, position: int) -> dict[str, Any] | None:
        """The session data in the record at a position: a new dict each time, so that nobody changes another's."""
        payload = self._sessions.get(position) or self._read_session(position)
        try:
            return None if payload is None else records.decode_session(payload)
        except records.NOT_DECODABLE:
            return None

    def _read_session(self, position: int) -> bytes | None:
        record = self._ring.record(position)
        if record is not None:
            payload = record[4] if record[1] == SESSION else None
        else:
            session = self._ask(questions.session_at(position)) if self.anything_cold() else None
            payload = None if session is None else records.encode_session(session)
        if payload is not None:
            self.remember_session(position, payload)
        return payload

    def remember_session(self, position: int, payload: bytes) -> None:
        """Keep a session's payload, so that the contexts that refer to it need not read it again."""
        self._sessions[position] = payload
        while len(self._sessions) > SESSIONS_CACHED:
            self._sessions.popitem(last=False)

    def known_session(self, session: Mapping[str, Any]) -> tuple[int, str] | None:
        """(position, id) of the very data that this process put or found before; None for any other."""
        known = self._put_sessions.get(session.get("id"))
        return (known[0], known[1]["id"]) if known is not None and known[1] == session else None

    def remember_put(self, position: int, session: dict[str, Any]) -> None:
        """This data is at this position; nobody else has the dict."""
        self._put_sessions[session["id"]] = position, session
        while len(self._put_sessions) > SESSIONS_CACHED:
            self._put_sessions.popitem(last=False)

    def find_session(self, session_id: str) -> tuple[int, dict[str, Any]] | None:
        """The newest hot record of a session: (position, data)."""
        for position in self._ring.find(ALIAS_LINK, f"session:{session_id}", 0, 8):
            session = self.session(position)
            if session is not None and session["id"] == session_id:
                return position, session
        return None

    # ---- many ----

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
        for position in self._ring.find(PARENT_LINK, parent, self._ring.positions()[2], _MANY):
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
                yield from self._ring.find(link, key, drained, _MANY)
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
        return (
            (query.correlation is None or context.correlation_identity == query.correlation)
            and (query.parent is None or context.parent_identity == query.parent)
            and (query.agent_id is None or context.agent_id == query.agent_id)
            and (query.event_name is None or context.event_name == query.event_name)
            and (query.since_ns is None or context.time_ns >= query.since_ns)
            and (query.until_ns is None or context.time_ns < query.until_ns)
            and (query.before is None or context.position < query.before)
            and (query.after is None or context.position > query.after)
            and (query.session_id is None or self._session_id(context) == query.session_id)
        )

    def _session_id(self, context: Context) -> str | None:
        if context.session_position is None:
            return None
        session = self.session(context.session_position)
        return cast(str, session["id"]) if session else None


def _encodable(text: str) -> bool:
    """Whether the text has a UTF-8 form: lone surrogates have none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
