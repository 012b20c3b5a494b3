"""Appending to the event log: the leader's side."""

import datetime as dt
import itertools
import math
from collections.abc import Generator, Sequence
from pathlib import Path

import msgspec

from shmctx.log import files
from shmctx.log.compress import compress
from shmctx.log.files import Segment
from shmctx.log.newest import NewestSegment

_DAY_NS = 86_400 * 10**9
_EPOCH = dt.date(1970, 1, 1)
_LAST_NS = (1 << 63) - 1
_END = object()
Placed = tuple[int, list[int]]
"""Lines in a row: the number of their segment, and the byte offset of each."""


class LogTail(msgspec.Struct, frozen=True):
    """How far the log is written. The database keeps the committed one, in the transaction of the rows.

    The segment of a tail with size 0 is still to be made, for an event of `day` or later ("": of any day).
    """

    number: int
    day: str
    size: int
    """Bytes of the segment's text."""


class LogWriter:
    """Writes the log. Used by one thread. Methods raise LogUnavailable; nothing is committed then, and `open` with the
    tail that the database has, or `undo`, puts the log in order again.

    A batch: `append`, `sync`, then the database's transaction with the last tail; `undo` if that fails. An `append`
    or `maintain` takes what was appended before for committed.

    `rotate_bytes`: a segment does not grow beyond it, unless by its first line. A segment is also rotated when an event
    of a later UTC day comes; when the clock goes back, the day stays.
    """

    def __init__(self, directory: Path, *, rotate_bytes: int) -> None:
        self.directory = directory
        self.lost: list[str] = []
        """What the log has lost or put aside since the caller last took the messages out."""
        self._rotate_bytes = rotate_bytes
        self._committed = self._tail = LogTail(1, "", 0)
        self._newest: NewestSegment | None = None
        self._rotated: list[NewestSegment] = []
        """Left by the last append, which may be undone."""
        self._undone: list[NewestSegment] = []
        """Made by an append that was undone."""
        self._unsynced_names = False
        self._compressing: Generator[bool] | None = None
        self._all_compressed = False

    @property
    def tail(self) -> LogTail:
        """Where the next line goes."""
        return self._tail

    def open(self, tail: LogTail | None) -> LogTail:
        """Make the directory what the database says it is: remove what no transaction covers. Also to open it again.

        Returns the tail. Where it is another one than the database has, commit it before the first append: then a crash
        in that append is told from the files of another database, which are never touched.
        """
        with files.translated(self.directory):
            self.close()
            files.make_directory(self.directory)
            self._drop_leftovers()
            self._committed = self._tail = self._resume(tail)
            self._all_compressed = False
        return self._tail

    def _drop_leftovers(self) -> None:
        """What a crash left: unfinished files, and sources of finished ones."""
        (self.directory / f"{files.CURRENT}{files.TEMPORARY}").unlink(missing_ok=True)
        with files.exclusive(self.directory, 0) as held:
            if held:  # else somebody is at work on a temporary file
                files.drop_temporaries(self.directory)
        found = files.every(self.directory)
        compressed = {segment.number for segment in found if segment.compressed}
        for segment in found:
            if not segment.compressed and segment.number in compressed:
                segment.path.unlink(missing_ok=True)

    def _resume(self, tail: LogTail | None) -> LogTail:
        segments = files.every(self.directory)
        if tail is None:
            return self._after(segments, "") if segments else LogTail(1, "", 0)
        beyond = [segment for segment in segments if segment.number >= tail.number]
        if any(segment.compressed for segment in beyond):  # only committed segments are compressed
            self.lost.append(
                f"The event log {self.directory} goes on behind segment {tail.number}, where its database ends: the "
                "database was restored from a backup, or is another log's. Segments stay; new events go behind them."
            )
            return self._after(segments, tail.day)
        for segment in beyond:
            if segment.number > tail.number or not tail.size:
                segment.path.unlink(missing_ok=True)
        if not tail.size:
            return tail
        path = self.directory / files.file_name(tail.number, tail.day)
        if any(segment.path == path for segment in beyond):
            self._newest = NewestSegment.take(path, tail.number, tail.day, tail.size)
        return tail if self._newest else self._lose(path, tail)

    @staticmethod
    def _after(segments: Sequence[Segment], day: str) -> LogTail:
        return LogTail(segments[-1].number + 1, day, 0)

    def _lose(self, path: Path, tail: LogTail) -> LogTail:
        self.lost.append(
            f"{path}, a file of the event log, was removed or cut short: events before this are missing in it."
        )
        return LogTail(tail.number + 1, tail.day, 0)

    def append(self, lines: Sequence[bytes], times_ns: Sequence[int]) -> tuple[list[Placed], list[LogTail]]:
        """Write lines, given without newline, of events of these times (ns since 1970), in one write a segment.

        Returns where the lines are, in order, and the tails of the segments touched, the last one being where the log
        ends now. Raises LogUnavailable, with nothing appended.
        """
        with files.translated(self.directory):
            self._settle()
            self._tidy()
            try:
                return self._append(lines, times_ns)
            except BaseException:
                self.undo()
                raise

    def _tidy(self) -> None:
        """What is in the files is what was committed, or else the log goes on in a new segment."""
        if self._newest is not None and not self._newest.check():
            self._committed = self._tail = self._lose(self._newest.path, self._tail)
            self._newest.close()
            self._newest = None
        if self._undone:
            for segment in self._undone:
                segment.discard()
            self._undone = []
            if self._newest is not None:
                self._newest.show()

    def _append(self, lines: Sequence[bytes], times_ns: Sequence[int]) -> tuple[list[Placed], list[LogTail]]:
        if not lines:
            return [], []
        number, day, size = self._tail.number, self._tail.day, self._tail.size
        day_end = _end_of(day)
        if size and max(times_ns) < day_end:  # most batches end before the segment does
            offsets = list(itertools.accumulate([len(line) + 1 for line in lines], initial=size))
            if offsets.pop() <= self._rotate_bytes:
                return [(number, offsets)], self._write(number, day, lines)
        places: list[Placed] = []
        tails: list[LogTail] = []
        first, offsets = 0, []
        for index, (line, time_ns) in enumerate(zip(lines, times_ns, strict=True)):
            length = len(line) + 1
            if time_ns >= day_end or size + length > self._rotate_bytes:
                if size:
                    tails += self._write(number, day, lines[first:index])
                    if offsets:
                        places.append((number, offsets))
                    number, size, first, offsets = number + 1, 0, index, []
                day = max(day, _day_of(time_ns))
                day_end = _end_of(day)
            offsets.append(size)
            size += length
        tails += self._write(number, day, lines[first:])
        return [*places, (number, offsets)], tails

    def _write(self, number: int, day: str, lines: Sequence[bytes]) -> list[LogTail]:
        if not lines:
            return []
        data = b"\n".join(lines) + b"\n"
        if data.count(b"\n") != len(lines):  # a newline that is not within a JSON string is mere space
            data = b"\n".join(line.replace(b"\n", b" ") for line in lines) + b"\n"
        if self._newest is None or self._newest.number != number:
            new = NewestSegment.create(self.directory, number, day)
            if self._newest is not None:
                self._rotated.append(self._newest)
            self._newest = new
            self._unsynced_names = True
            self._all_compressed = False
        self._newest.append(data)
        self._tail = LogTail(number, day, self._newest.size)
        return [self._tail]

    def sync(self) -> None:
        """All that was appended to disk, names included: before the database commits."""
        with files.translated(self.directory):
            for segment in self._open_segments():
                segment.sync()
            if self._unsynced_names:
                files.sync_directory(self.directory)
                self._unsynced_names = False

    def _open_segments(self) -> list[NewestSegment]:
        return [*self._rotated, self._newest] if self._newest else []

    def undo(self) -> None:
        """Take the last append back: its transaction failed.

        The lines leave the files before the next append, or with the next `open`. Until then a transaction that was
        written and not synced may turn up again, when the database recovers from a crash, and it needs them.
        """
        touched = self._open_segments()
        kept = touched.pop(0) if touched and self._committed.size else None
        self._undone += touched
        self._rotated = []
        self._newest = kept
        self._tail = self._committed
        if kept is not None:
            kept.size = self._committed.size

    def _settle(self) -> None:
        """What was appended is committed."""
        for segment in self._rotated:
            segment.close()
        self._rotated = []
        self._committed = self._tail

    def maintain(self, *, frames: int = 2) -> bool:
        """Go on compressing the oldest rotated segment, by so many frames of about 64 KiB and 1 ms each; the last steps
        sync the new file and remove the old one. Between batches. False if there is nothing to do now.
        """
        with files.translated(self.directory):
            self._settle()
            for _ in range(frames):
                if self._compressing is None:
                    segment = self._next_to_compress()
                    if segment is None:
                        return False
                    self._compressing = compress(segment)
                step = next(self._compressing, _END)
                if step is _END:
                    self._compressing = None
                elif not step:
                    return False
            return True

    def _next_to_compress(self) -> Segment | None:
        if self._all_compressed:
            return None
        segments = files.by_number(self.directory).values()
        rotated = (segment for segment in segments if segment.number < self._tail.number and not segment.compressed)
        found = next(rotated, None)
        self._all_compressed = found is None
        return found

    def close(self) -> None:
        """Let another process write the log. What was appended and is in no transaction, its `open` removes."""
        if self._compressing is not None:
            self._compressing.close()
            self._compressing = None
        for segment in (*self._undone, *self._open_segments()):
            segment.close()
        self._undone, self._rotated, self._newest = [], [], None


def _day_of(time_ns: int) -> str:
    """The UTC day, also of a time from a clock gone wild."""
    return (_EPOCH + dt.timedelta(days=min(max(time_ns, 0), _LAST_NS) // _DAY_NS)).isoformat()


def _end_of(day: str) -> float:
    """Where the day ends, in ns since 1970; before all times if no day is given."""
    if not day:
        return -math.inf
    return ((dt.date.fromisoformat(day) - _EPOCH).days + 1) * _DAY_NS
