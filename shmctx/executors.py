"""An executor whose threads run each task in the context it was submitted in."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any, ParamSpec, TypeVar

from shmctx.propagation import carry

P = ParamSpec("P")
T = TypeVar("T")


class ContextExecutor(Executor):
    """Made by `shmctx.propagating`: an executor of threads, with every submitted function carried."""

    def __init__(self, executor: Executor) -> None:
        if isinstance(executor, ProcessPoolExecutor):
            raise TypeError("A context is carried into threads; give other processes its ref, to be bound to it there.")
        self._executor = executor

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As Executor.submit; the task runs in the context that is current now."""
        return self._executor.submit(carry(function), *args, **kwargs)

    def map(self, fn: Callable[..., T], *iterables: Iterable[Any], **options: Any) -> Iterator[T]:
        """As Executor.map; all calls run in the context that is current now."""
        return self._executor.map(carry(fn), *iterables, **options)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  (as Executor)
        """As Executor.shutdown, of the executor inside."""
        self._executor.shutdown(wait, cancel_futures=cancel_futures)
