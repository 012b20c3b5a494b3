"""Sources made into batches of records, each with how far it brings its source."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from shmctx.payloads import HASH_BYTES
from shmctx.transfer import lines
from shmctx.transfer.arrivals import Arrival, arrival_of
from shmctx.transfer.forms import SourceEvent, Unfit
from shmctx.transfer.intake import Intake
from shmctx.transfer.ledger import Progress
from shmctx.transfer.novelty import Placed, Taken
from shmctx.transfer.quick import quick_arrival
from shmctx.transfer.sources import BadLine, Ready, Sources, crc_of

RECORDS, BYTES = 4096, 4 << 20
"""Of one transaction, about: what is held in memory does not depend on how much there is."""


class Prepared(msgspec.Struct, tag="prepared"):
    """One transaction."""

    taken: Taken
    progress: Progress
    bad: list[BadLine]
    read: int
    """Bytes of all sources so far, as they lie there."""


def batches(
    sources: Sources, done: Mapping[tuple[str, bytes], Progress], intake: Intake, store_id: int
) -> Iterator[Prepared]:
    """Everything that was not read before, in transactions. Raises SourceUnreadable, ColdError."""
    before = 0
    for path in sources.logs:
        progress = _resumed(path, done)
        for prepared in _prepared(sources.events_or(path, progress.end, quick_arrival), progress, intake, store_id):
            prepared.read = before + sources.meter.read()
            yield prepared
        before += lines.size(path)
    for database in sources.databases:
        name = str(database.path.absolute())
        progress = done.get((name, b"")) or Progress(name, b"")
        yield from _prepared(sources.contexts(database, progress.end), progress, intake, store_id)


def _resumed(path: Path, done: Mapping[tuple[str, bytes], Progress]) -> Progress:
    """How far a log was read: not at all if it is another one by now, or standard input."""
    first = b"" if path == lines.STDIN else _digest(next((line.text for line in lines.read(path)), b""))
    fresh = Progress(str(path if path == lines.STDIN else path.absolute()), first)
    found = done.get((fresh.path, first))
    if found is None or path == lines.STDIN:
        return fresh
    last = next(lines.read(path, max(found.end - found.last_size, 0)), None)
    if last is not None and crc_of(last.text[: found.last_size]) == found.last_crc:
        return found  # also where somebody wrote on in the same line
    return fresh


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text.rstrip(b"\n"), digest_size=HASH_BYTES).digest()


def _prepared(
    found: Iterator[SourceEvent | BadLine | Ready[Arrival]], progress: Progress, intake: Intake, store_id: int
) -> Iterator[Prepared]:
    size = 0
    arrived: list[Placed] = []
    bad: list[BadLine] = []
    now_ns = time.time_ns()
    for item in found:
        if not progress.pass_over(item):
            continue
        if isinstance(item, Ready):
            progress.counts.see_quick(item)
            arrived.append((item, item.made))
        elif isinstance(item, SourceEvent):
            progress.counts.see(item)
            try:
                arrived.append((item, arrival_of(item, store_id, now_ns)))
            except Unfit as error:
                refused = BadLine(item.file, item.line, str(error), b"", item.end, item.size)
                progress.counts.refuse(refused)
                bad.append(refused)
        else:
            progress.counts.put_aside(item)
            bad.append(item)
        size += item.size
        if len(arrived) + len(bad) >= RECORDS or size >= BYTES:
            yield _taken(arrived, bad, progress, intake)
            size, arrived, bad, now_ns = 0, [], [], time.time_ns()
    if arrived or bad:
        yield _taken(arrived, bad, progress, intake)


def _taken(arrived: list[Placed], bad: list[BadLine], progress: Progress, intake: Intake) -> Prepared:
    taken = intake.take(arrived)
    progress.counts.take(taken)
    for place, reason in taken.refused:
        file, _, line = place.rpartition(":")
        bad.append(BadLine(file, int(line), reason, b""))
    return Prepared(taken, progress.copy(), bad, 0)
