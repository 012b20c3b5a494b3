"""The guard before all routes: who asks, from which page, how often, how much, and how large the answer is."""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from litestar.exceptions import HTTPException

from shmctx.gateway.errors import encoded
from shmctx.gateway.limits import Buckets, Limits
from shmctx.gateway.login import OPEN
from shmctx.gateway.parameters import SLASH
from shmctx.gateway.state import Gate

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]


class Refusal(Exception):
    """Why a request goes no further."""

    def __init__(self, status: int, code: str, message: str, hint: str = "", **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = encoded(code, message, hint)
        self.headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]


class Guard:
    """An ASGI application before another one."""

    def __init__(self, app: App, gate: Gate, hosts: frozenset[bytes] | None) -> None:
        """`hosts`: what a Host header may be; None on a Unix socket, where no page of a browser comes from."""
        self._app = app
        self._gate = gate
        self._hosts = hosts
        self._buckets = Buckets(gate.limits.rate, gate.limits.burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        try:
            self._check(scope, headers)
            await self._check_size(headers, receive)
        except Refusal as refusal:
            self._gate.tally.answered(refusal.status)
            await _answer(send, refusal, "websocket.http.response" if kind == "websocket" else "http.response")
            return
        if b"%2f" in scope["raw_path"].lower():
            parts = scope["raw_path"].decode("latin-1").split("/")
            scope["path"] = "/".join(unquote(part).replace("/", SLASH) for part in parts)
        if kind == "websocket":
            await self._app(scope, receive, send)
        else:
            await self._app(scope, _Patient(receive, self._gate.limits), _Measured(send, self._gate))

    def _check(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Raises Refusal."""
        if self._hosts is not None:
            self._check_host(headers)
        client = scope.get("client")
        wait = self._buckets.wait(client[0] if client else "")
        if wait:
            raise Refusal(429, "TooManyRequests", "Too many requests.", retry_after=str(math.ceil(wait)))
        token, path = self._gate.token, scope["path"]
        if token is None or path in OPEN or path.startswith("/static/") or token.is_in(headers):
            return
        raise Refusal(
            401,
            "Unauthorized",
            "The gateway's token is missing or wrong.",
            "It is in the file that `shmctx gateway` names; send it as `Authorization: Bearer TOKEN`.",
            www_authenticate="Bearer",
        )

    async def _check_size(self, headers: dict[bytes, bytes], receive: Receive) -> None:
        """Refuse a body that says that it is too large. As much again is taken in first: a client that is still
        sending would not read why. Raises Refusal."""
        said = headers.get(b"content-length", b"0")
        most = self._gate.limits.body
        if not said.isdigit() or int(said) <= most:
            return
        patient, taken, more = _Patient(receive, self._gate.limits), 0, True
        with contextlib.suppress(HTTPException):
            while more and taken < 2 * most:
                message = await patient()
                taken += len(message.get("body", b""))
                more = bool(message.get("more_body"))
        raise Refusal(413, "BodyTooLarge", f"The body has {int(said):,} bytes, and may have {most:,}.")

    def _check_host(self, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").lower()
        if host not in (self._hosts or ()):
            raise Refusal(
                421,
                "WrongHost",
                "The gateway does not answer to this Host.",
                "Use the address that `shmctx gateway` prints, or allow another name with --allow-host.",
            )
        origin = headers.get(b"origin")
        if origin is not None and origin.lower() not in (b"http://" + host, b"https://" + host):
            raise Refusal(403, "WrongOrigin", "Pages of other origins may not use the gateway.")


async def _answer(send: Send, refusal: Refusal, kind: str) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(refusal.body)).encode()),
        *refusal.headers,
    ]
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": refusal.body})


class _Patient:
    """Receives a request, for as long as it may take."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive = receive
        self._limits = limits
        self._deadline: float | None = None
        self._whole = False

    async def __call__(self) -> Message:
        if self._whole:  # what comes now is the client's end, and may take its time
            return await self._receive()
        loop = asyncio.get_running_loop()
        self._deadline = self._deadline or loop.time() + self._limits.request_seconds
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException("The request's body did not come in time.", status_code=408) from None
        self._whole = not message.get("more_body", False)
        return message


class _Measured:
    """Sends an answer, unless it is too large; a stream is not measured."""

    def __init__(self, send: Send, gate: Gate) -> None:
        self._send = send
        self._gate = gate
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None:
            most = self._gate.limits.response
            if not message.get("more_body") and len(message.get("body", b"")) > most:
                self._gate.tally.answered(413)
                await _answer(self._send, _too_large(most), "http.response")
                return
            self._gate.tally.answered(start["status"])
            await self._send(start)
        await self._send(message)


def _too_large(most: int) -> Refusal:
    return Refusal(
        413,
        "ResponseTooLarge",
        f"The answer has more than {most:,} bytes.",
        "Ask for fewer items (`limit`) or fewer fields (`fields`).",
    )
