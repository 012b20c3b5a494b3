"""Who acknowledged what: a file mapped by all processes of the demo.

Written through a shared mapping, it keeps what a process wrote before SIGKILL. A slot's mark is its last byte written,
so a slot is there entirely or not at all.
"""

import mmap
import os
import struct
import time
from pathlib import Path

_START = struct.Struct("<q")  # when to begin, in monotonic ns; 0: not yet
_READY = 16  # one byte for each process that is
_HEADER = 64
_PUT = struct.Struct("<20sI")  # the ref; ns that the put took
# Offsets in a slot; the follower's part is its own mark and the ns of the get.
_MARK, _READ_MARK, _HANDLED, _READ = 24, 25, 26, 28
_NS = struct.Struct("<I")
_SLOT = 32

MATCH, MISMATCH, MISSING = 1, 2, 3


class Ledger:
    """One slot for each event of the log, by its number. The ref is written by who put it, the rest by who read it."""

    def __init__(self, path: Path, events: int) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(fd, _HEADER + events * _SLOT)
            self._map = mmap.mmap(fd, 0)
        finally:
            os.close(fd)

    # ---- starting together ----

    def ready(self, number: int) -> None:
        """Say that process `number` waits for the start."""
        self._map[_READY + number] = 1

    def all_ready(self, count: int) -> bool:
        """Whether the first `count` processes wait."""
        return self._map[_READY : _READY + count] == b"\1" * count

    def start(self) -> int:
        """Let everybody begin; returns when, in monotonic ns."""
        now = time.monotonic_ns()
        _START.pack_into(self._map, 0, now)
        return now

    def started(self) -> int:
        """When to begin; 0 before that is known."""
        return int(_START.unpack_from(self._map, 0)[0])

    # ---- puts ----

    def acknowledge(self, event: int, ref: str, took: int) -> None:
        """The put of this event returned `ref` after `took` ns."""
        at = _HEADER + event * _SLOT
        _PUT.pack_into(self._map, at, ref.encode(), min(took, 0xFFFFFFFF))
        self._map[at + _MARK] = 1

    def acknowledged(self) -> int:
        """How many puts have returned."""
        return self._map[_HEADER + _MARK :: _SLOT].count(1)

    def ref(self, event: int) -> str | None:
        """The ref that was handed out for the event; None before that."""
        at = _HEADER + event * _SLOT
        return self._map[at : at + 20].decode() if self._map[at + _MARK] else None

    def put_ns(self, event: int) -> int:
        """How long the put took."""
        return int(_PUT.unpack_from(self._map, _HEADER + event * _SLOT)[1])

    def handled(self, event: int, verdict: int) -> None:
        """A handler was called with the event: MATCH or MISMATCH."""
        self._map[_HEADER + event * _SLOT + _HANDLED] = verdict

    def handler_verdict(self, event: int) -> int:
        """What the handler found; 0 if it was not called."""
        return self._map[_HEADER + event * _SLOT + _HANDLED]

    # ---- reads by another process ----

    def resolved(self, event: int, verdict: int, took: int) -> None:
        """Another process resolved the ref in `took` ns: MATCH, MISMATCH or MISSING."""
        at = _HEADER + event * _SLOT
        _NS.pack_into(self._map, at + _READ, min(took, 0xFFFFFFFF))
        self._map[at + _READ_MARK] = verdict

    def verdict(self, event: int) -> int:
        """What the reader found; 0 if it did not get there."""
        return self._map[_HEADER + event * _SLOT + _READ_MARK]

    def read_ns(self, event: int) -> int:
        """How long the get took."""
        return int(_NS.unpack_from(self._map, _HEADER + event * _SLOT + _READ)[0])

    def close(self) -> None:
        """Unmap the file."""
        self._map.close()
