"""Connections: how many, whose, and for how long one may say nothing."""

import asyncio
import os
import socket
import struct
from typing import Any

import h11
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from shmctx.gateway.errors import encoded
from shmctx.gateway.limits import Limits
from shmctx.gateway.tally import Tally

_LINGER = 1.0  # seconds in which a client may read why it is refused
_CREDENTIALS = struct.Struct("3i")


def _response(status: str, body: bytes, *headers: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


_BUSY = _response(
    "503 Service Unavailable",
    encoded("TooManyConnections", "The gateway has as many connections as it takes.", "Try again later."),
    "retry-after: 1",
)


class _Refused(asyncio.Protocol):
    """Says why, and takes in what the client sends: an answer that meets unread data would be thrown away."""

    lingering: set["_Refused"] = set()  # noqa: RUF012  (all that linger, of all gateways of the process)
    most = 256

    def refuse(self, transport: asyncio.Transport) -> None:
        """Answer and end it, soon."""
        transport.set_protocol(self)
        transport.write(_BUSY)
        if len(self.lingering) >= self.most:
            transport.close()
            return
        self.lingering.add(self)
        if transport.can_write_eof():
            transport.write_eof()
        self._end = asyncio.get_running_loop().call_later(_LINGER, transport.abort)

    def connection_lost(self, _error: Exception | None) -> None:
        """It is over."""
        if self in self.lingering:
            self.lingering.discard(self)
            self._end.cancel()


class Connection(H11Protocol):
    """One connection, if there is room for it."""

    limits: Limits
    tally: Tally
    local: bool
    """On a Unix socket: only processes of this user may ask."""
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let it in, or not."""
        if self.local and not _is_own(transport):
            transport.set_protocol(asyncio.Protocol())
            transport.abort()
        elif len(self.connections) >= self.limits.connections:
            self.tally.refused_connections += 1
            _Refused().refuse(transport)
        else:
            super().connection_made(transport)
            self._wait()

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(self.limits.request_seconds, self.transport.close)

    def data_received(self, data: bytes) -> None:
        """A request's head may not take for ever."""
        super().data_received(data)
        incomplete = self.conn.their_state is h11.IDLE
        if incomplete and self._waiting is None:
            self._wait()
        elif not incomplete:
            self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self.transport.write(_response("400 Bad Request", encoded("InvalidRequest", msg)))
        self.transport.close()


def connections(limits: Limits, tally: Tally, *, local: bool) -> type[asyncio.Protocol]:
    """The protocol of one gateway's connections."""
    return type("Connection", (Connection,), {"limits": limits, "tally": tally, "local": local})


class LiveConnection(WebSocketsSansIOProtocol):
    """A WebSocket whose client, when it answers no more, does not keep its connection by what it has not read."""

    async def send(self, message: ASGISendEvent) -> None:
        """A refusal with an answer ends the handshake too, which uvicorn would complain of."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True

    def keepalive_timeout(self) -> None:
        """The client did not answer a ping."""
        super().keepalive_timeout()
        self.loop.call_later(_LINGER, self.transport.abort)


def _is_own(transport: asyncio.Transport) -> bool:
    """Whether the process at the other end of a Unix socket is of this user, or of root."""
    connected: Any = transport.get_extra_info("socket")
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(raw)[1] in (os.geteuid(), 0)
