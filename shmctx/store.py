"""Store: one face over hot and cold."""

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, cast

from shmctx import attachment, drafts, lineage, process, records, stats
from shmctx.attachment import Attachment
from shmctx.cold.questions import Steps
from shmctx.context import Context, forget_source, register_source
from shmctx.errors import (
    NotDurable,
    RingFull,
    SegmentSealed,
    StoreClosed,
    WriterStalled,
)
from shmctx.filters import Filters, query
from shmctx.finder import Finder
from shmctx.hot._core import ANNOTATION, CONTEXT, SESSION, SPACE_WAITS, Ring, make_ref, parse_ref
from shmctx.propagation import ORIGIN, Bound, Scope, current_scope
from shmctx.settings import Settings

if TYPE_CHECKING:
    from shmctx.aio import AsyncStore

T = TypeVar("T")
_WAIT_STEP = 0.1  # seconds between looks while waiting for space or durability
_encode = records.encode
_RARE = (RingFull, SegmentSealed, WriterStalled, TypeError, UnicodeEncodeError)
"""What makes a put take the long way, which waits, or says what is wrong with a field."""


class Store(Mapping[str, Context]):
    """Contexts by ref, over shared memory and a database. Made by `open` and `attach`.

    A read-only mapping of ref to Context. Thread-safe; survives fork; pickles as its name.
    """

    def __init__(self, attached: Attachment) -> None:
        self._attachment = attached
        self.name = attached.name
        self.store_id = attached.store_id
        self._settings = attached.settings
        attached.on_segment = self._use
        self._use(attached.ring)
        register_source(self.store_id, self)

    def _use(self, ring: Ring) -> None:
        """Bind the hot methods to a ring. `get` and `get_bytes` are shadowed by the core's own: one call, no Python."""
        self._ring = ring
        self._finder = Finder(ring, self._attachment.reader, self.store_id)
        ring.bind(records.decode_context, Context, Context.ref, Context.time_ns, self._get_cold)
        self._append = ring.append
        self.get = ring.get  # type: ignore[method-assign]
        self.get_bytes = ring.read  # type: ignore[method-assign]

    # ---- putting ----

    def put(self, event_name: str, *, durable: bool = False, agent_id: str | None = None, **fields: Any) -> str:
        """Store a context, a child of the current one, and return its ref (20 characters).

        `fields`: client_id, session (a dict with an id), event_id, correlation_id, parent_event_id, root_event_id,
        depth, timestamp (seconds) or time_ns, parent (a ref or Context, instead of the current one), user_id,
        tenant_id, environment, tags, error, error_type, error_message, response_ref, and custom fields, which begin
        with an underscore. KSI's wire names are understood too. What is not given is inherited.

        `durable`: return only after the commit that covers it. Raises InvalidField, RingFull, PayloadTooLarge,
        WriterStalled, SegmentCorrupt, StoreClosed (nothing stored) or NotDurable (stored, not committed yet).
        """
        scope = current_scope()
        if fields or durable or event_name.__class__ is not str:
            return self._put(event_name, scope, {"agent_id": agent_id, **fields}, durable=durable)
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
        ref = self._append_waiting(CONTEXT, *drafts.draft(self, event_name, scope, fields))
        if durable:
            self._wait_durable(_position(ref) + 1, self._settings.durable_timeout)
        return ref

    def put_many(self, items: Iterable[str | tuple[str, Mapping[str, Any]] | Mapping[str, Any]]) -> list[str]:
        """Store several contexts; returns their refs in order.

        An item is an event name, (event name, fields), or a mapping with `event_name` (or `_event_name`) among its
        fields. All are checked before the first is stored.
        """
        scope = current_scope()
        drawn = [drafts.draft(self, name, scope, fields) for name, fields in map(drafts.named, items)]
        return [self._append_waiting(CONTEXT, *draft) for draft in drawn]

    def span(self, event_name: str, **fields: Any) -> Bound:
        """Store a context and make it the current one: `with`, `async with`, or a decorator (one context per call).

        Takes what `put` takes. Entering returns the Context.
        """
        return Bound(lambda: self._enter(event_name, fields))

    def _enter(self, event_name: str, fields: Mapping[str, Any]) -> Scope:
        options = dict(fields)
        durable = bool(options.pop("durable", False))
        draft = drafts.draft(self, event_name, current_scope(), options)
        if not draft.time_ns:
            draft = draft._replace(time_ns=time.time_ns())
        ref = self._append_waiting(CONTEXT, *draft)
        if durable:
            self._wait_durable(_position(ref) + 1, self._settings.durable_timeout)
        context = records.decode_context(draft.payload)
        return Scope(context.placed(ref, draft.time_ns), self.store_id)

    def annotate(self, ref: str, **fields: Any) -> None:
        """Add what became known later: error, error_type, error_message, response_ref, tags, or custom `_fields`.

        Readers see context and annotations merged, newer over older. Raises ContextNotFound, InvalidField.
        """
        position = self.resolve(ref).position
        payload = records.encode_annotation(position, drafts.annotation_fields(fields))
        target = position if self._ring.live(position) else 0
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

    def _append_waiting(self, *record: Any) -> str:
        """Append; wait for space in a full ring, and for the successor of a sealed one."""
        deadline = time.monotonic() + self._settings.put_timeout
        while True:
            drained = self._ring.positions()[2]
            try:
                return self._append(*record)
            except RingFull:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise RingFull(
                        f"The ring stayed full for {self._settings.put_timeout:g} s; nothing was stored. "
                        f"{self._drain_state()}"
                    ) from None
                self._ring.count(SPACE_WAITS, 1)
                self._ring.request_drain()
                self._ring.wait_drained(drained, min(left, _WAIT_STEP))
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

    # ---- reading ----

    def get(self, ref: str, default: Any = None, /) -> Any:
        """The Context of a ref or alias, or `default`. Hot first, then cold. Raises RecordDamaged, ColdError."""
        return self._ring.get(ref, default)

    def get_bytes(self, ref: str, /) -> bytes | None:
        """The stored payload, undecoded, of a native ref that is hot; else None."""
        return self._ring.read(ref)

    def _get_cold(self, ref: str, default: Any) -> Any:
        """Where the core's `get` goes when a plain hot read does not answer."""
        self._attachment.refresh()
        context = self._finder.run(self._finder.find(ref))
        return default if context is None else context

    def resolve(self, ref: str) -> Context:
        """The Context of a ref or alias. Raises ContextNotFound, MalformedRef, ForeignRef."""
        context = self.get(ref)
        if context is None:
            raise self._finder.missing(ref)
        return cast(Context, context)

    __getitem__ = resolve

    def __contains__(self, ref: object) -> bool:
        return isinstance(ref, str) and self.get(ref) is not None

    def __iter__(self) -> Iterator[str]:
        """Refs of all contexts, hot and cold, oldest first."""
        positions = self._run(lineage.all_positions)
        return (make_ref(self.store_id, position) for position in positions)

    def __len__(self) -> int:
        return len(self._run(lineage.all_positions))

    def query(self, **filters: Unpack[Filters]) -> list[Context]:
        """Contexts that fit all that is given, drained or not, oldest first.

        `filters`: correlation_id, agent_id, session_id, event_name, parent (a ref or event id), since (inclusive) and
        until (exclusive; seconds since 1970 or datetimes), limit, newest_first. Raises InvalidField, ColdError.
        """
        return self._run(lambda finder: query(finder, self.store_id, filters))

    def _run(self, question: Callable[[Finder], Steps[T]]) -> T:
        """Ask the generation in use now; if it ended meanwhile, newer contexts may lie in its successor: ask again."""
        while True:
            finder = self.finder()
            found = finder.run(question(finder))
            if not self._attachment.refresh():
                return found

    def children(self, ref: str) -> list[Context]:
        """The contexts that this one caused directly, oldest first."""
        return self._run(lambda finder: lineage.children(finder, ref))

    def ancestors(self, ref: str) -> list[Context]:
        """Parent, grandparent, ... up to the start of the chain, or to where it is not known any more."""
        return self._run(lambda finder: lineage.ancestors(finder, ref))

    def descendants(self, ref: str, *, max_depth: int | None = None) -> list[Context]:
        """All contexts that this one caused, directly or not, oldest first; `max_depth` levels at most."""
        return self._run(lambda finder: lineage.descendants(finder, ref, max_depth))

    # ---- the rest ----

    @property
    def aio(self) -> "AsyncStore":
        """What can block, for async callers: the same names, awaitable."""
        from shmctx.aio import AsyncStore

        return AsyncStore(self, self._attachment)

    def stats(self) -> dict[str, Any]:
        """Positions, occupancy, lag, leader, counters and sizes; `docs/cli.md` explains each key."""
        self._ring.state()  # raises StoreClosed
        self._attachment.refresh()
        return stats.collect(self._attachment)

    def close(self) -> None:
        """Detach this process. What it leads is drained first; the segment stays. Idempotent."""
        forget_source(self.store_id, self)
        self._attachment.close()
        self._attachment.ring.unbind()
        self._finder = cast(Finder, _Closed())
        self._ring = cast(Ring, self._finder)
        self.get = self.get_bytes = self._append = _closed  # type: ignore[method-assign]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _attached, (self.name, self._settings)

    __eq__ = object.__eq__  # a Mapping's would read both stores whole
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<shmctx.Store {self.name!r} {self.store_id:06x}>"

    def finder(self) -> Finder:
        """How to find contexts in the segment that is in use now; for shmctx itself."""
        self._attachment.refresh()
        self._ring.state()  # raises StoreClosed
        return self._finder

    def session_at(self, position: int) -> dict[str, Any] | None:
        """The session data in the record at a position."""
        return self._finder.session(position)


def _attached(name: str, settings: Settings) -> Store:
    return Store(attachment.attach(name, settings))


def _closed(*_: Any) -> Any:
    raise StoreClosed("The store was closed in this process.")


class _Closed:
    """Stands where a closed store had its ring and finder."""

    __getattr__ = _closed


def _position(ref: str) -> int:
    return cast(tuple[int, int], parse_ref(ref))[1]
