"""A log of events with embedded contexts, with shmctx beside it or before it."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, Self, TypeVar

from shmctx.store import Store
from shmctx.transfer.forms import SourceEvent
from shmctx.transfer.shadow import form
from shmctx.transfer.shadow.guard import Guard, Shadowing, configured
from shmctx.transfer.shadow.link import Connect, Link, connect
from shmctx.transfer.shadow.report import Report
from shmctx.transfer.shadow.tally import CallTally, timed

R = TypeVar("R")
OldEvent = Mapping[str, Any]


def _unread(_: str) -> None:
    """Reads nothing: the application only writes its old log."""


class ShadowLog(Generic[R]):
    """The application's way to its log, and to shmctx as far as the mode says.

    off: `write` and `read` are the application's own, nothing of shmctx is opened. shadow: every event is also put
    into the store, read back and compared; the application sees its own side only. primary: writes as in shadow mode,
    without the comparison; reads come from shmctx, from the old side where shmctx cannot answer. In every mode the old
    log is written first and its errors reach the application; those of shmctx never do. So each mode can follow each
    other one.
    """

    def __init__(
        self,
        write: Callable[[OldEvent], R],
        read: Callable[[str], OldEvent | None] = _unread,
        *,
        connect: Connect = connect,
        shadowing: Shadowing | None = None,
    ) -> None:
        """`write` takes an event as the old log has it, `read` finds one by its event id.

        `connect` opens or attaches the store, with the settings it is given (default: what the environment names).
        `shadowing`: default: SHMCTX_SHADOW's mode. Raises InvalidField for a mode that is none.
        """
        self._write_old, self._read_old = write, read
        self._guard = Guard(shadowing or configured())
        self._tally = self._guard.tally
        self.mode = self._guard.mode
        self._link = None if self.mode == "off" else Link(connect, self._guard)

    def write(self, event: OldEvent) -> R:
        """Write an event; returns and raises what the application's own function does."""
        with timed(self._tally.writes.old):
            written = self._write_old(event)
        store = self._store(self._tally.writes)
        if store is not None:
            self._put(store, event)
        return written

    def read(self, event_id: str) -> OldEvent | None:
        """The event of an id in its old form, or None. Raises what the application's own function does."""
        store = self._store(self._tally.reads)
        if self.mode == "primary":
            new, _ = self._read_new(store, event_id)
            if new is not None:
                return new
        with timed(self._tally.reads.old):
            old = self._read_old(event_id)
        if self.mode == "primary" and old is not None:
            self._tally.fell_back()
        if self.mode == "shadow" and old is not None:
            new, answered = self._read_new(store, event_id)
            if answered:
                with self._guard.trial(self._tally.checks):
                    self._compare(form.parse(old), new)
        return old

    def report(self) -> Report:
        """What this process has counted so far."""
        return self._guard.report()

    def close(self) -> None:
        """Close the store; the old side is the application's to close. Idempotent."""
        if self._link is not None:
            self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _store(self, calls: CallTally) -> Store | None:
        """The store, if there is one and it may be called now; counted where not."""
        if self._link is None or not self._guard.ready(calls):
            return None
        store = self._link.usable()
        if store is None:
            self._tally.left_alone(calls)
        return store

    def _put(self, store: Store, event: OldEvent) -> None:
        with self._guard.trial(self._tally.writes.new) as trial:
            parsed = form.parse(event)
            ref = form.put(store, parsed)
        self._heed(trial.error)
        if trial.error is None and self.mode == "shadow" and self._guard.turn():
            with self._guard.trial(self._tally.checks) as trial:
                self._compare(parsed, form.find(store, ref))
            self._heed(trial.error)

    def _read_new(self, store: Store | None, event_id: str) -> tuple[OldEvent | None, bool]:
        """The event as shmctx has it, and whether shmctx answered."""
        found: OldEvent | None = None
        if store is None:
            return None, False
        with self._guard.trial(self._tally.reads.new) as trial:
            found = form.find(store, event_id)
        self._heed(trial.error)
        return found, trial.error is None

    def _compare(self, old: SourceEvent, new: OldEvent | None) -> None:
        if new is None:
            self._tally.missing()
        else:
            context = old.context or {}
            self._tally.compared(str(context.get("_event_id")), form.compare(old, form.parse(new)))

    def _heed(self, error: Exception | None) -> None:
        if self._link is not None:
            self._link.heed(error)
