"""Keeping: how long a context is kept, and that it is forgotten. Each is a mark in the ring, which the leader obeys."""

import time
from typing import Any, cast

from shmctx.cold.questions import report_of
from shmctx.errors import InvalidField, NotDurable
from shmctx.hot._core import MARK, parse_ref
from shmctx.marks import FORGETTING, Action, Mark, encode_mark
from shmctx.writing import Writing

_LOOK = 0.02  # seconds between looks for the report of a round


class Keeping(Writing):
    """What of a Store decides about keeping."""

    def pin(self, ref: str, *, durable: bool = True) -> None:
        """Keep a context and its event data for ever, whatever the retention says. Idempotent.

        `durable`: return only when that is committed. Raises ContextNotFound, RingFull, NotDurable.
        """
        self._mark(Mark(Action.PIN, self.resolve(ref).position), durable=durable)

    def unpin(self, ref: str, *, durable: bool = True) -> None:
        """Take `pin` back: the context is kept as long as others of its kind. Raises what `pin` does."""
        self._mark(Mark(Action.UNPIN, self.resolve(ref).position), durable=durable)

    def forget(self, ref: str, *, durable: bool = True) -> None:
        """Remove a context, its annotations and event data: from the ring, the database, the event log and its large
        fields where no other event has them. What it caused stays, and still names it as its parent. Idempotent.

        The names of its event, agent and client, and its session, are shared with others and stay. `durable`: return
        only when all is gone. Raises ContextNotFound, RingFull, NotDurable (it will be forgotten; a second call waits).
        """
        finder = self._finder
        position = finder.run(finder.locate(ref))
        if position is None or position >= self._ring.positions()[1]:
            raise finder.missing(ref)
        self._mark(Mark(Action.FORGET, position), durable=durable)

    def prune(self, older_than: float | None = None, *, timeout: float = 600.0) -> dict[str, Any]:
        """Have the leader remove now what has expired, and return what went: contexts, by class too, events, sessions,
        payloads, bytes of the log and the database (docs/cli.md explains each).

        `older_than`: seconds from which nothing is kept but what is pinned. `timeout`: seconds to wait for the end.
        Raises InvalidField, RingFull, NotDurable (the round goes on without a listener), ColdError.
        """
        if older_than is not None and not 0 <= older_than < 1e9:
            raise InvalidField(f"older_than is a number of seconds, not {older_than!r}.")
        older_ns = None if older_than is None else int(older_than * 1e9)
        deadline = time.monotonic() + timeout
        position = self._mark(Mark(Action.PRUNE, older_ns=older_ns), durable=True)
        while (report := self._attachment.reader.ask(report_of(position))) is None:
            if time.monotonic() >= deadline:
                raise NotDurable(f"Pruning takes longer than {timeout:g} s; it goes on. {self._drain_state()}")
            time.sleep(_LOOK)
        return report

    def _mark(self, mark: Mark, *, durable: bool) -> int:
        alias = FORGETTING if mark.action is Action.FORGET else None
        ref = self._append_waiting(MARK, encode_mark(mark), 0, alias, None, None, None, None, durable=durable)
        return cast(tuple[int, int], parse_ref(ref))[1]
