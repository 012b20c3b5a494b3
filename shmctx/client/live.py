"""Following a store through its gateway, over a WebSocket that is made again when it is lost."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

import msgspec

from shmctx.client import answers, exchange
from shmctx.client.address import Address
from shmctx.client.transport import unavailable
from shmctx.errors import GatewayError, InvalidField, ShmctxError
from shmctx.event import Event

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

FILTERS = ("event_name", "correlation_id", "agent_id", "session_id", "errors", "text")
_SHORTEST, _LONGEST = 0.05, 5.0  # seconds between attempts to connect
_MAX_MESSAGE = exchange.MAX_ANSWER


class _Missed(msgspec.Struct):
    first: str
    end: str


class _Message(msgspec.Struct):
    events: list[answers.Row] | None = None
    missed: _Missed | None = None
    error: exchange.Told | None = None
    dropped: int = 0


_decode = msgspec.json.Decoder(_Message).decode


class Stream:
    """What is known of a stream of events, without any input or output: where to go on, and what came."""

    def __init__(self, address: Address, wanted: Mapping[str, Any], patience: float) -> None:
        unknown = wanted.keys() - {*FILTERS, "rate"}
        if unknown:
            raise InvalidField(f"follow() has no filter {', '.join(sorted(unknown))}.")
        self.address = address
        self.ready: deque[Event] = deque()
        self.missed: list[tuple[str, str]] = []
        self.dropped = 0
        self.since = ""
        self._wanted = dict(wanted)
        self._patience = patience
        self._wait = _SHORTEST
        self._deadline: float | None = None
        self._behind: set[str] = set()
        """Refs that came after a newer one: contexts that an annotation put into error. They may come again."""

    def uri(self) -> str:
        """Where to connect to, behind what came last."""
        query = {name: exchange.text(value) for name, value in self._wanted.items() if value is not None}
        query |= {"fields": ",".join((*answers.FIELDS, "data")), "since": self.since}
        return f"{'wss' if self.address.tls else 'ws'}://{self.address.netloc}/v1/live?{urlencode(query)}"

    def received(self, message: str | bytes) -> None:
        """Take a message. Raises what the gateway told, GatewayError for what is no message."""
        self._wait, self._deadline = _SHORTEST, None
        try:
            told = _decode(message)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise GatewayError(f"The gateway sent a message that is none: {error}.") from None
        if told.error is not None:
            raise exchange.error_of(told.error.code, told.error.message, told.error.hint)
        self.dropped += told.dropped
        if told.missed is not None:
            self.missed.append((told.missed.first, told.missed.end))
        for row in told.events or ():
            self._take(row)

    def _take(self, row: answers.Row) -> None:
        """Refs of one store sort by age, so the newest one says where to go on."""
        if self.since == "begin" or row.ref > self.since:
            self.since = row.ref
            self._behind.clear()
        elif row.ref in self._behind:
            return
        else:
            self._behind.add(row.ref)
        self.ready.append(row.event())

    def lost(self, error: Exception) -> float:
        """Seconds after which to connect again. Raises GatewayUnavailable when the patience is over."""
        now = time.monotonic()
        self._deadline = self._deadline or now + self._patience
        wait, self._wait = self._wait, min(2 * self._wait, _LONGEST)
        if now + wait > self._deadline:
            raise unavailable(self.address, error) from None
        return wait

    def refused(self, error: Exception) -> float:
        """As `lost`, for a connection that was not made or was closed; raises what the gateway said for good."""
        from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

        if isinstance(error, InvalidStatus):
            answer = exchange.Answer(error.response.status_code, bytes(error.response.body or b""))
            if exchange.pause(answer) is None and answer.status not in (500, 502, 504):
                raise exchange.refusal(answer.status, answer.body) from None
        elif isinstance(error, InvalidHandshake):
            raise GatewayError(f"What answers at {self.address.shown} is no gateway: {error}.") from None
        elif isinstance(error, ConnectionClosed) and error.rcvd is not None and error.rcvd.code == 1008:
            raise GatewayError(f"The gateway closed the connection: {error.rcvd.reason}.") from None
        return self.lost(error)

    @property
    def options(self) -> dict[str, Any]:
        """What both kinds of connections are made with."""
        shared = {"additional_headers": self.address.headers, "max_size": _MAX_MESSAGE, "compression": None}
        place: dict[str, Any] = {"path": self.address.socket} if self.address.socket else {"proxy": None}
        return shared | place


class Following:
    """What the two followers share."""

    def __init__(self, stream: Stream, timeout: float | None) -> None:
        self._stream = stream
        self._timeout = timeout
        self._closed = False

    @property
    def position(self) -> str:
        """Where to go on: `follow(since=...)` with it delivers what came after the last event that was received."""
        return self._stream.ready[0].ref if self._stream.ready else self._stream.since

    @property
    def missed(self) -> list[tuple[str, str]]:
        """Stretches [first, end) of places, as refs, that came faster than they were taken. The database has them:
        `query(after=...)`. The caller may empty it."""
        return self._stream.missed

    @property
    def dropped(self) -> int:
        """Events that fitted and came faster than `rate`."""
        return self._stream.dropped

    def _deadline(self) -> float | None:
        return None if self._timeout is None else time.monotonic() + self._timeout


def left(deadline: float | None) -> float | None:
    """Seconds until then, 0 if it is over; None: for ever."""
    return None if deadline is None else max(deadline - time.monotonic(), 0)


class Follower(Following):
    """Iterator of Events, as of Store.follow. Made by Client.follow; for one thread, except `close`.

    A lost connection is made again, and every event comes once. An iteration that ended by `timeout` can be taken up
    again. Raises GatewayUnavailable when nobody answered for longer than the client's patience.
    """

    def __init__(self, stream: Stream, timeout: float | None, begin: Callable[[], str]) -> None:
        super().__init__(stream, timeout)
        self._ended = threading.Event()
        self._connection: ClientConnection | None = None
        self._closing = contextlib.ExitStack()
        stream.since = begin()
        try:
            self._connect()
        except failures() as error:
            stream.refused(error)
            raise unavailable(stream.address, error) from None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        stream = self._stream
        deadline = self._deadline()
        while not self._closed:
            if stream.ready:
                return stream.ready.popleft()
            if not self._wait(deadline):
                break
        raise StopIteration

    def _wait(self, deadline: float | None) -> bool:
        """Take one message, or make the connection again; False when the time is over."""
        try:
            if self._connection is None:
                self._connect()
            assert self._connection is not None
            self._stream.received(self._connection.recv(left(deadline)))
        except TimeoutError:
            return False
        except ShmctxError:
            self._drop()
            raise
        except failures() as error:
            self._drop()
            if not self._closed:
                pause = self._stream.refused(error)
                rest = left(deadline)
                self._ended.wait(pause if rest is None else min(pause, rest))
                return rest is None or rest > 0
        return True

    def _connect(self) -> None:
        from websockets.sync.client import connect, unix_connect

        stream = self._stream
        make: Any = unix_connect if stream.address.socket else connect
        try:
            self._connection = self._closing.enter_context(make(uri=stream.uri(), open_timeout=10, **stream.options))
        except TimeoutError as error:  # not the caller's
            raise ConnectionError(str(error)) from None

    def _drop(self) -> None:
        self._connection = None
        with contextlib.suppress(OSError):
            self._closing.close()

    def close(self) -> None:
        """End the iteration, also one that waits in another thread. Idempotent."""
        self._closed = True
        self._ended.set()
        self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def failures() -> tuple[type[Exception], ...]:
    """What a connection that is lost or not made raises."""
    from websockets.exceptions import WebSocketException

    return OSError, WebSocketException


def require() -> None:
    """Raises GatewayError where websockets is not installed."""
    try:
        import websockets  # noqa: F401
    except ImportError:
        raise GatewayError("Following a gateway needs websockets.", hint="pip install 'shmctx[client]'") from None
