"""From a ref to its context: hot first, then cold; annotations and sessions merged in.

The database is asked only for what the ring does not have. What may ask it returns Steps (see cold.questions), which
Resolver.run answers in this thread and store.aio in an event loop.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from shmctx import records
from shmctx.cold import questions
from shmctx.cold.questions import Steps, answered
from shmctx.context import Context
from shmctx.errors import ContextNotFound, ForeignRef, MalformedRef, RecordDamaged
from shmctx.event import Event
from shmctx.event_data import EventData
from shmctx.hot._core import (
    ALIAS_LINK,
    ANNOTATION,
    COLD_HITS,
    CONTEXT,
    FIRST_POSITION,
    MISSES,
    PARENT_LINK,
    SESSION,
    Ring,
    make_ref,
)
from shmctx.hot.shapes import RecordTuple
from shmctx.marks import OftenRead
from shmctx.refs import MAX_ALIAS, REF_LENGTH, alias_of, resolve_native

if TYPE_CHECKING:
    from shmctx.cold.reader import SqliteReader

T = TypeVar("T")
MANY = 1 << 40
SESSIONS_CACHED = 4096


class Resolver:
    """Resolves the refs of one store. Any thread may use it."""

    def __init__(self, ring: Ring, reader: "SqliteReader", store_id: int, often: int = 0) -> None:
        """`often`: reads of a context from the database after which it is marked as often read; 0: never."""
        self._ring = ring
        self._reads = OftenRead(ring, often)
        self._base = ring.header()["base"]
        self._ask = reader.ask
        self._store_id = store_id
        self.data = EventData(ring, reader.path, store_id)
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
        record = self._whole(position)
        return None if record is None else self.context(record)

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
        record = self._whole(position)
        return None if record is None else self._decode(record)

    def _cold(self, position: int) -> Steps[Context | None]:
        if not self.anything_cold():
            return None
        context: Context | None = yield questions.context_at(position, self._store_id)
        if context is None:
            return None
        self._ring.count(COLD_HITS, 1)
        self._reads.note(position)
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
        return records.annotated(context, merged(cold | self.hot_annotations(position)))

    def hot_annotations(self, target: int, since: int = 0) -> dict[int, dict[str, Any]]:
        """Fields annotated to a target by records in the ring, from a position on, by the annotation's position."""
        found = {}
        for position in self._ring.find(PARENT_LINK, target, since, MANY):
            record = self._whole(position)
            annotation = None if record is None else self.annotation(record)
            if annotation is not None and annotation.target == target:
                found[position] = annotation.fields
        return found

    def annotation(self, record: RecordTuple) -> records.Annotation | None:
        """The annotation in a record of the ring; None if it is none."""
        with contextlib.suppress(*records.NOT_DECODABLE):
            return records.decode_annotation(record[4]) if record[1] == ANNOTATION else None
        return None

    def _whole(self, position: int) -> RecordTuple | None:
        """The record at a position of the ring; None if it is gone or damaged."""
        try:
            return self._ring.record(position)
        except RecordDamaged:
            return None

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
        """(position, id) of the very data that this process put or found before; None for any other.

        Nor for what has left the ring: the database may drop a session that no context has been of for long.
        """
        known = self._put_sessions.get(session.get("id"))
        if known is None or known[1] != session or not self._ring.live(known[0]):
            return None
        return known[0], known[1]["id"]

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

    def _session_id(self, context: Context) -> str | None:
        if context.session_position is None:
            return None
        session = self.session(context.session_position)
        return cast(str, session["id"]) if session else None


def merged(noted: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    """The fields of annotations by their positions, newer ones over older ones."""
    if len(noted) == 1:
        return next(iter(noted.values()))
    fields: dict[str, Any] = {}
    for _, more in sorted(noted.items()):
        fields |= more
    return fields


def _encodable(text: str) -> bool:
    """Whether the text has a UTF-8 form: lone surrogates have none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
