"""Event data that only the log has any more: the database says where, the log's files say what."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shmctx.cold import questions
from shmctx.cold.questions import FileRead, Steps
from shmctx.refs import parse_ref

if TYPE_CHECKING:
    from shmctx.log.reader import LogReader


def default_directory(database: Path) -> Path:
    """Where the event log lies unless somebody says otherwise: beside its database."""
    return database.with_suffix(".events")


def directory_of(database: Path, named: str | None) -> Path:
    """Where the event log lies, given what its database says."""
    return Path(named) if named else default_directory(database)


def encode_line(ref: str, time_ns: int, name: bytes, data: bytes) -> bytes:
    """One lean event, given its name and data as JSON: a line of the log without its newline."""
    return b'{"ref":"%b","timestamp":%b,"event_name":%b,"data":%b}' % (
        ref.encode(),
        repr(time_ns / 1_000_000_000).encode(),
        name,
        data,
    )


class Line(msgspec.Struct, frozen=True):
    """What is read back of a line."""

    ref: str = ""
    data: msgspec.Raw = msgspec.Raw()


decode_line = msgspec.json.Decoder(Line).decode


class Logged:
    """Reads event data from the log of one database."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._reader: LogReader | None = None

    def data_at(self, positions: Sequence[int]) -> Steps[dict[int, bytes | None]]:
        """The JSON of the events at these positions; None where there is none, or not any more."""
        places: dict[int, tuple[int, int]] = {}
        for start in range(0, len(positions), questions.CHUNK):
            places |= yield questions.log_places(positions[start : start + questions.CHUNK])
        if not places:
            return dict.fromkeys(positions)
        reader = yield from self.reader()
        order = list(places)
        lines: list[bytes | None] = yield FileRead(lambda: reader.lines([places[position] for position in order]))
        found = {position: _data(line, position) for position, line in zip(order, lines, strict=True)}
        return dict.fromkeys(positions) | found

    def reader(self) -> Steps["LogReader"]:
        """The reader of the log's files."""
        from shmctx.log.reader import LogReader  # neither zstd nor files are needed by `import shmctx`

        if self._reader is None:
            directory: str | None = yield questions.log_directory()
            self._reader = LogReader(directory_of(self._database, directory))
        return self._reader


def _data(line: bytes | None, position: int) -> bytes | None:
    """The data of a line, if it is this event's: files can be damaged or exchanged."""
    if line is None:
        return None
    try:
        decoded = decode_line(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    parsed = parse_ref(decoded.ref)
    return bytes(decoded.data) if parsed is not None and parsed[1] == position else None
