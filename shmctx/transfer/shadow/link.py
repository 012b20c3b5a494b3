"""The store of an application that runs side by side: opened again when it was lost, without anybody waiting."""

import contextlib
import threading
import time
from collections.abc import Callable

import shmctx
from shmctx.errors import SegmentCorrupt, SegmentMismatch, SegmentMissing, StoreClosed
from shmctx.settings import DEFAULT_NAME, DEFAULT_RING_SIZE, Settings, environment
from shmctx.store import Store
from shmctx.transfer.shadow.guard import Guard

Connect = Callable[[Settings], Store]
"""Opens or attaches the store with these settings."""

_USELESS = (SegmentCorrupt, SegmentMissing, SegmentMismatch, StoreClosed)
"""After these, another attempt needs another store."""


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
        self._settings = guard.shadowing.store_settings(Settings())
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
        if isinstance(error, _USELESS) and self.store is not None:
            self._lost, self.store = self.store, None

    def _open(self) -> None:
        """Open the store, the lost one closed before: a leader's closing may take as long as its last commit."""
        lost, self._lost = self._lost, None
        if lost is not None:
            with contextlib.suppress(Exception):
                lost.close()
        began, error = time.perf_counter_ns(), None
        try:
            found = self._connect(self._settings)
        except Exception as raised:  # noqa: BLE001  (whatever it is, it is not the application's)
            error = raised
            self._guard.ended(0, error)
        self._guard.tally.opening.add(time.perf_counter_ns() - began, error)
        if error is None:
            self.store = found
            if self._closed:
                found.close()

    def close(self) -> None:
        """Close the store, as Store.close does. Idempotent."""
        self._closed = True
        if self._thread is not None:
            self._thread.join(self._guard.shadowing.patience)
        store, self.store = self.store, None
        if store is not None:
            store.close()
