"""Compressing a rotated segment, frame by frame, so that the leader can do a little at a time."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

from shmctx.log import files, seekable
from shmctx.log.files import Segment
from shmctx.log.seekable import FRAME_BYTES, MAX_FRAME

_CHUNK = 256 << 10


def compress(segment: Segment) -> Generator[bool]:
    """A step for every frame of about 64 KiB, one to sync, one to give the new file its name and remove the old.

    Yields False where another process holds the directory's lock: the step is to be tried again later.

    Whatever ends it between two steps, the segment is whole under one of its names. Who blanks lines in the old file
    removes the new one that is being made from it (see `erase.blank`): then this ends without having done anything.
    """
    target = segment.path.with_name(segment.path.name + files.COMPRESSED)
    with files.opened(segment.path, os.O_RDONLY) as source, files.temporary(target) as (unfinished, descriptor):
        sizes = []
        position = 0
        for text in frames_of(source):
            frame = seekable.compress_frame(text)
            files.write_all(descriptor, frame, position)
            position += len(frame)
            sizes.append((len(frame), len(text)))
            yield True
        files.write_all(descriptor, seekable.seek_table(sizes), position)
        os.fsync(descriptor)
        yield True
        while not _publish(unfinished, target, segment.path):
            yield False


def _publish(unfinished: Path, target: Path, source: Path) -> bool:
    """False if another process holds the directory's lock: it may be stopped, and the leader waits for nobody."""
    with files.exclusive(target.parent, 0) as held:
        if held and unfinished.exists():
            unfinished.rename(target)
            files.sync_directory(target.parent)
            source.unlink(missing_ok=True)
        return held


def frames_of(descriptor: int) -> Iterator[bytes]:
    """The file's text in pieces of whole lines, each of 64 KiB at most unless one line is longer."""
    text = b""
    position = 0
    ended = False
    while text or not ended:
        cut = text.rfind(b"\n", 0, FRAME_BYTES) + 1 or text.find(b"\n", FRAME_BYTES) + 1
        if not ended and (len(text) < FRAME_BYTES or (not cut and len(text) < MAX_FRAME)):
            # As much again as there is: a long line is not searched and copied for every chunk of it.
            more = os.pread(descriptor, max(_CHUNK, len(text)), position)
            position += len(more)
            text += more
            ended = not more
        else:
            cut = min(cut or len(text), MAX_FRAME)
            yield text[:cut]
            text = text[cut:]
