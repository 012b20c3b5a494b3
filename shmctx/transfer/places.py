"""Lines of the event log by their places, one after the other: read in a run where they lie close, singly where not."""

from collections.abc import Iterator

import msgspec

from shmctx.errors import LogDamaged
from shmctx.log.reader import LogReader
from shmctx.refs import parse_ref
from shmctx.transfer.embedding import Origin

NEAR = 64 << 10
"""Bytes between two lines up to which reading what lies between is cheaper than a read of its own."""


class LoggedEvent(msgspec.Struct, frozen=True):
    """A line of the event log, its values still JSON."""

    ref: str
    timestamp: msgspec.Raw
    event_name: msgspec.Raw
    data: msgspec.Raw
    origin: Origin | None = None


_decode = msgspec.json.Decoder(LoggedEvent).decode
_FORGOTTEN = b'{"forgotten":'


class Places:
    """Finds events in a log whose places mostly ascend. Holds one line at a time. Raises LogUnavailable."""

    def __init__(self, reader: LogReader, store_id: int) -> None:
        self._reader = reader
        self._store_id = store_id
        self._scan: Iterator[tuple[int, bytes]] = iter(())
        self._scanning = False
        self._last = 0, 0
        self.expired = 0
        """Lines met that were blanked, as retention and forgetting do."""
        self.missing = 0
        """Places at which the event's line was not: gone, cut off, or damaged."""

    def event(self, number: int, offset: int, position: int) -> LoggedEvent | None:
        """The event of a position, whose line begins there; None, counted, where it is not there."""
        line = self._line(number, offset)
        if line is not None and line.startswith(_FORGOTTEN):
            self.expired += 1
            return None
        found = None if line is None else _decoded(line)
        if found is None or parse_ref(found.ref) != (self._store_id, position):
            self.missing += 1
            return None
        return found

    def _line(self, number: int, offset: int) -> bytes | None:
        near = self._last[0] == number and 0 <= offset - self._last[1] <= NEAR
        self._last = number, offset
        if not near:
            self._scanning = False
            return self._reader.line(number, offset)
        if not self._scanning:
            self._scan = self._reader.scan(number, offset)
            self._scanning = True
        try:
            for at, line in self._scan:
                if at >= offset:
                    return line if at == offset else self._lost(number, offset)
        except LogDamaged:
            pass
        return self._lost(number, offset)

    def _lost(self, number: int, offset: int) -> bytes | None:
        """The run ended, at a damaged frame or where the log ended when it was read; or it was not where it should."""
        self._scanning = False
        return self._reader.line(number, offset)


def _decoded(line: bytes) -> LoggedEvent | None:
    """The event of a line; None for what is none, and for text that is not UTF-8."""
    try:
        if not line.isascii():
            line.decode()
        found = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return found if memoryview(found.data)[0] == ord("{") else None
