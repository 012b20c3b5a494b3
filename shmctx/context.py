"""Context: the immutable metadata of one event, as it is stored and as people see it.

A stored context is a msgpack array of this Struct's fields up to `more`; whatever can be derived is left out:

- identities are positions (ints) while they are native, text once somebody brought their own; `evt_` or `corr_` with
  eight hex digits, the form most brought ids have, is the number those digits spell, flagged in `form`;
- no `correlation` means the context began its own; no `root` means the parent (flagged), the correlation's first
  record, or itself;
- a session is the position of the session's own record;
- the time lies in the record's header, and the ref is the address it was read from.
"""

from typing import Annotated, Any, Protocol, Self, cast
from weakref import WeakSet

import msgspec
from msgspec import Meta

from shmctx.refs import make_ref, native_id, parse_ref

Identity = int | str
"""A native record's position, or the id somebody brought."""

Position = Annotated[int, Meta(ge=0, lt=1 << 56)]
"""Granules since the store began. The decoder refuses what is out of range, so no reader need look again."""

MAX_DEPTH = (1 << 32) - 1
"""Where the depth of a chain stops growing."""

HEX_PARENT, HEX_CORRELATION, HEX_ROOT, HEX_EVENT, ROOT_IS_PARENT, CLIENT_IS_AGENT = 1, 2, 4, 8, 16, 32

EVENT_PREFIX = "evt_"
CORRELATION_PREFIX = "corr_"

OPTIONAL_FIELDS = (
    "user_id",
    "tenant_id",
    "environment",
    "tags",
    "error",
    "error_type",
    "error_message",
    "response_ref",
)
"""Standard fields that few contexts have; they lie in `more` under these names, custom ones under their own `_name`."""

NOT_INHERITED = frozenset({"tags", "error", "error_type", "error_message", "response_ref", "_replay_of"})
"""What is said of one event alone; `_replay_of` names the event that it repeats."""


class SessionSource(Protocol):
    """Who can read a session's record: an open store."""

    def session_at(self, position: int) -> dict[str, Any] | None:
        """The session data in the record at a position."""


_sources: dict[int, WeakSet[SessionSource]] = {}


def register_source(store_id: int, source: SessionSource) -> None:
    """Let contexts of this store find their session's data through `source`, as long as it lives."""
    _sources.setdefault(store_id, WeakSet()).add(source)


def forget_source(store_id: int, source: SessionSource) -> None:
    """The source is closed."""
    _sources.get(store_id, WeakSet()).discard(source)


def sources(store_id: int) -> list[SessionSource]:
    """The open stores of this id."""
    return list(_sources.get(store_id, ()))


class Context(msgspec.Struct, frozen=True, array_like=True, gc=False, eq=False):
    """The immutable metadata of one event: who caused it, in which conversation, by which agent, how deep.

    Made by a Store, never by hand. The fields before `more` are the stored form; read the properties instead.
    """

    event_name: str
    depth: Annotated[int, Meta(ge=0, le=MAX_DEPTH)] = 0
    parent: Position | str | None = None
    correlation: Position | str | None = None
    agent_id: str | None = None
    client: str | None = None
    session_position: Position | None = None
    form: Annotated[int, Meta(ge=0, lt=64)] = 0
    event: Position | str | None = None
    root: Position | str | None = None
    more: dict[str, Any] | None = None
    ref: str = ""
    time_ns: int = 0
    noted: dict[str, Any] | None = None
    """What was annotated: later knowledge, which children do not inherit."""

    # ---- identities, as stored: positions or text ----

    @property
    def position(self) -> int:
        """Where the record is, in granules since the store began."""
        parsed = parse_ref(self.ref)
        return parsed[1] if parsed else 0

    @property
    def store_id(self) -> int:
        """Which store made the ref: 24 bits."""
        parsed = parse_ref(self.ref)
        return parsed[0] if parsed else 0

    @property
    def identity(self) -> Identity:
        """What children name as their parent: the brought event id, or the position."""
        if self.event is None:
            return self.position
        return _unpack(self.event, self.form & HEX_EVENT, EVENT_PREFIX)

    @property
    def parent_identity(self) -> Identity | None:
        """The parent's identity; None at the start of a chain."""
        return None if self.parent is None else _unpack(self.parent, self.form & HEX_PARENT, EVENT_PREFIX)

    @property
    def correlation_identity(self) -> Identity:
        """The correlation's identity: the position of its first context, or the id somebody brought."""
        if self.correlation is None:
            return self.position
        return _unpack(self.correlation, self.form & HEX_CORRELATION, CORRELATION_PREFIX)

    @property
    def root_identity(self) -> Identity | None:
        """The identity of the first event of the chain; None where it was not told."""
        if self.root is not None:
            return _unpack(self.root, self.form & HEX_ROOT, EVENT_PREFIX)
        if self.form & ROOT_IS_PARENT:
            return self.parent_identity
        if self.parent is None:
            return self.identity
        correlation = self.correlation_identity
        return correlation if isinstance(correlation, int) else None

    # ---- what people see ----

    @property
    def event_id(self) -> str:
        """The event's id: brought, or `evt_` and the ref's characters."""
        return self._text(self.identity, EVENT_PREFIX)

    @property
    def correlation_id(self) -> str:
        """The conversation's id: brought, or `corr_` and the characters of its first context's ref."""
        return self._text(self.correlation_identity, CORRELATION_PREFIX)

    @property
    def parent_event_id(self) -> str | None:
        """The event id of the context that caused this one."""
        parent = self.parent_identity
        return None if parent is None else self._text(parent, EVENT_PREFIX)

    @property
    def root_event_id(self) -> str | None:
        """The event id at the start of the chain."""
        root = self.root_identity
        return None if root is None else self._text(root, EVENT_PREFIX)

    @property
    def parent_ref(self) -> str | None:
        """A ref, or alias, that resolves to the parent."""
        parent = self.parent_identity
        return make_ref(self.store_id, parent) if isinstance(parent, int) else parent

    @property
    def timestamp(self) -> float:
        """Seconds since 1970 (UTC)."""
        return self.time_ns / 1_000_000_000

    @property
    def client_id(self) -> str | None:
        """The client that the agent works for."""
        return self.agent_id if self.form & CLIENT_IS_AGENT else self.client

    @property
    def session(self) -> dict[str, Any] | None:
        """The session's data, read from its own record; None without a session, or when its store is closed."""
        if self.session_position is None:
            return None
        for source in sources(self.store_id):
            return source.session_at(self.session_position)
        return None

    @property
    def session_id(self) -> str | None:
        """The session's id."""
        session = self.session
        return None if session is None else cast(str, session["id"])

    @property
    def user_id(self) -> str | None:
        """The user on whose behalf it happens."""
        return cast(str | None, self._optional("user_id"))

    @property
    def tenant_id(self) -> str | None:
        """The tenant that the user belongs to."""
        return cast(str | None, self._optional("tenant_id"))

    @property
    def environment(self) -> str | None:
        """Such as production or staging."""
        return cast(str | None, self._optional("environment"))

    @property
    def tags(self) -> list[str] | None:
        """Free labels of this context; children do not inherit them."""
        return cast(list[str] | None, self._optional("tags"))

    @property
    def error(self) -> Any:
        """What went wrong, as it was annotated; none of the error fields is inherited."""
        return self._optional("error")

    @property
    def error_type(self) -> str | None:
        """The error's class."""
        return cast(str | None, self._optional("error_type"))

    @property
    def error_message(self) -> str | None:
        """The error's text."""
        return cast(str | None, self._optional("error_message"))

    @property
    def error_text(self) -> str | None:
        """Type, message and value of the error in one line; None where the context says nothing of one."""
        if self.more is None and self.noted is None:
            return None
        said = [part for part in (self.error_type, self.error_message, self.error) if part and part is not True]
        texts = [part if isinstance(part, str) else msgspec.json.encode(part).decode() for part in said]
        return ": ".join(dict.fromkeys(texts)) or ("error" if self.error else None)

    @property
    def response_ref(self) -> str | None:
        """Where the response is kept."""
        return cast(str | None, self._optional("response_ref"))

    @property
    def custom(self) -> dict[str, Any]:
        """Custom fields, with their underscore."""
        return {name: value for name, value in self._all_fields().items() if name.startswith("_")}

    def inherited(self) -> dict[str, Any] | None:
        """What of `more` children get too."""
        kept = {name: value for name, value in (self.more or {}).items() if name not in NOT_INHERITED}
        return kept or None

    def to_dict(self) -> dict[str, Any]:
        """The context under its wire names (`_ref`, `_event_id`, ...); fields without a value are left out."""
        wire: dict[str, Any] = {
            "_ref": self.ref if self.event is None else f"ctx_{self.event_id}",
            "_event_id": self.event_id,
            "_event_name": self.event_name,
            "_event_timestamp": self.timestamp,
            "_correlation_id": self.correlation_id,
            "_parent_event_id": self.parent_event_id,
            "_root_event_id": self.root_event_id,
            "_event_depth": self.depth,
            "_agent_id": self.agent_id,
            "_client_id": self.client_id,
            "_session": self.session,
        }
        wire = {name: value for name, value in wire.items() if value is not None}
        for name, value in self._all_fields().items():
            wire[name if name.startswith("_") else f"_{name}"] = value
        return wire

    def placed(self, ref: str, time_ns: int) -> Self:
        """This object with the ref and time that its payload does not hold. Only for who has just decoded it: frozen
        means frozen to everybody else."""
        Context.ref.__set__(self, ref)  # type: ignore[attr-defined]
        Context.time_ns.__set__(self, time_ns)  # type: ignore[attr-defined]
        return self

    def _optional(self, name: str) -> Any:
        return self._all_fields().get(name)

    def _all_fields(self) -> dict[str, Any]:
        """Optional and custom fields, with what was annotated over what was put."""
        return (self.more or {}) | (self.noted or {})

    def _text(self, identity: Identity, prefix: str) -> str:
        return native_id(prefix, self.store_id, identity) if isinstance(identity, int) else identity

    def __eq__(self, other: object) -> bool:
        """Contexts are equal when their ref and everything stored is."""
        if not isinstance(other, Context):
            return NotImplemented
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return mine == theirs

    def __hash__(self) -> int:
        return hash(self.ref)

    def __repr__(self) -> str:
        shown = (
            (name.lstrip("_"), value) for name, value in self.to_dict().items() if name not in ("_ref", "_session")
        )
        return f"Context({self.ref}, {', '.join(f'{name}={value!r}' for name, value in shown)})"


def _unpack(stored: int | str, is_hex: int, prefix: str) -> Identity:
    return f"{prefix}{stored:08x}" if is_hex and isinstance(stored, int) else stored
