"""Moments as people write them: an age, seconds since 1970, or an ISO time."""

import re
import time
from datetime import datetime

from shmctx.errors import InvalidField

_AGE = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)(?: ago)?")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SECONDS = re.compile(r"\d+(\.\d+)?")


def moment(text: str) -> float:
    """Seconds since 1970 (UTC) from an age (`10m`, `10m ago`), seconds since 1970, or an ISO time, local unless it has
    a zone. Raises InvalidField."""
    match = _AGE.fullmatch(text)
    if match:
        return time.time() - float(match[1]) * _UNITS[match[2]]
    try:
        return float(text) if _SECONDS.fullmatch(text) else datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise InvalidField(
            f"{text!r} is no time; write 10m, 2h, 1d, 2026-01-31T12:00 or seconds since 1970."
        ) from None
