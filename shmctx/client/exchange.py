"""One request and its answer, without any input or output: what is sent, what an answer means, which error it is."""

from collections.abc import Generator, Mapping
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from shmctx import errors
from shmctx.errors import GatewayError, GatewayUnavailable, InvalidField, ShmctxError, Unauthorized

T = TypeVar("T")

MAX_ANSWER = 16 << 20
"""Bytes. A gateway sends 8 MiB at most."""

_RETRIED = frozenset({"TooManyRequests", "TooManyConnections"})
"""Codes with which a gateway says that it did nothing, and that it may soon be otherwise."""

_encode = msgspec.json.Encoder().encode


class Request(Generic[T]):
    """What to ask a gateway, and the type of the answer, which is checked against it."""

    def __init__(
        self,
        path: str,
        answer: type[T],
        query: Mapping[str, Any] | None = None,
        body: object = None,
        *,
        repeatable: bool = True,
    ) -> None:
        """`body`: sent as JSON with POST; without one it is a GET. `repeatable`: asking twice does no harm."""
        self.method = "GET" if body is None else "POST"
        given = {name: text(value) for name, value in (query or {}).items() if value is not None}
        self.target = f"{path}?{urlencode(given)}" if given else path
        self.body = None if body is None else encoded(body)
        self.repeatable = repeatable
        self.answer = answer


Steps = Generator[Request[Any], Any, T]
"""A computation that asks the gateway now and then. Whoever runs it sends back the answers."""


class Answer(NamedTuple):
    """What came back: status, body, and the seconds after which to ask again, where the gateway said so."""

    status: int
    body: bytes
    retry_after: float | None = None


def encoded(body: object) -> bytes:
    """A body as JSON. Raises InvalidField for what JSON cannot hold."""
    try:
        return _encode(body)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidField(f"This cannot be sent as JSON: {error}. Nothing was sent.") from None


def text(value: object) -> str:
    """A value as a query parameter."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return repr(value.timestamp())
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value)


def segment(value: str) -> str:
    """An id as one piece of a path."""
    return quote(value, safe="")


def seconds(header: str | None) -> float | None:
    """A Retry-After in seconds."""
    return float(header) if header is not None and header.isascii() and header.isdigit() else None


def decoded(request: Request[T], answer: Answer) -> T:
    """What the answer says. Raises what the gateway told, as if it had been raised here."""
    if answer.status >= 300:
        raise refusal(answer.status, answer.body)
    try:
        return msgspec.json.decode(answer.body, type=request.answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise GatewayError(
            f"The gateway's answer to {request.target.partition('?')[0]} is not what it should be: {error}.",
            hint="Is it the gateway of a shmctx of this version?",
        ) from None


class Told(msgspec.Struct):
    """What went wrong, as a gateway says it."""

    code: str = ""
    message: str = ""
    hint: str = ""


class _Refusal(msgspec.Struct):
    error: Told


def refusal(status: int, body: bytes) -> ShmctxError:
    """The error that an answer tells of: of the class that its code names, where it is one of shmctx's."""
    try:
        told = msgspec.json.decode(body, type=_Refusal).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return GatewayError(f"What answers there is no gateway: status {status}.", status=status)
    return error_of(told.code, told.message, told.hint, status)


def error_of(code: str, message: str, hint: str = "", status: int = 0) -> ShmctxError:
    """An error by its code, as a gateway tells it."""
    if status == 401 or code == "Unauthorized":
        return Unauthorized(message or "The gateway wants its token.", code=code, status=status)
    kind = getattr(errors, code, None)
    if isinstance(kind, type) and issubclass(kind, ShmctxError) and not issubclass(kind, GatewayError):
        return kind(message, hint=hint)
    if code in _RETRIED:
        return GatewayUnavailable(message, hint=hint, code=code, status=status)
    return GatewayError(message or f"Status {status}.", hint=hint, code=code, status=status)


def pause(answer: Answer) -> float | None:
    """Seconds after which the same may be asked again; None for an answer that stands."""
    if answer.status not in (429, 503):
        return None
    error = refusal(answer.status, answer.body)
    if not isinstance(error, GatewayUnavailable):
        return None
    return answer.retry_after if answer.retry_after is not None else 0.1
