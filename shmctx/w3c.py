"""W3C Trace Context and Baggage as text, and the ids in them that a context has.

Nothing here knows a store. What comes from outside is parsed by the rules of the recommendations
(https://www.w3.org/TR/trace-context/ level 1, https://www.w3.org/TR/baggage/); what breaks them counts as absent, never
as an error: a request with a damaged header is still a request.
"""

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

SAMPLED = 1
"""The trace flag that says: the caller recorded this."""
SPAN_PREFIX = "span_"
"""Before the 16 hex digits of a foreign span, in the event id that stands for it."""

MAX_TRACESTATE_MEMBERS, MAX_TRACESTATE = 32, 512  # characters
MAX_BAGGAGE_MEMBERS, MAX_BAGGAGE = 64, 8192  # bytes

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}", re.ASCII)
_SPAN_EVENT = re.compile(SPAN_PREFIX + r"(?!0{16})([0-9a-f]{16})", re.ASCII)
_STATE_KEY = r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
_STATE_MEMBER = re.compile(rf"({_STATE_KEY})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e])")
_BAGGAGE_KEY = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_BAGGAGE_SAFE = "!#$&'()*+-./:<=>?@[]^_`{|}~"
"""What a value of baggage may hold unescaped, but the percent sign: quote() adds letters and digits."""
_LONGEST = 16_384  # characters; nothing valid is nearly so long, so nothing longer is looked at


class Traceparent(NamedTuple):
    """Which trace, which span in it, and whether the caller recorded it."""

    trace_id: str
    """32 lower-case hex digits, not all zero."""
    span_id: str
    """16 lower-case hex digits, not all zero."""
    flags: int = SAMPLED

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def trace_id(correlation_id: str) -> str:
    """The trace of a correlation: the id itself where it is a trace id, else 128 bits of BLAKE2b of it."""
    return correlation_id if _TRACE_ID.fullmatch(correlation_id) else _digest(correlation_id, 16)


def span_id(event_id: str) -> str:
    """The span of an event: XXXX of `span_XXXX`, else 64 bits of BLAKE2b of the id."""
    foreign = _SPAN_EVENT.fullmatch(event_id)
    return foreign[1] if foreign else _digest(event_id, 8)


def _digest(text: str, size: int) -> str:
    digest = blake2b(text.encode(), digest_size=size).hexdigest()
    return digest if digest.strip("0") else digest[:-1] + "1"  # all zero means: none


def parse_traceparent(text: str | None) -> Traceparent | None:
    """The parts of a `traceparent`; None for none, and for one that breaks the rules.

    A version above 00 is read as far as 00 goes, as the recommendation asks; ff is none.
    """
    found = _TRACEPARENT.fullmatch(text.strip(" \t")) if text and len(text) < _LONGEST else None
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None) or not trace.strip("0") or not span.strip("0"):
        return None
    return Traceparent(trace, span, int(flags, 16) & SAMPLED)


def parse_tracestate(text: str | None) -> dict[str, str]:
    """The members of a `tracestate`, in their order; none at all where one of them breaks the rules."""
    if not text or len(text) > _LONGEST:
        return {}
    members: dict[str, str] = {}
    for member in text.split(","):
        if not (member := member.strip(" \t")):
            continue
        found = _STATE_MEMBER.fullmatch(member)
        if found is None or found[1] in members:
            return {}
        members[found[1]] = found[2]
    return members if len(members) <= MAX_TRACESTATE_MEMBERS else {}


def format_tracestate(members: Mapping[str, str]) -> str:
    """As a header, the first ones first, as many as 512 characters and 32 members hold."""
    return _joined((f"{key}={value}" for key, value in members.items()), MAX_TRACESTATE_MEMBERS, MAX_TRACESTATE)


def parse_baggage(text: str | None) -> dict[str, str]:
    """The values in a `baggage`, decoded; properties are dropped, and members that break the rules."""
    values: dict[str, str] = {}
    if not text or len(text) > _LONGEST:
        return values
    for member in text.split(",")[:MAX_BAGGAGE_MEMBERS]:
        key, equals, value = member.partition(";")[0].partition("=")
        if equals and _BAGGAGE_KEY.fullmatch(key := key.strip(" \t")):
            try:
                values[key] = unquote_to_bytes(value.strip(" \t")).decode()
            except UnicodeError:
                continue
    return values


def format_baggage(values: Mapping[str, str], others: str | None = None) -> str:
    """Values percent-encoded as a header, and behind them the members of `others` under other keys, untouched.

    As many as 8192 bytes and 64 members hold.
    """
    ours = [f"{key}={quote(value, safe=_BAGGAGE_SAFE)}" for key, value in values.items()]
    theirs = [member.strip(" \t") for member in (others or "").split(",")]
    kept = [member for member in theirs if member and member.partition("=")[0].strip(" \t") not in values]
    return _joined([*ours, *kept], MAX_BAGGAGE_MEMBERS, MAX_BAGGAGE)


def _joined(members: Iterable[str], most: int, longest: int) -> str:
    """Those of the members that fit, joined by commas."""
    kept: list[str] = []
    length = -1
    for member in members:
        if len(kept) < most and length + 1 + len(member) <= longest:
            kept.append(member)
            length += 1 + len(member)
    return ",".join(kept)
