"""ASGI: every request and every WebSocket connection is a context, caused by what the caller says.

Pure ASGI (https://asgi.readthedocs.io/en/latest/specs/www.html), so it works under every framework and server of it,
and contexts reach the application's tasks, streams and background work.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from shmctx import w3c
from shmctx.carriers import extract_async
from shmctx.context import Context
from shmctx.errors import ShmctxError
from shmctx.events.results import message_of
from shmctx.integrations.headers import answering, by_name, is_id
from shmctx.propagation import current_scope, set_scope
from shmctx.store import Store

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_NAMES = {"http": "http:request", "websocket": "ws:connect"}
_STARTS = ("http.response.start", "websocket.accept", "websocket.http.response.start")
_REQUEST = "shmctx.context"
"""In the ASGI scope: the context of the request, for an application that wants it by name."""

_logger = logging.getLogger(__name__)


class ContextMiddleware:
    """Puts a context `http:request` or `ws:connect` for each request, with method and path as its data, and makes it
    the current one. `traceparent`, or else the correlation header, says what caused it; the answer has both of its own.

    `validator`: which correlation ids of callers are taken; others begin a correlation. `trusted=False`: no header is
    believed. `fields`: what else to put, worked out from the ASGI scope; it wins. When the application is through, the
    context is annotated with `_status` and `_duration_ms`, and with the error that it raised. A store that takes no
    context does not keep a request from being served: that is logged, and the request has none.
    """

    def __init__(
        self,
        app: App,
        store: Store,
        *,
        header: str = "X-Correlation-ID",
        validator: Callable[[str], bool] = is_id,
        trusted: bool = True,
        fields: Callable[[Scope], Mapping[str, Any]] | None = None,
    ) -> None:
        self._app, self._store = app, store
        self._header, self._validator, self._trusted = header.lower(), validator, trusted
        self._fields = fields

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it; a lifespan, and a request that has a context, go through untouched."""
        if scope["type"] not in _NAMES or _REQUEST in scope:
            return await self._app(scope, receive, send)
        outer = current_scope()
        set_scope(None)  # a server may run a request within the one before; what caused it is in its headers
        try:
            context = await self._begin(scope)
            if context is None:
                return await self._app(scope, receive, send)
            await self._run(context, {**scope, _REQUEST: context}, receive, send)
        finally:
            set_scope(outer)

    async def _begin(self, scope: Scope) -> Context | None:
        data = {"path": scope["path"]} | ({"method": scope["method"]} if "method" in scope else {})
        try:
            fields = await self._cause(by_name(scope["headers"])) if self._trusted else {}
            fields |= self._fields(scope) if self._fields else {}
            entered = self._store.enter(_NAMES[scope["type"]], data, **fields)
        except ShmctxError as error:
            _logger.warning("A request is served without a context: %s", error)
            return None
        set_scope(entered)
        return entered.context

    async def _cause(self, headers: Mapping[str, str]) -> dict[str, Any]:
        """As fields of a put. A correlation id that names the trace of the `traceparent` is that trace's own name."""
        fields = await extract_async(self._store, headers)
        told = headers.get(self._header, "")
        if "parent" in fields or not (told and self._validator(told)):
            return fields
        parent = w3c.parse_traceparent(headers.get("traceparent"))
        if parent is None or w3c.trace_id(told) == parent.trace_id:
            fields["correlation_id"] = told
        return fields

    async def _run(self, context: Context, scope: Scope, receive: Receive, send: Send) -> None:
        notes: dict[str, Any] = {}
        started = time.perf_counter()

        async def answer(message: Message) -> None:
            if message["type"] in _STARTS:
                notes["_status"] = message.get("status", 101)
                message = {**message, "headers": answering(context, message.get("headers") or (), self._header)}
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            notes |= {"error": True, "error_type": type(error).__name__, "error_message": message_of(error)}
            raise
        finally:
            notes["_duration_ms"] = (time.perf_counter() - started) * 1e3
            try:
                self._store.note(context, notes)
            except ShmctxError as error:
                _logger.warning("What became of the request %s is not known: %s", context.ref, error)
