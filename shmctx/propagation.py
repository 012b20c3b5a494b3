"""The current context: one contextvar, which asyncio tasks inherit and threads do not."""

from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from shmctx.carrying import carried
from shmctx.context import (
    CLIENT_IS_AGENT,
    CORRELATION_PREFIX,
    EVENT_PREFIX,
    HEX_CORRELATION,
    HEX_EVENT,
    HEX_PARENT,
    HEX_ROOT,
    MAX_DEPTH,
    ROOT_IS_PARENT,
    Context,
    Identity,
)
from shmctx.refs import native_id

if TYPE_CHECKING:
    from concurrent.futures import Executor

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
T = TypeVar("T")


class Scope:
    """A context together with what its children inherit, worked out once for all of them.

    `parent`, `correlation` and `root` are identities; the `_field` attributes and `tail` say how a child's payload
    spells them (before and after its agent). `native_to` is the store whose children may be spelled so, -1 for none.
    """

    __slots__ = (
        "agent", "client", "context", "correlation", "correlation_field", "correlation_key", "depth", "more",
        "native_to", "parent", "parent_field", "root", "session", "session_id", "store_id", "tail",
    )  # fmt: skip

    correlation_key: Any
    """As Ring.append takes it."""
    parent_field: Identity | None
    correlation_field: Identity | None
    tail: tuple[Any, ...]

    def __init__(self, context: Context, store_id: int) -> None:
        """What children in the store `store_id` inherit; identities native to another store become text there."""
        self.context: Context | None = context
        self.store_id = store_id
        self.__class__ = _Fresh  # noqa: PLE0237  (worked out when somebody looks)

    def _work_out(self, context: Context, store_id: int) -> None:
        """Fill every slot, each once: another thread may be doing the same, or reading already."""
        native = context.store_id == store_id
        self.depth = min(context.depth + 1, MAX_DEPTH)
        self.parent: Identity | None = _carried(context, context.identity, EVENT_PREFIX, native=native)
        self.correlation: Identity | None = _carried(
            context, context.correlation_identity, CORRELATION_PREFIX, native=native
        )
        self.correlation_key = self.correlation
        root = context.root_identity
        self.root = None if root is None else _carried(context, root, EVENT_PREFIX, native=native)
        self.agent = context.agent_id
        self.client = context.client_id
        self.session = context.session_position if native else None
        self.session_id = context.session_id if self.session is not None else None
        self.more = context.inherited()
        self.native_to = store_id if native else -1
        if native:
            self._spell(context)
        else:
            self.parent_field, self.correlation_field, self.tail = None, None, ()

    def _spell(self, context: Context) -> None:
        """Spell the inherited fields as a payload does, in the form that records.encode_context gives them."""
        form, root, parent, correlation = 0, self.root, self.parent, self.correlation
        if context.form & HEX_EVENT and context.event is not None:
            parent, form = context.event, form | HEX_PARENT
        if context.form & HEX_CORRELATION and context.correlation is not None:
            correlation, form = context.correlation, form | HEX_CORRELATION
        if isinstance(root, int) and root == self.correlation:
            root = None
        elif root is not None and root == self.parent:
            root, form = None, form | ROOT_IS_PARENT
        elif isinstance(root, str):
            root, form = _packed_root(context, root, form)
        tail = (self.client, self.session, form, None, root, self.more)
        self.parent_field, self.correlation_field = parent, correlation
        self.tail = () if tail == (None, None, 0, None, None, None) else tail

    def tail_for(self, agent: str | None) -> tuple[Any, ...]:
        """The tail of a child with this agent, where there is a client: one that is its own agent is only flagged."""
        if agent != self.client:
            return self.tail
        _, session, form, event, root, more = self.tail
        return None, session, form | CLIENT_IS_AGENT, event, root, more


class _Fresh(Scope):
    """A scope that is not worked out: most contexts have no children, and cost nothing here.

    A class of its own, because `__getattr__` makes every look at an attribute slow, also at one that is there.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        """The first look at an empty slot fills them all."""
        if name not in Scope.__slots__ or self.context is None:
            raise AttributeError(name)
        self._work_out(self.context, self.store_id)
        self.__class__ = Scope  # type: ignore[assignment]
        return getattr(self, name)


def _origin() -> Scope:
    """What a context inherits that has no cause: nothing."""
    scope = object.__new__(Scope)
    for name in Scope.__slots__:
        setattr(scope, name, None)
    scope.depth, scope.native_to, scope.tail, scope.correlation_key = 0, -1, (), ...
    return scope


ORIGIN = _origin()


def _packed_root(context: Context, root: str, form: int) -> tuple[Identity, int]:
    if context.form & HEX_ROOT and context.root is not None:
        return context.root, form | HEX_ROOT
    if context.form & ROOT_IS_PARENT and context.form & HEX_PARENT and context.parent is not None:
        return context.parent, form | HEX_ROOT
    return root, form


def _carried(context: Context, identity: Identity, prefix: str, *, native: bool) -> Identity:
    if native or isinstance(identity, str):
        return identity
    return native_id(prefix, context.store_id, identity)


_current: ContextVar[Scope | None] = ContextVar("shmctx_scope", default=None)
current_scope = _current.get
set_scope = _current.set


def current() -> Context | None:
    """The context this code runs in, or None."""
    scope = _current.get()
    return None if scope is None else scope.context


class Bound:
    """Enters a context: as `with`, `async with` or a decorator of functions of every kind.

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
        return cast(Context, scope.context)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        here = _current.get()
        for entry in reversed(self._entered):  # not always the last one: tasks may share this object
            if entry[0] is here:
                self._entered.remove(entry)
                _current.set(entry[1])
                return

    async def __aenter__(self) -> Context:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, at)

    def __call__(self, function: F) -> F:
        """Decorate a function, coroutine function, generator function or async generator function.

        A generator enters with its first step; at every yield the caller has its own context again.
        """
        return carried(function, _current, self._make)


def bound(context: Context) -> Bound:
    """Make an existing context the current one: `with shmctx.bound(store[ref]):`."""
    return Bound(lambda: Scope(context, context.store_id))


def carry(function: F) -> F:
    """The function, to be run in the context that is current now, wherever and whenever it is called.

    For threads and what else starts without it: `Thread(target=shmctx.carry(work))`, callbacks of libraries,
    `loop.run_in_executor`. Any number of threads may call it at once. asyncio's tasks and callbacks need no help, nor
    does `asyncio.to_thread`: they copy all context variables. So does every thread of a free-threaded CPython 3.14
    (`sys.flags.thread_inherit_context`) from whoever starts it, so that a pool's worker begins with what was current at
    some earlier `submit`; a carried function does not see that.
    """
    scope = _current.get()
    return carried(function, _current, lambda: scope)


def propagating(executor: "Executor") -> "Executor":
    """The same executor, with every submitted function run in the context current at its submission.

    `with shmctx.propagating(ThreadPoolExecutor()) as pool:`, or a ProcessPoolExecutor: there the ref travels with each
    task (see `task`), and a worker attaches once.
    """
    from shmctx.executors import ContextExecutor

    return ContextExecutor(executor)


def task(function: Callable[P, T]) -> Callable[P, T]:
    """The function, to be run in the context that is current now, in another process: what it gives pickles.

    For what takes a function across: `multiprocessing.Process(target=shmctx.task(work))`, `Pool.map`, queues of jobs.
    The process attaches to the store when it first needs to, once; `shmctx.current_store()` is that store.

    Raises StoreClosed where the current context's store is not open here.
    """
    from shmctx.executors import Task

    return Task(function)
