"""Functions that run in the context they were submitted in, in the threads and the processes of executors.

A pooled process outlives many tasks, so a context cannot come to it with its environment: the ref travels with each
task, beside the way to the store, and the worker attaches once.
"""

import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any, Generic, ParamSpec, TypeVar

from shmctx.context import Context, SessionSource, sources
from shmctx.errors import StoreClosed
from shmctx.propagation import Scope, carry, current, current_scope, set_scope

P = ParamSpec("P")
T = TypeVar("T")


class ContextExecutor(Executor):
    """Made by `shmctx.propagating`: an executor with every submitted function carried, or sent as a Task."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._bind: Callable[[Any], Any] = Task if isinstance(executor, ProcessPoolExecutor) else carry

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As Executor.submit; the task runs in the context that is current now."""
        return self._executor.submit(self._bind(function), *args, **kwargs)

    def map(self, fn: Callable[..., T], *iterables: Iterable[Any], **options: Any) -> Iterator[T]:
        """As Executor.map; all calls run in the context that is current now."""
        return self._executor.map(self._bind(fn), *iterables, **options)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  (as Executor)
        """As Executor.shutdown, of the executor inside."""
        self._executor.shutdown(wait, cancel_futures=cancel_futures)


class Task(Generic[P, T]):
    """A function to be run in the context that is current now, in whichever process it is called. It pickles.

    `shmctx.task(function)` makes one. Called in another process, it attaches to the context's store there, once for all
    tasks; without a current context it runs without one, whatever the worker has inherited by a fork.

    Raises StoreClosed where the context's store is not open here; where it is called, ContextNotFound for a context
    that has expired, and what attaching raises.
    """

    def __init__(self, function: Callable[P, T]) -> None:
        context = current()
        self._function = function
        self._origin = None if context is None else _Origin(context.store_id, _reopening(context), context.ref)
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function, in the context."""
        former = current_scope()
        set_scope(None if self._origin is None else self._origin.scope())
        try:
            return self._function(*args, **kwargs)
        finally:
            set_scope(former)

    def __reduce__(self) -> tuple[Any, ...]:
        return _sent, (self._function, self._origin)


def _sent(function: Callable[P, T], origin: "_Origin | None") -> Task[P, T]:
    task = object.__new__(Task)
    task._function, task._origin = function, origin
    return task


class _Origin:
    """Where a task was submitted: a store, the way to attach to it, and the ref of the context."""

    def __init__(self, store_id: int, reopening: tuple[Any, ...], ref: str) -> None:
        self._store_id = store_id
        self._reopening = reopening
        self._ref = ref

    def scope(self) -> Scope:
        store = _attached(self._store_id, self._reopening)
        return Scope(store.resolve(self._ref), self._store_id)


_stores: dict[int, SessionSource] = {}
_lock = threading.Lock()


def _forked() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it


os.register_at_fork(after_in_child=_forked)


def _reopening(context: Context) -> tuple[Any, ...]:
    """How another process opens the context's store: as a pickled store does."""
    store: Any = next(iter(sources(context.store_id)), None)
    if store is None:
        raise StoreClosed(f"The store of {context.ref} is not open in this process, so nobody can be led to it.")
    made: tuple[Any, ...] = store.__reduce__()
    return made


def _attached(store_id: int, reopening: tuple[Any, ...]) -> Any:
    """The store that is open in this process already, as after a fork, or attached now and kept for later tasks."""
    with _lock:
        for store in sources(store_id):
            return store
        make, arguments = reopening
        _stores[store_id] = make(*arguments)
        return _stores[store_id]
