"""Taking lines and segments out of the log, under the directory's lock."""

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from shmctx.errors import LogDamaged, LogUnavailable
from shmctx.log import files, seekable
from shmctx.log.files import Segment
from shmctx.log.sources import line_at, line_in

FORGOTTEN = b'{"forgotten":true}'
"""What stands in a line that was blanked, followed by spaces up to the length it had."""
LOCK_TIMEOUT = 5.0
"""Seconds to wait for another process that rewrites a segment."""


def blank(directory: Path, number: int, offsets: Iterable[int], *, timeout: float = LOCK_TIMEOUT) -> int:
    """Overwrite the lines that begin at these offsets, from any process, durably; all places stay valid.

    In place where the segment is not compressed. A compressed one is rewritten: frames that none of the lines is in
    are copied as they are. A crash leaves a line as it was or blank, or, not compressed, the first part of it blank;
    doing it again completes it, and changes nothing otherwise. A segment that is gone has nothing to forget. Returns
    the bytes that the disk has won.

    Raises LogDamaged, before anything is changed, where no line begins at an offset or its frame cannot be read, and
    LogUnavailable, also if another process keeps the directory's lock for `timeout` seconds.
    """
    wanted = sorted(set(offsets))
    with files.translated(directory), _locked(directory, timeout) as there:
        segment = files.by_number(directory).get(number) if there else None
        if segment is None or not wanted:
            return 0
        if not segment.compressed:
            _blank_in_place(segment, wanted)
            # Its compression may have read the lines already; without its file it begins again.
            files.drop_temporaries(directory, segment.path.name)
            return 0
        segment.path.with_suffix("").unlink(missing_ok=True)  # the compressed form is whole, whatever ended compression
        return _blank_in_frames(segment, wanted)


def remove(directory: Path, number: int, *, timeout: float = LOCK_TIMEOUT) -> int:
    """Remove a segment, which is never the newest (ValueError): that one is being written. Returns the bytes it had.

    Raises LogUnavailable, also if another process keeps the directory's lock for `timeout` seconds.
    """
    with files.translated(directory), _locked(directory, timeout) as there:
        segments = files.every(directory) if there else []
        if segments and number >= segments[-1].number:
            raise ValueError(f"Segment {number} of the event log is the newest, which is never removed.")
        found = [segment for segment in segments if segment.number == number]
        for segment in found:
            segment.path.unlink(missing_ok=True)
            files.drop_temporaries(directory, segment.path.name)
        if found:
            files.sync_directory(directory)
        return sum(segment.size for segment in found)


@contextlib.contextmanager
def _locked(directory: Path, timeout: float) -> Iterator[bool]:
    """Under the directory's lock; False if there is no directory."""
    if not directory.is_dir():
        yield False
        return
    with files.exclusive(directory, timeout) as held:
        if not held:
            raise LogUnavailable(
                f"Another process has been rewriting a segment of the event log {directory} for {timeout} s.",
                hint="Try again; if it is stopped, resume or end it.",
            )
        yield True


def _blanked(line: bytes | None, name: str, offset: int) -> bytes:
    """What is to stand in the place of the line. Raises LogDamaged where there is none."""
    if line is None:
        raise LogDamaged(f"No line begins at byte {offset} of segment {name} of the event log.")
    return (FORGOTTEN if len(line) >= len(FORGOTTEN) else b"").ljust(len(line))


def _blank_in_place(segment: Segment, offsets: list[int]) -> None:
    with files.opened(segment.path, os.O_RDWR | os.O_NOFOLLOW) as descriptor:
        blanked = [_blanked(line_at(descriptor, offset), segment.path.name, offset) for offset in offsets]
        for offset, line in zip(offsets, blanked, strict=True):
            files.write_all(descriptor, line, offset)
        os.fdatasync(descriptor)


def _blank_in_frames(segment: Segment, offsets: list[int]) -> int:
    with files.opened(segment.path, os.O_RDONLY | os.O_NOFOLLOW) as source:
        frames = seekable.Frames.read(source, segment.path.name)
        groups = itertools.groupby(offsets, frames.index)
        blanked = {index: _blanked_frame(frames, source, index, list(group)) for index, group in groups}
        with files.temporary(segment.path) as (unfinished, descriptor):
            sizes = []
            position = 0
            for index in range(len(frames)):
                frame = blanked.get(index) or frames.stored(source, index)
                files.write_all(descriptor, frame, position)
                position += len(frame)
                sizes.append((len(frame), frames.starts[index + 1] - frames.starts[index]))
            files.write_all(descriptor, seekable.seek_table(sizes), position)
            os.fsync(descriptor)
            size = os.fstat(descriptor).st_size
            unfinished.rename(segment.path)
    files.sync_directory(segment.path.parent)
    return segment.size - size


def _blanked_frame(frames: seekable.Frames, source: int, index: int, offsets: list[int]) -> bytes:
    """The frame without these lines, compressed."""
    inside = 0 <= index < len(frames)
    text = bytearray(frames.text(source, index) if inside else b"")
    for offset in offsets:
        begin = offset - frames.starts[index] if inside else 0
        line = _blanked(line_in(text, begin), frames.name, offset)
        text[begin : begin + len(line)] = line
    return seekable.compress_frame(text)
