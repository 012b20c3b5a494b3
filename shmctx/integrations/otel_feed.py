"""Contexts to an OpenTelemetry backend as they come."""

import math
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Self, Unpack, cast

from shmctx.context import Context
from shmctx.errors import ShmctxError
from shmctx.follow import Following
from shmctx.integrations.otel_spans import PAGE, resource_of, to_span
from shmctx.store import Store

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult  # isort: skip  (otel_spans says what is missing)

_LOOK = 0.5  # seconds between looks at what is due


class SpanFeed:
    """Sends every context that any process puts, from now on, `delay` seconds after it was put, so that what became of
    it is known: duration and error are annotated when the work is done, and a span is sent once.

    Used as `with`, it works in a thread; its end sends what is still waiting. `exported` and `failed` count contexts: a
    batch that the exporter gave up, which repeats by itself, is not sent again. `following` is as for Store.follow.
    """

    def __init__(
        self,
        store: Store,
        exporter: SpanExporter,
        *,
        delay: float = 5.0,
        names: Mapping[str, str] | None = None,
        **following: Unpack[Following],
    ) -> None:
        self.exported = self.failed = 0
        self._store, self._exporter, self._delay, self._names = store, exporter, delay, names
        self._resource = resource_of(store)
        following["timeout"] = _LOOK
        self._follower = store.follow(**following)
        self._waiting: deque[tuple[float, Context]] = deque()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shmctx-spans", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._follower.close()

    def _run(self) -> None:
        while not self._ending.is_set():
            self._read(time.time() + _LOOK)
            self._send(time.monotonic())
        self._read(time.time())
        self._send(math.inf)

    def _read(self, until: float) -> None:
        """Read what was put before a moment (seconds since 1970), or until nothing comes for a while."""
        for event in self._follower:
            self._waiting.append((time.monotonic() + self._delay, event.context))
            if event.timestamp >= until:
                break

    def _send(self, now: float) -> None:
        """Send those whose time has come, a batch at a time."""
        while self._waiting and self._waiting[0][0] <= now:
            due: list[Context] = []
            while self._waiting and self._waiting[0][0] <= now and len(due) < PAGE:
                due.append(self._waiting.popleft()[1])
            spans = [to_span(self._as_it_is(found), self._resource, self._names) for found in due]
            if self._exporter.export(spans) is SpanExportResult.SUCCESS:
                self.exported += len(spans)
            else:
                self.failed += len(spans)

    def _as_it_is(self, found: Context) -> Context:
        """The context with what was annotated meanwhile; as it was put where that cannot be read."""
        try:
            return cast(Context, self._store.get(found.ref, found))
        except ShmctxError:
            return found
