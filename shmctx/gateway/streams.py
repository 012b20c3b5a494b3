"""Routes: following events over a WebSocket, and as server-sent events."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from litestar import Request, WebSocket, get, websocket
from litestar.di import NamedDependency
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromQuery, QueryParameter
from litestar.response import Stream

from shmctx.errors import ShmctxError
from shmctx.gateway.answers import documented
from shmctx.gateway.errors import ErrorAnswer, Problem, answer_of
from shmctx.gateway.events import Bundle, selection
from shmctx.gateway.history import History
from shmctx.gateway.live import Feed, ping
from shmctx.gateway.parameters import Fields
from shmctx.gateway.state import Gate, TheGate
from shmctx.gateway.wanted import Message, Wanted

PATIENCE = 15.0  # seconds between signs of life

Rate = Annotated[float | None, QueryParameter(gt=0, le=1e6, description="Events a second at most.")]
Since = Annotated[str | None, QueryParameter(description="A ref: what came after it. `begin`: all there is.")]


class Filters(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which events: what a client may change while it looks on."""

    correlation_id: str | None = None
    agent_id: str | None = None
    session_id: str | None = None
    event_name: str | None = None
    errors: bool | None = None
    text: str | None = None


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """What a client says."""

    filters: Filters


def filters(
    *,
    correlation_id: FromQuery[str | None] = None,
    agent_id: FromQuery[str | None] = None,
    session_id: FromQuery[str | None] = None,
    event_name: FromQuery[str | None] = None,
    errors: FromQuery[bool | None] = None,
    text: FromQuery[str | None] = None,
) -> Filters:
    """Which events, from the query. A dependency: routes take its result as `chosen`."""
    return Filters(correlation_id, agent_id, session_id, event_name, errors, text)


def what(chosen: Filters, bundle: str | None, fields: str | None, rate: float | None) -> Wanted:
    """All that a client asks for. Raises InvalidField."""
    of_each = selection(bundle, fields)
    return Wanted(
        **msgspec.structs.asdict(chosen),
        fields=of_each if isinstance(of_each, str) else tuple(of_each),
        rate=rate,
    )


class Viewer:
    """One client: first what it missed, then what comes."""

    def __init__(self, gate: Gate, wanted: Wanted, since: str | None) -> None:
        """Raises InvalidField, ContextNotFound."""
        self._history = None if since is None else History(gate.store, gate.hub, wanted, since)
        self.wanted = wanted
        self._feed = gate.hub.feed(wanted) if since is None else None

    async def messages(self) -> AsyncIterator[Message]:
        """What to send, until the store or the gateway closes."""
        if self._history is not None:
            async for message in self._history.messages():
                yield message
            self._feed = self._history.feed
        feed = self._feed
        assert feed is not None
        if feed.topic.wanted != self.wanted:  # changed meanwhile
            feed.want(self.wanted)
        while True:
            found = await feed.next(PATIENCE)
            if found is None and feed.ended:
                return
            yield found or ping()

    def change(self, said: str) -> Message:
        """Go on with other filters; what to answer."""
        try:
            filters = msgspec.json.decode(said, type=Change).filters
            wanted = msgspec.structs.replace(self.wanted, **msgspec.structs.asdict(filters))
            if self._feed is not None:
                self._feed.want(wanted)
        except ShmctxError as error:
            return Message(_encoded(answer_of(error)[1]))
        except (msgspec.MsgspecError, UnicodeError) as error:
            return Message(_encoded(ErrorAnswer(Problem("InvalidRequest", str(error)))))
        self.wanted = wanted
        return Message(_encoded({"filters": filters}))

    def tell(self, message: Message) -> bool:
        """Have a message sent in its turn; False where it may be sent at once."""
        if self._feed is not None:
            self._feed.tell(message)
        return self._feed is not None

    def close(self) -> None:
        """The client is gone."""
        feed: Feed | None = self._feed or (self._history.feed if self._history else None)
        if feed is not None:
            feed.close()


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value).decode()


@websocket("/v1/live")
async def live(
    socket: WebSocket[Any, Any, Any],
    gate: TheGate,
    chosen: NamedDependency[Filters],
    *,
    bundle: Bundle = None,
    fields: Fields = None,
    rate: Rate = None,
    since: Since = None,
) -> None:
    """Events as they come: `{"events": [...]}`, `{"missed": {"first", "end"}}`, `{"ping"}`. A client may say
    `{"filters": {...}}`."""
    await socket.accept()
    try:
        viewer = Viewer(gate, what(chosen, bundle, fields, rate), since)
    except ShmctxError as error:
        await socket.send_text(_encoded(answer_of(error)[1]))
        await socket.close(1008, type(error).__name__)
        return
    sending = asyncio.create_task(_send(socket, viewer))
    try:
        while True:
            message = viewer.change(await socket.receive_text())
            if not viewer.tell(message):
                await socket.send_text(message.text)
    except WebSocketDisconnect:
        pass
    finally:
        viewer.close()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send(socket: WebSocket[Any, Any, Any], viewer: Viewer) -> None:
    """All messages, until there are none or the client is gone."""
    with contextlib.suppress(OSError):  # the client is gone, which the receiving side is told too
        try:
            async for message in viewer.messages():
                await socket.send_text(message.text)
            await socket.close(1012, "The gateway or its store closes.")
        except ShmctxError as error:
            await socket.send_text(_encoded(answer_of(error)[1]))
            await socket.close(1011, type(error).__name__)


@get("/v1/stream", responses=documented(str, media_type="text/event-stream"), operation_id="stream")
async def stream(
    request: Request[Any, Any, Any],
    gate: TheGate,
    chosen: NamedDependency[Filters],
    *,
    bundle: Bundle = None,
    fields: Fields = None,
    rate: Rate = None,
    since: Since = None,
) -> Stream:
    """Server-sent events: the same messages as of /v1/live. `id` is a ref, and `Last-Event-ID` goes on behind it."""
    resumed = request.headers.get("last-event-id") or since
    viewer = Viewer(gate, what(chosen, bundle, fields, rate), resumed)
    return Stream(_server_sent(viewer), media_type="text/event-stream")


async def _server_sent(viewer: Viewer) -> AsyncIterator[str]:
    try:
        yield ": shmctx\n\n"  # so that the client knows at once that it is heard
        async for message in viewer.messages():
            identified = "" if message.ref is None else f"id: {message.ref}\n"
            yield f"{identified}data: {message.text}\n\n"
    except ShmctxError as error:
        yield f"data: {_encoded(answer_of(error)[1])}\n\n"
    finally:
        viewer.close()


ROUTES = [live, stream]
