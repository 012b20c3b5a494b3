"""Sources read in batches of arrivals, each with how far it brings its source. Nothing is asked of a database here, so
this can be done in another process than what comes after it."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from shmctx.payloads import HASH_BYTES
from shmctx.transfer import lines
from shmctx.transfer.arrivals import Arrival, arrival_of
from shmctx.transfer.forms import SourceEvent, Unfit
from shmctx.transfer.ledger import Counts, Progress
from shmctx.transfer.quick import quick_arrival
from shmctx.transfer.sources import BadLine, Ready, Sources, crc_of

Item = SourceEvent | BadLine | Ready[Arrival]
Done = Mapping[tuple[str, bytes], Progress]
"""How far sources were read before."""

RECORDS, BYTES = 4096, 4 << 20
"""Of one batch, about: what is held in memory does not depend on how much there is."""


class Batch(msgspec.Struct, tag="batch"):
    """What some lines of a source brought."""

    file: str
    progress: Progress
    """How far the source is read with it; its counts are of this batch alone."""
    anew: bool
    """Whether the source is read from its beginning."""
    arrived: list[tuple[int, Arrival]] = []
    """With the line."""
    bad: list[BadLine] = []
    read: int = 0
    """Bytes of all sources so far, as they lie there."""


def batches(sources: Sources, done: Done, store_id: int) -> Iterator[Batch]:
    """Everything that was not read before, for a store of this id. Raises SourceUnreadable."""
    before = 0
    for path in sources.logs:
        reading = _Reading(str(path), _resumed(path, done), store_id)
        for batch in reading.batches(sources.events_or(path, reading.progress.end, quick_arrival)):
            batch.read = before + sources.meter.read()
            yield batch
        before += lines.size(path)
    for database in sources.databases:
        name = str(database.path.absolute())
        reading = _Reading(str(database.path), done.get((name, b"")) or Progress(name, b""), store_id)
        yield from reading.batches(sources.contexts(database, reading.progress.end))


def _resumed(path: Path, done: Done) -> Progress:
    """How far a log was read: not at all if it is another one by now, or standard input."""
    if path == lines.STDIN:
        return Progress(str(path), b"")
    fresh = Progress(str(path.absolute()), _digest(next((line.text for line in lines.read(path)), b"")))
    found = done.get(fresh.key)
    if found is None:
        return fresh
    last = next(lines.read(path, max(found.end - found.last_size, 0)), None)
    if last is not None and crc_of(last.text[: found.last_size]) == found.last_crc:
        return found  # also where somebody wrote on in the same line
    return fresh


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text.rstrip(b"\n"), digest_size=HASH_BYTES).digest()


class _Reading:
    """One source on its way."""

    def __init__(self, file: str, progress: Progress, store_id: int) -> None:
        self.progress = msgspec.structs.replace(progress, counts=Counts())
        self._file = file
        self._anew = progress.end == 0
        self._store_id = store_id

    def batches(self, found: Iterator[Item]) -> Iterator[Batch]:
        """What is found, as batches."""
        size = 0
        events = 0
        items: list[Item] = []
        for item in found:
            items.append(item)
            size += item.size
            events += len(item.made) if isinstance(item, Ready) else 1
            if events >= RECORDS or size >= BYTES:
                yield from self._batch(items)
                size, events, items = 0, 0, []
        yield from self._batch(items)

    def _batch(self, items: list[Item]) -> Iterator[Batch]:
        """The batch of some items; none if there is nothing to tell of them."""
        counts = Counts(forms={}, examples={})
        batch = Batch(self._file, self.progress, self._anew, [], [])
        now_ns = time.time_ns()
        for item in items:
            if isinstance(item, Ready):
                counts.see_quick(item)
                batch.arrived += item.made
            elif isinstance(item, SourceEvent):
                counts.see(item)
                try:
                    batch.arrived.append((item.line, arrival_of(item, self._store_id, now_ns)))
                except Unfit as error:
                    refused = BadLine(item.file, item.line, str(error), b"", item.end, item.size)
                    counts.refuse(refused)
                    batch.bad.append(refused)
            elif item.whole or self.progress.is_new_rest(item):
                counts.put_aside(item)
                batch.bad.append(item)
        self.progress.pass_over([item for item in items[-2:] if not isinstance(item, BadLine) or item.whole])
        if batch.arrived or batch.bad:
            batch.progress = msgspec.structs.replace(self.progress, counts=counts)
            yield batch
            self._anew = False
