"""The current context: one contextvar, which asyncio tasks inherit and threads do not."""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self, TypeVar

from shmctx.context import (
    CORRELATION_PREFIX,
    EVENT_PREFIX,
    HEX_CORRELATION,
    HEX_EVENT,
    HEX_PARENT,
    HEX_ROOT,
    ROOT_IS_PARENT,
    Context,
    Identity,
)
from shmctx.refs import native_id

_COROUTINE = 0x80  # inspect.CO_COROUTINE; importing inspect would double the time of `import shmctx`

F = TypeVar("F", bound=Callable[..., Any])


class Scope:
    """A context together with what its children inherit, worked out once for all of them.

    `stored` are a child's fields as they are encoded: parent, correlation, client, session, form, root, more.
    """

    __slots__ = (
        "agent", "client", "context", "correlation", "depth", "more", "parent", "plain", "root", "session",
        "session_id", "store_id", "stored",
    )  # fmt: skip

    def __init__(self, context: Context, store_id: int) -> None:
        """What children in the store `store_id` inherit; identities native to another store become text there."""
        native = context.store_id == store_id
        self.context = context
        self.store_id = store_id
        self.depth = context.depth + 1
        self.parent = _carried(context, context.identity, EVENT_PREFIX, native)
        self.correlation = _carried(context, context.correlation_identity, CORRELATION_PREFIX, native)
        root = context.root_identity
        self.root = None if root is None else _carried(context, root, EVENT_PREFIX, native)
        self.agent = context.agent_id
        self.client = context.client_id
        self.session = context.session_position if native else None
        self.session_id = context.session_id if self.session is not None else None
        self.more = context.inherited()
        self.stored = self._encode() if native else None
        self.plain = self.stored is not None and self.stored[2:] == (None, None, 0, None, None)

    def _encode(self) -> tuple[Any, ...]:
        """The inherited fields in their packed form. The context's own packed numbers are taken over."""
        context, form = self.context, 0
        parent: Identity | None = self.parent
        if isinstance(parent, str) and context.form & HEX_EVENT:
            parent, form = context.event, form | HEX_PARENT
        correlation: Identity | None = self.correlation
        if context.form & HEX_CORRELATION:
            correlation, form = context.correlation, form | HEX_CORRELATION
        root: Identity | None = self.root
        if isinstance(root, int) and root == self.correlation:
            root = None
        elif root is not None and root == self.parent:
            root, form = None, form | ROOT_IS_PARENT
        elif isinstance(root, str):
            root, form = _packed_root(context, root, form)
        return parent, correlation, self.client, self.session, form, root, self.more


def _packed_root(context: Context, root: str, form: int) -> tuple[Identity, int]:
    if context.form & HEX_ROOT and context.root is not None:
        return context.root, form | HEX_ROOT
    if context.form & ROOT_IS_PARENT and context.form & HEX_PARENT and context.parent is not None:
        return context.parent, form | HEX_ROOT
    return root, form


def _carried(context: Context, identity: Identity, prefix: str, native: bool) -> Identity:
    if native or isinstance(identity, str):
        return identity
    return native_id(prefix, context.store_id, identity)


_current: ContextVar[Scope | None] = ContextVar("shmctx_scope", default=None)
current_scope = _current.get


def current() -> Context | None:
    """The context this code runs in, or None."""
    scope = _current.get()
    return None if scope is None else scope.context


class Bound:
    """Enters a context: as `with`, `async with` or a decorator of functions and coroutine functions.

    The former context comes back by value, and only where this one is still the current: closing in another
    contextvars.Context (an async generator that is finalised elsewhere) neither raises nor leaks. As a decorator,
    `make` is called once per call of the decorated function.
    """

    def __init__(self, make: Callable[[], Scope]) -> None:
        self._make = make
        self._entered: list[tuple[Scope, Scope | None]] = []

    def __enter__(self) -> Context:
        scope = self._make()
        self._entered.append((scope, _current.get()))
        _current.set(scope)
        return scope.context

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        scope, former = self._entered.pop()
        if _current.get() is scope:
            _current.set(former)

    async def __aenter__(self) -> Context:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, at)

    def _again(self) -> Self:
        return type(self)(self._make)

    def __call__(self, function: F) -> F:
        wrapper: Any
        if getattr(function, "__code__", None) and function.__code__.co_flags & _COROUTINE:

            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return function(*args, **kwargs)

        decorated: F = wrapper
        return decorated


def bound(context: Context) -> Bound:
    """Make an existing context the current one: `with shmctx.bound(store[ref]):`."""
    return Bound(lambda: Scope(context, context.store_id))
