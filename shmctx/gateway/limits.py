"""How much one client may ask of the gateway."""

import time
from collections.abc import Callable

import msgspec

KiB, MiB = 1 << 10, 1 << 20


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway gives to whom at most."""

    body: int = MiB
    """Bytes of a request's body."""
    response: int = 8 * MiB
    """Bytes of an answer; pages end before it."""
    rate: float = 200.0
    """Requests a second of one client: an address, or everybody on a Unix socket. 0: no limit."""
    burst: float = 400.0
    """As many at once after a pause."""
    connections: int = 512
    """At once; what is more is answered 503 and closed."""
    request_seconds: float = 10.0
    """From the beginning of a request to its end."""
    queued: int = 10_000
    """Events that wait for one live client; what is more is missed."""
    queued_bytes: int = 32 * MiB
    message: int = 64 * KiB
    """Bytes of a WebSocket message from a client."""


class Buckets:
    """A bucket of tokens for every client, filled with the time."""

    _MOST = 4096  # clients that are remembered

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = max(burst, 1.0)
        self._clock = clock
        self._tokens: dict[str, tuple[float, float]] = {}

    def wait(self, client: str) -> float:
        """Take a token. Seconds until there is one where there is none; 0 where it was taken."""
        if not self._rate:
            return 0.0
        now = self._clock()
        tokens, filled = self._tokens.get(client) or (self._burst, now)
        tokens = min(self._burst, tokens + (now - filled) * self._rate)
        taken = tokens >= 1
        if len(self._tokens) >= self._MOST and client not in self._tokens:
            self._forget(now)
        self._tokens[client] = tokens - taken, now
        return 0.0 if taken else (1 - tokens) / self._rate

    def _forget(self, now: float) -> None:
        """Drop whoever has a full bucket by now, and if nobody has, those who asked longest ago."""
        full = self._burst / self._rate
        kept = {client: held for client, held in self._tokens.items() if now - held[1] < full}
        self._tokens = dict(sorted(kept.items(), key=lambda item: item[1][1])[-self._MOST // 2 :])
