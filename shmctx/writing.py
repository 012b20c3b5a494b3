"""Writing: everything of a Store that appends to the ring, and that waits for what was appended."""

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from shmctx import drafts, payloads, process, records
from shmctx.attachment import Attachment
from shmctx.context import Context
from shmctx.errors import NotDurable, RingFull, SegmentSealed, WriterStalled
from shmctx.event import encode_data
from shmctx.finder import Finder
from shmctx.hot._core import ANNOTATION, CONTEXT, PAYLOAD, SESSION, SPACE_WAITS, Ring, parse_ref
from shmctx.propagation import ORIGIN, Bound, Scope, current_scope
from shmctx.settings import Settings

_WAIT_STEP = 0.1  # seconds between looks while waiting for space or durability
_encode = records.encode
_NO_TAIL = (None, None, 0, None, None, None)
"""A context's fields after its agent where it inherits none of them."""
_RARE = (RingFull, SegmentSealed, WriterStalled, TypeError, UnicodeEncodeError)
"""What makes a put take the long way, which waits, or says what is wrong with a field."""


class Writing(ABC):
    """The half of a Store that writes. `Store` is the whole."""

    store_id: int
    _attachment: Attachment
    _settings: Settings
    _ring: Ring
    _finder: Finder
    _append: Callable[..., str]

    @abstractmethod
    def resolve(self, ref: str) -> Context:
        """The Context of a ref or alias, or ContextNotFound."""

    @abstractmethod
    def get(self, ref: str, default: Any = None, /) -> Any:
        """The Context of a ref or alias, or `default`."""

    def put(
        self,
        event_name: str,
        *,
        durable: bool = False,
        agent_id: str | None = None,
        data: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> str:
        """Store a context, a child of the current one, and return its ref (20 characters).

        `data`: what happened, a dict; makes the context an event with a line in the event log. `fields`: client_id,
        session (a dict with an id), event_id, correlation_id, parent_event_id, root_event_id, depth, timestamp
        (seconds) or time_ns, parent (a ref or Context, instead of the current one), user_id, tenant_id, environment,
        tags, error, error_type, error_message, response_ref, and custom fields, which begin with an underscore. KSI's
        wire names are understood too. What is not given is inherited; data is not.

        `durable`: return only after the commit that covers it. Raises InvalidField, RingFull, PayloadTooLarge,
        WriterStalled, SegmentCorrupt, StoreClosed (nothing stored) or NotDurable (stored, not committed yet).
        """
        if data is not None and not fields and not durable:
            return cast(Context, self.enter(event_name, data, agent_id=agent_id).context).ref
        scope = current_scope()
        if fields or durable or event_name.__class__ is not str:
            return self._put(event_name, scope, {"agent_id": agent_id, "data": data, **fields}, durable=durable)
        if scope is None:
            scope = ORIGIN
        elif scope.native_to != self.store_id:
            return self._put(event_name, scope, {"agent_id": agent_id}, durable=False)
        agent = agent_id or scope.agent
        tail = scope.tail if scope.client is None else scope.tail_for(agent)
        payload = (event_name, scope.depth, scope.parent_field, scope.correlation_field, agent) + tail  # noqa: RUF005 (faster)
        try:
            return self._append(
                CONTEXT, _encode(payload), 0, None, scope.correlation_key, agent, scope.session_id, scope.parent
            )
        except _RARE:
            return self._put(event_name, current_scope(), {"agent_id": agent_id}, durable=False)

    def _put(self, event_name: str, scope: Scope | None, fields: Mapping[str, Any], *, durable: bool) -> str:
        return self.append_draft(drafts.draft(self, event_name, scope, fields), fields, durable=durable)

    def append_draft(self, draft: drafts.Draft, fields: Mapping[str, Any], *, durable: bool = False) -> str:
        """Append a context. Large fields that its data refers to are stored once more where they are gone by then:
        they were found in the ring and then forgotten, with the last event before this one that referred to them."""
        ref = self._append_waiting(CONTEXT, *draft, durable=durable)
        data = fields.get("data")
        if data is not None and (data.__class__ is payloads.Accompanied or payloads.refers(draft.payload)):
            self.pack(data)
        return ref

    def put_many(self, items: Iterable[str | tuple[str, Mapping[str, Any]] | Mapping[str, Any]]) -> list[str]:
        """Store several contexts; returns their refs in order.

        An item is an event name, (event name, fields), or a mapping with `event_name` (or `_event_name`) among its
        fields. All are checked before the first is stored.
        """
        scope = current_scope()
        drawn = [(drafts.draft(self, name, scope, fields), fields) for name, fields in map(drafts.named, items)]
        return [self.append_draft(draft, fields) for draft, fields in drawn]

    def span(self, event_name: str, **fields: Any) -> Bound:
        """Store a context and make it the current one: `with`, `async with`, or a decorator (one context per call).

        Takes what `put` takes. Entering returns the Context.
        """
        return Bound(lambda: self.enter(event_name, **fields))

    def enter(
        self,
        event_name: str,
        data: Mapping[str, Any] | None = None,
        *,
        agent_id: str | None = None,
        durable: bool = False,
        **fields: Any,
    ) -> Scope:
        """Store a context, with data, and return its scope without making it current: for who runs handlers in it.

        Takes and raises what `put` does.
        """
        scope = current_scope()
        if scope is None:
            scope = ORIGIN
        elif scope.native_to != self.store_id:
            fields = {**fields, "agent_id": agent_id}
        if fields or durable or event_name.__class__ is not str:
            return self._enter(event_name, {"agent_id": agent_id, **fields, "data": data}, durable=durable)
        agent = agent_id or scope.agent
        tail = scope.tail if scope.client is None else scope.tail_for(agent)
        head = (event_name, scope.depth, scope.parent_field, scope.correlation_field, agent)
        stored: tuple[Any, ...] = head + (tail or _NO_TAIL)
        moment = time.time_ns()
        try:
            payload = _encode(stored if data is None else records.with_data(stored, *self.pack(data)))
            ref = self._append(
                CONTEXT, payload, moment, None, scope.correlation_key, agent, scope.session_id, scope.parent
            )
        except _RARE:
            return self._enter(event_name, {"agent_id": agent_id, "data": data}, durable=False)
        if data is not None and payloads.refers(payload):
            self.pack(data)
        return Scope(Context(*(*stored, ref, moment)), self.store_id)

    def _enter(self, event_name: str, fields: Mapping[str, Any], *, durable: bool) -> Scope:
        draft = drafts.draft(self, event_name, current_scope(), fields)
        if not draft.time_ns:
            draft = draft._replace(time_ns=time.time_ns())
        ref = self.append_draft(draft, fields, durable=durable)
        return Scope(records.decode_context(draft.payload).placed(ref, draft.time_ns), self.store_id)

    def pack(self, data: Mapping[str, Any] | payloads.Accompanied) -> tuple[bytes, tuple[bytes, ...]]:
        """Event data as a record holds it: JSON, and the hashes of the large fields in it, which are stored now."""
        if data.__class__ is payloads.Accompanied:
            return self._pack_accompanied(data)
        encoded = encode_data(data)
        if len(encoded) < self._settings.large_size:
            return encoded, ()
        return payloads.split(data, encoded, self._settings.large_fields, self._settings.large_size, self._keep)

    def _pack_accompanied(self, given: payloads.Accompanied) -> tuple[bytes, tuple[bytes, ...]]:
        encoded = encode_data(given.data)
        for digest, stored in given.new.items():
            self._keep(digest, stored)
        return encoded, given.hashes

    def _keep(self, digest: bytes, field: bytes) -> None:
        """Store a large field, unless the ring has it."""
        if self._finder.data.hot_payload(digest) is None:
            self._append_waiting(PAYLOAD, digest + field, 0, payloads.alias(digest), None, None, None, None)

    def annotate(self, ref: str, **fields: Any) -> None:
        """Add what became known later: error, error_type, error_message, response_ref, tags, or custom `_fields`.

        Readers see context and annotations merged, newer over older. Raises ContextNotFound, InvalidField.
        """
        position = self.resolve(ref).position
        payload = records.encode_annotation(position, drafts.annotation_fields(fields))
        target = position if self._ring.live(position) else 0
        self._append_waiting(ANNOTATION, payload, 0, None, None, None, None, position, target)

    def note(self, context: Context, fields: dict[str, Any]) -> None:
        """As annotate, for who has put the context and knows that the fields are fit to be stored."""
        position = _position(context.ref)
        target = position if self._ring.live(position) else 0
        payload = records.encode_annotation(position, fields)
        self._append_waiting(ANNOTATION, payload, 0, None, None, None, None, position, target)

    def put_session(self, session: Mapping[str, Any]) -> tuple[int, str]:
        """(position of the session's record, session id); a record is stored only for data not seen before."""
        known = self._finder.known_session(session)
        if known is not None:
            return known
        data = copy.deepcopy(dict(session))
        payload = records.encode_session(data)
        sid: str = data["id"]
        found = self._finder.find_session(sid)
        if found is None or found[1] != data:
            ref = self._append_waiting(SESSION, payload, 0, f"session:{sid}", None, None, None, None)
            found = _position(ref), data
        self._finder.remember_put(found[0], data)
        return found[0], sid

    def _append_waiting(self, *record: Any, durable: bool = False) -> str:
        """Append; wait for space in a full ring, for the successor of a sealed one, and for the commit if asked to."""
        ref = self._append_somewhere(*record)
        if durable:
            self._wait_durable(_position(ref) + 1, self._settings.durable_timeout)
        return ref

    def _append_somewhere(self, *record: Any) -> str:
        deadline = time.monotonic() + self._settings.put_timeout
        drained = -1  # looked at once there is something to wait for
        while True:
            try:
                return self._append(*record)
            except RingFull:
                if drained < 0:
                    drained = self._ring.positions()[2]
                    continue
                left = deadline - time.monotonic()
                if left <= 0:
                    raise RingFull(
                        f"The ring stayed full for {self._settings.put_timeout:g} s; nothing was stored. "
                        f"{self._drain_state()}"
                    ) from None
                self._ring.count(SPACE_WAITS, 1)
                self._ring.request_drain()
                self._ring.wait_drained(drained, min(left, _WAIT_STEP))
                drained = self._ring.positions()[2]
            except SegmentSealed:
                self._attachment.reattach(deadline)
            except WriterStalled as error:
                holder = self._ring.holder()
                raise WriterStalled(f"{error.message} It is held by {process.describe(holder)}.") from None

    # ---- durability ----

    def flush(self, timeout: float | None = None) -> None:
        """Return when everything put before, by any process, is durably in the database.

        `timeout` in seconds (default: 30). Raises NotDurable; nothing is lost then, and flush may be called again.
        """
        self._attachment.refresh()
        self._wait_durable(self._ring.positions()[1], self._settings.durable_timeout if timeout is None else timeout)

    def _wait_durable(self, end: int, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            self._attachment.refresh()
            drained = self._ring.positions()[2]
            if drained >= end:  # also after a move: positions only grow, and the former generation was drained first
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise NotDurable(
                    f"Not in the database after {timeout:g} s; the records are in the ring and their refs valid. "
                    f"{self._drain_state()}"
                )
            self._ring.request_drain()
            self._ring.wait_drained(drained, min(left, _WAIT_STEP))

    def _drain_state(self) -> str:
        """One sentence on who drains, for messages."""
        leader = self._ring.leader()
        if not leader["pid"] or not process.is_alive(leader["pid"], leader["start"]):
            return "No process drains this store."
        error = f" Its last error: {leader['error']}" if leader["error"] else ""
        return f"The leader is {process.describe(leader['pid'])}.{error}"


def _position(ref: str) -> int:
    return cast(tuple[int, int], parse_ref(ref))[1]
