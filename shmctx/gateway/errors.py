"""One format for everything that is refused: `{"error": {"code", "message", "hint"}}` and a status."""

import logging
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from shmctx.errors import (
    ColdError,
    ContextNotFound,
    InvalidField,
    NotDurable,
    PayloadTooLarge,
    PutError,
    ReadOnly,
    RingFull,
    SegmentError,
    SessionNotFound,
    ShmctxError,
    StoreClosed,
    WriterStalled,
)

logger = logging.getLogger("shmctx.gateway")


class Problem(msgspec.Struct):
    """What went wrong, for programs (`code`) and for people."""

    code: str
    message: str
    hint: str = ""


class ErrorAnswer(msgspec.Struct):
    """The body of every answer that is no success."""

    error: Problem


STATUSES: list[tuple[type[ShmctxError], int]] = [
    (ContextNotFound, 404),
    (SessionNotFound, 404),
    (ReadOnly, 403),
    (PayloadTooLarge, 413),
    (RingFull, 503),
    (WriterStalled, 503),
    (PutError, 400),
    (NotDurable, 503),
    (ColdError, 503),
    (SegmentError, 503),
    (StoreClosed, 503),
]
"""The first that fits decides. What is not among them nobody expected: 500."""

NOT_FOUND = ErrorAnswer(
    Problem("ContextNotFound", "Nothing in this store has this id: it was never put, has expired, or lies elsewhere.")
)
"""One answer for unknown, malformed, foreign and expired refs: who asks learns nothing of what else there is."""

_CODES = {
    400: "InvalidRequest",
    401: "Unauthorized",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "TooSlow",
    413: "BodyTooLarge",
    415: "InvalidRequest",
}


def answer_of(error: ShmctxError) -> tuple[int, ErrorAnswer]:
    """Status and body for an error of the store."""
    if isinstance(error, ContextNotFound):
        return 404, NOT_FOUND
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
    return status, ErrorAnswer(Problem(type(error).__name__, error.message, error.hint))


def encoded(code: str, message: str, hint: str = "") -> bytes:
    """The body of a refusal."""
    return msgspec.json.encode(ErrorAnswer(Problem(code, message, hint)))


def _response(status: int, answer: ErrorAnswer, headers: dict[str, str] | None = None) -> Response[Any]:
    return Response(msgspec.json.encode(answer), status_code=status, media_type="application/json", headers=headers)


def refused_by_store(_request: Request[Any, Any, Any], error: ShmctxError) -> Response[Any]:
    """What the store says."""
    status, answer = answer_of(error)
    if status == 500:
        logger.error("%s: %s", type(error).__name__, error)
    return _response(status, answer)


def refused_by_framework(_request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """What the framework says of a request that it cannot make sense of."""
    said = error.detail
    if isinstance(error.extra, list):
        items = (item for item in error.extra if isinstance(item, dict))
        said = "; ".join(f"{item.get('key', 'body')}: {item.get('message')}" for item in items) or said
    code = _CODES.get(error.status_code, "InternalError" if error.status_code >= 500 else "InvalidRequest")
    return _response(error.status_code, ErrorAnswer(Problem(code, said)), error.headers)


def too_deep(_request: Request[Any, Any, Any], _error: RecursionError) -> Response[Any]:
    """JSON within JSON, without end."""
    return _response(400, ErrorAnswer(Problem("InvalidRequest", "The body is nested too deeply.")))


def unexpected(_request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """What nobody expected. Told to the log alone."""
    logger.error("Unexpected", exc_info=error)
    return _response(500, ErrorAnswer(Problem("InternalError", "The gateway failed; its log says why.")))


HANDLERS: dict[Any, Any] = {
    ShmctxError: refused_by_store,
    HTTPException: refused_by_framework,
    RecursionError: too_deep,
    Exception: unexpected,
}


def not_found() -> ContextNotFound:
    """For what is asked for by an id and is not there."""
    return ContextNotFound(NOT_FOUND.error.message)


def invalid(message: str, hint: str = "") -> InvalidField:
    """For a parameter that cannot be used."""
    return InvalidField(message, hint=hint)
