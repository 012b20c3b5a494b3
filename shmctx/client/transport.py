"""Requests over HTTP/1.1 with the standard library: connections that are kept alive, and patience with a restart.

Threads may ask at once, each on a connection of its own. The asynchronous client asks in threads too: one way to talk
HTTP instead of two, and a hop to a thread costs a tenth of what the gateway takes to answer.
"""

import http.client
import select
import socket
import ssl
import threading
import time
from collections import deque
from typing import TypeVar

from shmctx.client.address import Address
from shmctx.client.exchange import MAX_ANSWER, Answer, Request, Steps, decoded, pause, refusal, seconds
from shmctx.errors import GatewayError, GatewayUnavailable, ShmctxError, StoreClosed

T = TypeVar("T")

_IDLE = 4.0  # seconds: uvicorn closes a connection that was idle for 5
_SHORTEST, _LONGEST = 0.05, 1.0  # seconds between attempts


class Transport:
    """Asks one gateway."""

    def __init__(self, address: Address, timeout: float, patience: float) -> None:
        """`timeout`: seconds for each step of a request; `patience`: seconds in which an attempt is repeated."""
        self.address = address
        self._timeout = timeout
        self._patience = patience
        self._idle: deque[tuple[float, http.client.HTTPConnection]] = deque()
        self._closed = threading.Event()

    def run(self, steps: Steps[T]) -> T:
        """Run steps to their end, asking one request after the other."""
        try:
            request = next(steps)
            while True:
                try:
                    answer = self.ask(request)
                except ShmctxError as error:
                    request = steps.throw(error)
                else:
                    request = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    def ask(self, request: Request[T]) -> T:
        """The gateway's answer. Raises what it told, GatewayUnavailable, Unauthorized, GatewayError."""
        deadline = time.monotonic() + self._patience
        wait = _SHORTEST
        while True:
            if self._closed.is_set():
                raise StoreClosed("The client was closed.", hint="Connect again.")
            answer, failure = self._attempt(request)
            if answer is not None:
                again = pause(answer)
                if again is None:
                    return decoded(request, answer)
                failure = refusal(answer.status, answer.body)
                wait = max(again, _SHORTEST)
            assert failure is not None
            if time.monotonic() + wait > deadline:
                raise failure
            self._closed.wait(wait)
            wait = min(2 * wait, _LONGEST)

    def _attempt(self, request: Request[T]) -> tuple[Answer | None, Exception | None]:
        """An answer, or why there is none and asking again does no harm. Raises GatewayUnavailable where it might."""
        connection = self._connection()
        sent = False
        try:
            if connection.sock is None:
                connection.connect()
            headers = {"Host": self.address.netloc, "Accept": "application/json", **self.address.headers}
            if request.body is not None:
                headers["Content-Type"] = "application/json"
            sent = True
            connection.request(request.method, request.target, request.body, headers)
            response = connection.getresponse()
            body = response.read(MAX_ANSWER + 1)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if sent and not request.repeatable:
                raise GatewayUnavailable(
                    f"The connection to {self.address.shown} was lost: {told(error)}. Whether anything was stored is "
                    "not known."
                ) from None
            return None, unavailable(self.address, error)
        if len(body) > MAX_ANSWER:
            connection.close()
            raise GatewayError(f"{self.address.shown} answered with more than {MAX_ANSWER:,} bytes.")
        self._keep(connection, response)
        return Answer(response.status, body, seconds(response.getheader("Retry-After"))), None

    def _connection(self) -> http.client.HTTPConnection:
        """The one that was used last, if it is still open; otherwise a new one."""
        while self._idle:
            try:
                since, connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if time.monotonic() - since < _IDLE and connection.sock is not None and not _readable(connection.sock):
                return connection
            connection.close()
        if self.address.socket is not None:
            return _LocalConnection(self.address.socket, self._timeout)
        if self.address.tls:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                self.address.host, self.address.port, timeout=self._timeout, context=context
            )
        return http.client.HTTPConnection(self.address.host, self.address.port, timeout=self._timeout)

    def _keep(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        if response.will_close or self._closed.is_set():
            connection.close()
        else:
            self._idle.append((time.monotonic(), connection))

    def close(self) -> None:
        """Close what is idle; what is under way comes to its end. Idempotent."""
        self._closed.set()
        while self._idle:
            self._idle.pop()[1].close()


class _LocalConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """As HTTPConnection.connect."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(self._path)
        except BaseException:
            self.close()
            raise


def _readable(sock: socket.socket) -> bool:
    """Whether something came on an idle connection: its end, as a rule."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def told(error: Exception) -> str:
    """Why, in a few words."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def unavailable(address: Address, error: Exception) -> GatewayUnavailable:
    """The error for a gateway that cannot be reached."""
    return GatewayUnavailable(f"No gateway answers at {address.shown}: {told(error)}.")
