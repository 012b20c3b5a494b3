"""Fork safety of SQLite: nobody forks while a thread is inside the library, or with a connection open.

A child gets a copy of the parent's memory with only the forking thread in it. SQLite's global mutexes that another
thread held at that moment would stay locked there for ever. So uses of SQLite (and of the election's descriptor) go
through one gate, which a fork closes and waits to find empty. What a child must not inherit at all is given up then.
"""

import os
import threading
from collections.abc import Callable
from types import TracebackType


class _Depth(threading.local):
    count = 0


class ForkGate:
    """Counts the threads inside; `with gate:` from any thread, nested as well."""

    def __init__(self) -> None:
        self._hooked = False
        self._give_up: list[Callable[[], None]] = []
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()  # a finalizer may come in between, in the same thread
        self._condition = threading.Condition(self._lock)
        self._inside = 0
        self._closed = False
        self._depth = _Depth()

    def hook(self) -> None:
        """Make forks wait from now on. Idempotent."""
        if not self._hooked:
            self._hooked = True
            os.register_at_fork(before=self._close, after_in_parent=self._open, after_in_child=self._reset)

    def before(self, give_up: Callable[[], None]) -> None:
        """Have this called before every fork, while nobody is inside; it may go through the gate."""
        self._give_up.append(give_up)

    def __enter__(self) -> None:
        depth = self._depth
        depth.count += 1
        if depth.count > 1:  # this thread is counted already, and a fork that waits for it must not stop it
            return
        with self._lock:  # taken by itself, at a third of the price that it has through the condition
            while self._closed:
                self._condition.wait()
            self._inside += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._depth.count -= 1
        if self._depth.count:
            return
        with self._lock:
            self._inside -= 1
            if self._closed:
                self._condition.notify_all()

    def _close(self) -> None:
        with self._condition:
            while self._closed:  # another thread forks
                self._condition.wait()
            self._closed = True
            while self._inside > bool(self._depth.count):
                self._condition.wait()
        self._depth.count += 1  # this thread may pass
        try:
            for give_up in self._give_up:
                give_up()
        finally:
            self._depth.count -= 1

    def _open(self) -> None:
        with self._condition:
            self._closed = False
            self._condition.notify_all()


fork_gate = ForkGate()
