"""Store: one face over hot and cold."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, cast

from shmctx import attachment, lineage, records, sessions, stats
from shmctx.attachment import Attachment
from shmctx.cold.questions import Steps
from shmctx.context import Context, forget_source, register_source
from shmctx.errors import StoreClosed
from shmctx.event import Event
from shmctx.filters import Filters, query
from shmctx.finder import Finder
from shmctx.follow import Follower, Following
from shmctx.hot._core import Ring, make_ref
from shmctx.keeping import Keeping
from shmctx.sessions import Session
from shmctx.settings import Settings

if TYPE_CHECKING:
    from shmctx.aio import AsyncStore

T = TypeVar("T")


class Store(Keeping, Mapping[str, Context]):
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
        often = self._settings.retention.read_count
        self._finder = Finder(ring, self._attachment.reader, self.store_id, often)
        ring.bind(records.decode_context, Context, Context.ref, Context.time_ns, self._get_cold)
        self._append = ring.append
        self.get = ring.get  # type: ignore[method-assign]
        self.get_bytes = ring.read  # type: ignore[method-assign]

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
        positions = self.run(lineage.all_positions)
        return (make_ref(self.store_id, position) for position in positions)

    def __len__(self) -> int:
        return len(self.run(lineage.all_positions))

    def query(self, **filters: Unpack[Filters]) -> list[Context]:
        """Contexts that fit all that is given, drained or not, oldest first.

        `filters`: correlation_id, agent_id, session_id, event_name (a pattern as of fnmatch), parent (a ref or event
        id), errors, since (inclusive) and until (exclusive; seconds since 1970 or datetimes), limit, newest_first,
        after (the ref where the page before ended). Raises InvalidField, ContextNotFound, ColdError.
        """
        return self.run(lambda finder: query(finder, self.store_id, filters))

    def run(self, question: Callable[[Finder], Steps[T]]) -> T:
        """Ask the generation in use now; if it ended meanwhile, newer contexts may lie in its successor: ask again."""
        while True:
            finder = self.finder()
            found = finder.run(question(finder))
            if not self._attachment.refresh():
                return found

    def children(self, ref: str) -> list[Context]:
        """The contexts that this one caused directly, oldest first."""
        return self.run(lambda finder: lineage.children(finder, ref))

    def ancestors(self, ref: str) -> list[Context]:
        """Parent, grandparent, ... up to the start of the chain, or to where it is not known any more."""
        return self.run(lambda finder: lineage.ancestors(finder, ref))

    def descendants(self, ref: str, *, max_depth: int | None = None) -> list[Context]:
        """All contexts that this one caused, directly or not, oldest first; `max_depth` levels at most."""
        return self.run(lambda finder: lineage.descendants(finder, ref, max_depth))

    def siblings(self, ref: str) -> list[Context]:
        """The other contexts that the same one caused, oldest first."""
        return self.run(lambda finder: lineage.siblings(finder, ref))

    def session(self, session_id: str) -> Session:
        """What belongs to a session: its data, events, agents, activity. Raises SessionNotFound, ColdError."""
        return self.run(lambda finder: sessions.session(finder, session_id))

    def event(self, ref: str) -> Event | None:
        """The event of a ref or alias: its context and its data, from the ring or the log. Raises as get does."""
        return self.run(lambda finder: finder.event(ref))

    def events(self, contexts: Iterable[Context | str]) -> list[Event]:
        """The events of many contexts or refs, in their order. Raises ContextNotFound, ColdError."""
        found = [context if isinstance(context, Context) else self.resolve(context) for context in contexts]
        return self.run(lambda finder: finder.data.events(found))

    def follow(self, **following: Unpack[Following]) -> Follower:
        """The events that any process puts from now on, or from an earlier position: for `for` and `async for`.

        `following`: since, event_name (a pattern), agent_id, session_id, correlation_id, catch_up, timeout (seconds).
        Raises InvalidField, ContextNotFound, ColdError.
        """
        return Follower(self, self._attachment.database, **following)

    # ---- to other processes, and from them ----

    def child_env(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment for a subprocess that continues the current context: `env` (default: this process's) and
        SHMCTX_SEGMENT, SHMCTX_REF, TRACEPARENT, TRACESTATE, BAGGAGE. The child calls `shmctx.from_env()`.
        """
        from shmctx.environment import child_env

        return child_env(self, env)

    def to_wire(
        self, context: Context | str, *, local: bool, fields: Iterable[str] | None = None
    ) -> str | dict[str, Any]:
        """A context, given by itself or its ref, as it travels: `local`, towards a reader of this segment, its ref;
        else the context under its wire names: whole, or those of its `fields` that are named, and its identity.

        Raises ContextNotFound, ColdError.
        """
        from shmctx.wire import to_wire

        return to_wire(self, context, local=local, fields=fields)

    def accept(self, wire: str | Mapping[str, Any]) -> str:
        """The ref of a context that came in either form of `to_wire`. What is this store's own keeps its identity;
        what is foreign is stored, as it is, under its event id, once: the same again gives the same ref.

        Raises ContextNotFound, MalformedRef, ForeignRef, InvalidField, PayloadTooLarge, and what put does.
        """
        from shmctx.wire import accept

        return accept(self, wire)

    # ---- the rest ----

    @property
    def database(self) -> Path:
        """The SQLite file that the store drains to."""
        return self._attachment.database

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

    def participants(self) -> list[dict[str, Any]]:
        """The processes that use the segment: pid, role, whether it lives, its counters; `docs/cli.md` explains each
        key."""
        self._ring.state()  # raises StoreClosed
        self._attachment.refresh()
        return stats.participants(self._attachment)

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
