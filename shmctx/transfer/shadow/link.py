"""The store of an application that runs side by side: opened again when it was lost, without anybody waiting."""

import contextlib
import threading
from collections.abc import Callable

import shmctx
from shmctx.settings import DEFAULT_NAME, DEFAULT_RING_SIZE, Settings, environment
from shmctx.store import Store
from shmctx.transfer.shadow.guard import Guard, lost

Connect = Callable[[Settings], Store]
"""Opens or attaches the store with these settings."""


def connect(settings: Settings) -> Store:
    """Open the store that SHMCTX_SEGMENT, SHMCTX_DB, SHMCTX_LOG and SHMCTX_RING_SIZE name. Raises what open does."""
    said = environment()
    return shmctx.open(
        said.segment or DEFAULT_NAME,
        db=said.database,
        log=said.log,
        ring_size=said.ring_size or DEFAULT_RING_SIZE,
        settings=settings,
    )


class Link:
    """Holds the store while there is one. The first is opened at once, every later one in a thread."""

    def __init__(self, connect: Connect, guard: Guard) -> None:
        self._connect = connect
        self._guard = guard
        self._settings = guard.shadowing.store_settings()
        self._lost: Store | None = None
        self._closed = False
        self._thread: threading.Thread | None = None
        self.store: Store | None = None
        self._open()

    def usable(self) -> Store | None:
        """The store, or None, and then one is being opened."""
        if self.store is None and not self._closed and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._open, name="shmctx-shadow", daemon=True)
            self._thread.start()
        return self.store

    def heed(self, error: Exception | None) -> None:
        """Give the store up if its error says that it will not work again."""
        if lost(error) and self.store is not None:
            self._lost, self.store = self.store, None

    def _open(self) -> None:
        """Open the store, the lost one closed before: a leader's closing may take as long as its last commit."""
        former, self._lost = self._lost, None
        _close(former)
        found: Store | None = None
        with self._guard.trial(self._guard.tally.opening, slow=True):
            found = self._connect(self._settings)
        if self._closed:
            _close(found)
        else:
            self.store = found

    def close(self) -> None:
        """Close the store, as Store.close does; what could not be drained in time stays in the ring. Idempotent."""
        self._closed = True
        if self._thread is not None:
            self._thread.join(self._guard.shadowing.patience)
        former, self.store = self.store, None
        _close(former)


def _close(store: Store | None) -> None:
    if store is not None:
        with contextlib.suppress(Exception):
            store.close()
