"""Event data that only the log has any more: the database says where, the log's files say what."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shmctx.cold import questions
from shmctx.cold.questions import FileRead, Steps
from shmctx.records import StoredEvent
from shmctx.refs import parse_ref

if TYPE_CHECKING:
    from shmctx.log.reader import LogReader


def default_directory(database: Path) -> Path:
    """Where the event log lies unless somebody says otherwise: beside its database."""
    return database.with_suffix(".events")


def directory_of(database: Path, named: str | None) -> Path:
    """Where the event log lies, given what its database says."""
    return Path(named) if named else default_directory(database)


class _Lean(msgspec.Struct, gc=False):
    """A line as it is written, up to its origin."""

    ref: str
    timestamp: float | msgspec.Raw
    event_name: str
    data: msgspec.Raw


_encode = msgspec.json.Encoder().encode


def encode_line(ref: str, event: StoredEvent, time_ns: int) -> bytes:
    """One lean event that has data: a line of the log without its newline."""
    assert event.data is not None
    timestamp = msgspec.Raw(event.logged) if event.logged else time_ns / 1_000_000_000
    line = _encode(_Lean(ref, timestamp, event.event_name, msgspec.Raw(event.data)))
    return b'%b,"origin":%b}' % (line[:-1], event.origin) if event.origin else line


class Line(msgspec.Struct, frozen=True):
    """What is read back of a line."""

    ref: str = ""
    timestamp: msgspec.Raw = msgspec.Raw()
    data: msgspec.Raw = msgspec.Raw()
    origin: msgspec.Raw = msgspec.Raw()


decode_line = msgspec.json.Decoder(Line).decode


class Logged:
    """Reads event data from the log of one database."""

    def __init__(self, database: Path, store_id: int) -> None:
        self._database = database
        self._store_id = store_id
        self._reader: LogReader | None = None

    def lines_at(self, positions: Sequence[int]) -> Steps[dict[int, Line | None]]:
        """The lines of the events at these positions; None where there is none, or not any more."""
        places: dict[int, tuple[int, int]] = {}
        for start in range(0, len(positions), questions.CHUNK):
            places |= yield questions.log_places(positions[start : start + questions.CHUNK])
        if not places:
            return dict.fromkeys(positions)
        lines = yield from self._lines(list(places.values()))
        found = {position: self._line(line, position) for position, line in zip(places, lines, strict=True)}
        return dict.fromkeys(positions) | found

    def data_at(self, positions: Sequence[int]) -> Steps[dict[int, bytes | None]]:
        """The JSON of the events at these positions; None where there is none, or not any more."""
        lines = yield from self.lines_at(positions)
        return {position: None if line is None else bytes(line.data) for position, line in lines.items()}

    def _lines(self, places: Sequence[tuple[int, int]]) -> Steps[list[bytes | None]]:
        reader = yield from self.reader()
        lines: list[bytes | None] = yield FileRead(lambda: reader.lines(places))
        if None in lines:
            moved = yield from self.reader(anew=True)
            if moved is not reader:
                lines = yield FileRead(lambda: moved.lines(places))
        return lines

    def reader(self, *, anew: bool = False) -> Steps["LogReader"]:
        """The reader of the log's files; `anew`: look whether the directory is another one by now."""
        from shmctx.log.reader import LogReader  # neither zstd nor files are needed by `import shmctx`

        if self._reader is None or anew:
            named: str | None = yield questions.log_directory()
            directory = directory_of(self._database, named)
            if self._reader is None or self._reader.directory != directory:
                self._reader = LogReader(directory)
        return self._reader

    def _line(self, line: bytes | None, position: int) -> Line | None:
        """A line, if it is this event's: files can be damaged or exchanged."""
        if line is None:
            return None
        try:
            decoded = decode_line(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return decoded if parse_ref(decoded.ref) == (self._store_id, position) else None
