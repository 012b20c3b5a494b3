"""Headers of HTTP, as ASGI has them, and the context in them."""

import re
from collections.abc import Iterable
from urllib.parse import quote

from shmctx import w3c
from shmctx.context import Context

Header = tuple[bytes, bytes]

_ID = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)


def is_id(text: str) -> bool:
    """Whether a caller's correlation id is taken: 1 to 128 visible ASCII characters."""
    return _ID.fullmatch(text) is not None


def by_name(headers: Iterable[Header]) -> dict[str, str]:
    """Names in lower case; several of one name are one list, as HTTP has it."""
    found: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]},{text}" if key in found else text
    return found


def answering(context: Context, headers: Iterable[Header], correlation_header: str) -> list[Header]:
    """An answer's headers, with the two that tell the context behind them, unless the application gave its own."""
    correlation = context.correlation_id
    if not is_id(correlation):  # somebody may have put any text; a header must not end within it
        correlation = quote(correlation)
    parent = w3c.Traceparent(w3c.trace_id(context.correlation_id), w3c.span_id(context.event_id))
    given = list(headers)
    names = {bytes(name).lower() for name, _ in given}
    ours = ((correlation_header, correlation), ("traceparent", str(parent)))
    return given + [(name.encode(), value.encode()) for name, value in ours if name.encode() not in names]
