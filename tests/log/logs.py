"""What the tests of the event log share: a leader that keeps its tail as a database would, and lines of events."""

import json
import random
import time
from pathlib import Path

from shmctx.log import files
from shmctx.log.reader import LogReader
from shmctx.log.writer import LogTail, LogWriter

DAY = 86_400 * 10**9
NOON = 20_513 * DAY + DAY // 2  # 2026-03-01 12:00 UTC


def line(n: int, size: int = 0) -> bytes:
    """An event's line, of `size` bytes or what it takes, never the same twice."""
    text = {"ref": f"ctx_{n:016x}", "event_name": "agent:status", "data": {"n": n, "text": ""}}
    text["data"]["text"] = "x" * max(0, size - len(json.dumps(text)))
    return json.dumps(text).encode()


def varied(seed: int, count: int) -> list[bytes]:
    """Lines that compress about as events do, of 60 to 600 bytes."""
    words = ("agent", "status", "evaluate", "transformer", "profile", "routing", "memory", "latency")
    chosen = random.Random(seed)
    texts = (" ".join(chosen.choices(words, k=chosen.randrange(60))) for _ in range(count))
    return [json.dumps({"ref": f"ctx_{n:016x}", "data": {"text": text}}).encode() for n, text in enumerate(texts)]


def each(placed) -> list[tuple[int, int]]:
    """The place of every line that was appended: (segment number, byte offset)."""
    return [(number, offset) for number, offsets in placed for offset in offsets]


class Log:
    """The event log of a leader: a writer, the committed tail, and every committed line with its place."""

    def __init__(self, directory: Path, rotate_bytes: int = 1000) -> None:
        self.directory = directory
        self.rotate_bytes = rotate_bytes
        self.tail: LogTail | None = None
        self.places: dict[tuple[int, int], bytes] = {}
        self.reader = LogReader(directory)
        self.writer = self.lead()

    def lead(self) -> LogWriter:
        """A new leader's writer, opened where the committed tail is."""
        self.writer = LogWriter(self.directory, rotate_bytes=self.rotate_bytes)
        self.tail = self.writer.open(self.tail)
        return self.writer

    def append(self, lines: list[bytes], time_ns: int = NOON) -> list[tuple[int, int]]:
        """Append and commit; returns the places."""
        placed, tails = self.writer.append(lines, [time_ns] * len(lines))
        places = each(placed)
        self.writer.sync()
        self.tail = tails[-1]
        self.places.update(zip(places, lines, strict=True))
        return places

    def compress(self) -> None:
        """Until nothing is left to compress."""
        deadline = time.monotonic() + 30
        while self.writer.maintain():
            assert time.monotonic() < deadline

    def scanned(self) -> dict[tuple[int, int], bytes]:
        """Every line that the files have, by its place."""
        return {
            (segment.number, offset): text
            for segment in self.reader.segments()
            for offset, text in self.reader.scan(segment.number)
        }

    def check(self) -> None:
        """Assert that what was committed is in the files, each line once, and is found at its place."""
        assert self.scanned() == self.places
        assert self.reader.lines(list(self.places)) == list(self.places.values())

    def names(self) -> list[str]:
        """The names in the directory."""
        return sorted(path.name for path in self.directory.iterdir())

    def newest(self) -> Path:
        """The file that is written."""
        return self.directory / files.file_name(self.tail.number, self.tail.day)

    def close(self) -> None:
        self.writer.close()
