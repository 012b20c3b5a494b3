"""KSI's context manager, with a store behind it."""

import asyncio
from pathlib import Path
from typing import Any

from shmctx import api
from shmctx.aio import AsyncStore
from shmctx.errors import StoreClosed
from shmctx.integrations.ksi import forms
from shmctx.integrations.ksi.cold import ColdStorage
from shmctx.integrations.ksi.forms import Wire, ksi_context
from shmctx.integrations.ksi.hot import HotStorage
from shmctx.settings import DEFAULT_RING_SIZE, Settings, environment
from shmctx.store import Store

DEFAULT_NAME = "ksi"


class ContextManager:
    """Contexts of events, with the surface of KSI's own. Contexts are dicts under wire names.

    Opens the store NAME (default: $SHMCTX_SEGMENT, else `ksi`) in the database `db` (default: $SHMCTX_DB), or uses one
    that is given and stays its owner's. What has been stored survives the process; any process that opens the same
    store has it.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        name: str | None = None,
        db: str | Path | None = None,
        settings: Settings | None = None,
    ) -> None:
        """`settings`: of the store that it opens."""
        self._given = store
        self._settings = settings
        self._name = name
        self._db = db
        self._store: Store | None = None
        self._aio: AsyncStore | None = None
        self._initialized = False
        self.hot_storage = HotStorage(self._opened)
        self.cold_storage = ColdStorage(self._opened)

    @property
    def store(self) -> Store:
        """The store behind. Raises StoreClosed before `initialize` and after `shutdown`."""
        if self._store is None:
            raise StoreClosed("This context manager has no store.", hint="await initialize() first.")
        return self._store

    def _opened(self) -> Store:
        return self.store

    async def initialize(self) -> None:
        """Open the store; adopt what a process that died has left. Idempotent. Raises SegmentError, ColdError."""
        if not self._initialized:
            store = await asyncio.to_thread(self._open) if self._given is None else self._given
            self._store, self._aio, self._initialized = store, store.aio, True

    def _open(self) -> Store:
        said = environment()
        name = self._name or said.segment or DEFAULT_NAME
        size = said.ring_size or DEFAULT_RING_SIZE
        return api.open(name, db=self._db or said.database, log=said.log, ring_size=size, settings=self._settings)

    async def shutdown(self) -> None:
        """Close the store, unless it was given. What was stored is drained first, and stays. Idempotent."""
        store, self._store, self._aio, self._initialized = self._store, None, None, False
        self.cold_storage.close()
        if store is not None and store is not self._given:
            await asyncio.to_thread(store.close)

    def generate_ref(self, event_id: str | None = None) -> str:
        """The ref of an event id, or a new one."""
        return f"ctx_{event_id or forms.new_id('evt_')}"

    async def create_context(self, **kwargs: Any) -> Wire:
        """A new context, which becomes the current one of this task; it is not stored before an event is.

        `kwargs`: event_id, timestamp (seconds), correlation_id, and other fields, which get an underscore. What is not
        given comes from the current context, whose child it is: correlation, root, session and custom fields.
        """
        context = forms.child(ksi_context.get(), kwargs)
        ksi_context.set(context)
        return context

    async def store_event_with_context(self, event: dict[str, Any]) -> str:
        """Store an event (event_id, event_name, timestamp, data) in the current context and return the context's ref.

        An event with an id of its own gets a child context, which becomes the current one. When this returns, every
        process can resolve the ref, and no death of this one loses it. Raises PutError, StoreClosed.
        """
        store, context, event_id = self.store, ksi_context.get(), event.get("event_id")
        own = context.get("_event_id") if context else None
        if context is None or own is None or (event_id and event_id != own):
            context = await self.create_context(event_id=event_id, timestamp=event.get("timestamp"))
        elif isinstance(forms.identity(own, store.store_id), int):
            # The id of a context that the store put by itself, and that stays as it is: the event is its child.
            context = await self.create_context(timestamp=event.get("timestamp"))
        forms.put(store, event, context)
        return f"ctx_{context['_event_id']}"

    async def get_context(self, ref: str) -> Wire | None:
        """The context of a ref, from the ring or the database; None where nothing is known. Raises ColdError."""
        found = self.hot_storage.get_context(ref)
        if found is None and isinstance(ref, str):
            context = await self._reading.get(ref)
            found = None if context is None else forms.wire(context)
        return found

    async def get_event_with_context(self, event_id: str) -> dict[str, Any] | None:
        """The event with its context under `_ksi_context`, from the ring or the log. Raises ColdError."""
        event = await self._reading.event(event_id)
        return None if event is None else forms.event(event)

    @property
    def _reading(self) -> AsyncStore:
        return self._aio or self.store.aio

    def copy_current_context(self) -> Wire | None:
        """A copy of the current context, to be carried elsewhere."""
        context = ksi_context.get()
        return dict(context) if context else None

    def restore_context(self, context: Wire) -> None:
        """Make a context the current one, such as one that came from another process."""
        ksi_context.set(context)


_manager: ContextManager | None = None


def get_context_manager() -> ContextManager:
    """The process's context manager; `await initialize()` before its use."""
    global _manager
    if _manager is None:
        _manager = ContextManager()
    return _manager
