"""KSI's context manager with shmctx's beside it or before it, behind the surface that both have."""

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping
from typing import Any, Protocol, TypeVar

from shmctx.transfer.embedding import EMBEDDED
from shmctx.transfer.shadow import differences
from shmctx.transfer.shadow.differences import Differences
from shmctx.transfer.shadow.guard import Guard, Shadowing, configured, lost
from shmctx.transfer.shadow.report import Report
from shmctx.transfer.shadow.tally import CallTally, timed

T = TypeVar("T")
Fields = dict[str, Any]

_OF_STORAGE = frozenset({"_added_at", "context_json", "context_ref", "jsonl_file", "jsonl_offset"})
"""What a manager's storage notes beside an event, each in its own way."""

_INVENTED = {"event_id": "event_id", "timestamp": "event_timestamp", "correlation_id": "correlation_id"}
"""Arguments of create_context and the fields that they become."""


class Manager(Protocol):
    """What KSI's event router needs of a context manager."""

    hot_storage: Any
    cold_storage: Any

    async def initialize(self) -> None:
        """Open the storage."""

    async def shutdown(self) -> None:
        """Close the storage."""

    def generate_ref(self, event_id: str | None = None) -> str:
        """The reference of an event id, or of a new one."""

    async def create_context(self, **kwargs: Any) -> Fields:
        """A child of the current context, which becomes the current one."""

    async def store_event_with_context(self, event: Fields) -> str:
        """Store an event; returns its reference."""

    async def get_context(self, ref: str) -> Fields | None:
        """The context of a reference."""

    async def get_event_with_context(self, event_id: str) -> Fields | None:
        """The event of an id, with its context."""

    def copy_current_context(self) -> Fields | None:
        """A copy of the current context."""

    def restore_context(self, context: Fields | None) -> None:
        """Make a context the current one."""


class ShadowContextManager:
    """Both managers as one, as far as the mode says; the surface is KSI's.

    off: `new` is never called. shadow: whatever `old` does, `new` does after it, and what both give is compared;
    the application sees `old` alone. primary: contexts and events are read from `new`, from `old` where it cannot
    answer. In every mode `old` is called first, its errors reach the application, and what is current is its to say;
    errors of `new` never get out. So each mode can follow each other one.
    """

    def __init__(self, old: Manager, new: Manager, *, shadowing: Shadowing | None = None) -> None:
        """`shadowing`: default: SHMCTX_SHADOW's mode. Raises InvalidField for a mode that is none.

        `new` waits for its store only as long as `shadowing.store_settings()` say if it is opened with them.
        """
        self.old, self.new = old, new
        self._guard = Guard(shadowing or configured())
        self._tally = self._guard.tally
        self.mode = self._guard.mode
        self._open = self._lost = False
        self._opening: asyncio.Task[None] | None = None

    @property
    def hot_storage(self) -> Any:
        """That of the side which is read from."""
        return self._read_from.hot_storage

    @property
    def cold_storage(self) -> Any:
        """That of the side which is read from."""
        return self._read_from.cold_storage

    @property
    def _read_from(self) -> Manager:
        return self.new if self.mode == "primary" and self._open else self.old

    async def initialize(self) -> None:
        """Open both storages."""
        await self.old.initialize()
        if self.mode != "off":
            await self._open_new()

    async def shutdown(self) -> None:
        """Close both storages."""
        if self._opening is not None:
            await self._opening
        if self._open or self._lost:
            self._open = self._lost = False
            with contextlib.suppress(Exception):
                await self.new.shutdown()
        await self.old.shutdown()

    def generate_ref(self, event_id: str | None = None) -> str:
        """`ctx_<event id>`; of a new id without one."""
        return self.old.generate_ref(event_id)

    async def create_context(self, **kwargs: Any) -> Fields:
        """A child of the current context, which becomes the current one."""
        before = self.old.copy_current_context()
        with timed(self._tally.writes.old):
            context = await self.old.create_context(**dict(kwargs))
        if self._usable(self._tally.writes):
            made = None
            with self._guard.trial(self._tally.writes.new) as trial:
                self.new.restore_context(before)
                made = await self._limited(self.new.create_context(**kwargs | _identity(context)))
            self._heed(trial.error)
            if made is not None and self.mode == "shadow":
                with self._guard.trial(self._tally.checks):
                    self._compare(context, differences.of_contexts(context, made))
        return context

    async def store_event_with_context(self, event: Fields) -> str:
        """Store an event; returns its reference."""
        before = self.old.copy_current_context()
        with timed(self._tally.writes.old):
            ref = await self.old.store_event_with_context(event)
        if self._usable(self._tally.writes):
            current = self.old.copy_current_context() or {}
            new_ref = None
            with self._guard.trial(self._tally.writes.new) as trial:
                new_ref = await self._limited(self.new.store_event_with_context(self._prepare(event, before, current)))
            self._heed(trial.error)
            if new_ref is not None and self.mode == "shadow" and self._guard.turn():
                with self._guard.trial(self._tally.checks):
                    await self._limited(self._check(ref, new_ref, current))
        return ref

    async def get_context(self, ref: str) -> Fields | None:
        """The context of a reference, or None."""
        return await self._read("get_context", ref)

    async def get_event_with_context(self, event_id: str) -> Fields | None:
        """The event of an id with its context, or None."""
        return await self._read("get_event_with_context", event_id)

    def copy_current_context(self) -> Fields | None:
        """A copy of the current context, or None."""
        return self.old.copy_current_context()

    def restore_context(self, context: Fields | None) -> None:
        """Make a context the current one."""
        self.old.restore_context(context)

    def report(self) -> Report:
        """What this process has counted so far."""
        return self._guard.report()

    # ---- the new side ----

    def _usable(self, calls: CallTally) -> bool:
        """Whether `new` is open and may be called now; counted where not. One that was lost is opened by a task."""
        if self.mode == "off" or not self._guard.ready(calls):
            return False
        if not self._open:
            self._tally.left_alone(calls)
            if self._opening is None or self._opening.done():
                self._opening = asyncio.create_task(self._open_new())
        return self._open

    async def _open_new(self) -> None:
        if self._lost:
            self._lost = False
            with contextlib.suppress(Exception):
                await self.new.shutdown()
        with self._guard.trial(self._tally.opening, slow=True) as trial:
            await self.new.initialize()
        self._open = trial.error is None

    def _heed(self, error: Exception | None) -> None:
        if lost(error):
            self._open, self._lost = False, True

    async def _limited(self, call: Awaitable[T]) -> T:
        """Await a call of `new`, for as long as the mode allows."""
        async with asyncio.timeout(self._guard.shadowing.patience):
            return await call

    def _prepare(self, event: Fields, before: Fields | None, current: Fields) -> Fields:
        """Put `new` where `old` was, and give the event so that both come to the same context."""
        event_id = event.get("event_id")
        if before and event_id and event_id != before.get("_event_id"):
            self.new.restore_context(before)  # a child: `new` works out by itself what it inherits
            return {"timestamp": current.get("_event_timestamp"), **event}
        self.new.restore_context(current)
        return event

    async def _read(self, method: str, key: str) -> Fields | None:
        usable = self._usable(self._tally.reads)
        if self.mode == "primary":
            found, _ = await self._read_new(method, key) if usable else (None, False)
            if found is not None:
                return found
        with timed(self._tally.reads.old):
            old: Fields | None = await getattr(self.old, method)(key)
        if self.mode == "primary" and old is not None:
            self._tally.fell_back()
        if self.mode == "shadow" and usable and old is not None:
            new, answered = await self._read_new(method, key)
            if answered:
                with self._guard.trial(self._tally.checks):
                    self._compare(old, None if new is None else _differences(old, new))
        return old

    async def _read_new(self, method: str, key: str) -> tuple[Fields | None, bool]:
        """What `new` gives, and whether it answered."""
        found: Fields | None = None
        with self._guard.trial(self._tally.reads.new) as trial:
            found = await self._limited(getattr(self.new, method)(key))
        self._heed(trial.error)
        return found, trial.error is None

    async def _check(self, ref: str, new_ref: str, context: Fields) -> None:
        """Read back what was stored."""
        stored = await self.new.get_context(ref)
        different = None if stored is None else differences.of_contexts(context, stored)
        if different is not None and new_ref != ref:
            different["_ref"] = (ref, new_ref)
        self._compare(context, different)

    def _compare(self, old: Fields, different: Differences | None) -> None:
        """Count differences; None: `new` has nothing there."""
        if different is None:
            self._tally.missing()
        else:
            self._tally.compared(str(old.get("_event_id") or old.get("event_id")), different)


def _identity(context: Fields) -> Fields:
    """What two managers would each invent for a context, as the first one did."""
    return {name: context.get(f"_{wire}") for name, wire in _INVENTED.items()}


def _differences(old: Fields, new: Fields) -> Differences:
    """Between two contexts, or two events with theirs: there, what the old one has counts."""
    context = old.get(EMBEDDED)
    if context is None:
        return differences.of_contexts(old, new)
    found = differences.of_contexts(context, new.get(EMBEDDED) or {})
    for name, value in old.items():
        if name == "data" and isinstance(value, Mapping):
            found |= differences.of_data(value, new.get("data"))
        elif name != EMBEDDED and name not in _OF_STORAGE and value != new.get(name):
            found[name] = (value, new.get(name))
    return found
