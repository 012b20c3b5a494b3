"""Segments over time: the first one, adoption after a crash, rehydration after a reboot, succession after `rm`."""

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from shmctx import records
from shmctx.cold import Cursor
from shmctx.cold.sqlite import SqliteWriter
from shmctx.context import Context
from shmctx.errors import ColdMismatch, SegmentExists, SegmentMismatch, SegmentMissing
from shmctx.hot import segment as segments
from shmctx.hot._core import ANNOTATION, CONTEXT, FIRST_POSITION, GRANULE, SEALED, SESSION, Ring, make_ref
from shmctx.hot.segment import Segment
from shmctx.hot.shapes import RecordTuple


def align(writer: SqliteWriter, segment: Segment) -> Cursor:
    """Take over a database for the segment that exists: raise the epoch and find where the drain goes on."""
    header = segment.header
    cursor = writer.cursor()
    if cursor is None:
        # The database is new, or was removed: what the ring still has goes into the new one.
        writer.create_store(store_id=header["store_id"], position=oldest(segment.ring))
        cursor = writer.cursor()
        assert cursor is not None
    writer.check_store(cursor, header["store_id"])
    # A database may be ahead of its segment's `drained`, never of what the segment has claimed, and not of the start
    # of a segment that came after it.
    limit = segment.ring.positions()[0] if cursor.generation == header["generation"] else header["base"]
    if cursor.position > limit:
        raise ColdMismatch(
            f"The database {writer.path} has drained a newer segment than the one named {segment.name!r}.",
            hint=f"Run `shmctx-recover {segment.name} --db {writer.path}`, then `shmctx unlink {segment.name}`.",
        )
    cursor = writer.take_over(store_id=header["store_id"])
    # A removed database starts below the base; otherwise nothing before the base can be missing.
    position = cursor.position if cursor.generation == 0 else max(cursor.position, header["base"])
    writer.begin_generation(generation=header["generation"], capacity=header["capacity"], position=position)
    return Cursor(cursor.store_id, header["generation"], header["capacity"], cursor.epoch, position)


def oldest(ring: Ring) -> int:
    """Where the oldest whole record of a ring starts; its head if it holds none."""
    header = ring.header()
    reserved, head, _, _ = ring.positions()
    lowest = max(reserved - header["capacity"], FIRST_POSITION)
    if lowest < header["base"]:  # over the gap, to what was put back from the database
        lowest = max(lowest - (header["base"] - header["gap_start"]), FIRST_POSITION)
    _, found, _ = ring.scan(lowest, head, 1, 1)
    return found[0][0] if found else head


def first(writer: SqliteWriter, name: str, database: Path, ring_size: int, *, rehydrate: bool) -> Segment:
    """Make the segment of a store that has none: a new one, or the successor of one that is gone.

    Processes that still use a segment whose name was removed are found first, and their records drained. Otherwise the
    new segment starts one capacity beyond the drain position, because that many refs at most were handed out and lost.
    """
    cursor = writer.cursor()
    if cursor is None:
        store_id = secrets.randbits(24)
        writer.create_store(store_id=store_id)
        cursor = writer.cursor()
        assert cursor is not None
    cursor = writer.take_over(store_id=cursor.store_id)
    saved = drain_orphans(writer, name, cursor)
    capacity = segments.capacity_for(ring_size)
    place = msgspec.structs.replace(cursor, capacity=capacity, position=max([cursor.position, *saved]))
    lost = 0 if saved else cursor.capacity
    # In a smaller ring, records would not fall on their old places.
    return _make(writer, place, name, database, lost=lost, rehydrate=rehydrate and capacity >= cursor.capacity)


def succeed(writer: SqliteWriter, old: Segment, database: Path, *, rehydrate: bool) -> Segment:
    """The next generation after a segment that is sealed and drained to its end."""
    header = old.header
    place = Cursor(header["store_id"], 0, header["capacity"], 0, old.ring.positions()[1])
    return _make(writer, place, old.name, database, lost=0, rehydrate=rehydrate)


def after(writer: SqliteWriter, sealed: Segment, database: Path, *, rehydrate: bool) -> Segment:
    """For a leader that missed how its sealed segment was succeeded: the segment to go on with.

    What the sealed one still holds is stored; generations in between that lost their names are found and drained.
    """
    cursor = writer.cursor()
    if cursor is not None:
        writer.check_store(cursor, sealed.header["store_id"])
    try:
        return segments.attach(sealed.name)
    except SegmentMissing:
        ring_size = sealed.header["capacity"] * GRANULE
        return first(writer, sealed.name, database, ring_size, rehydrate=rehydrate)


def drain_orphans(writer: SqliteWriter, name: str, cursor: Cursor) -> list[int]:
    """Seal and drain the segments of this store that have lost their name but not their users; returns their heads."""
    heads = []
    for _, orphan in segments.orphans(name):
        if orphan.header["store_id"] != cursor.store_id:
            continue
        drained = orphan.ring.positions()[2]
        if not orphan.ring.state() & SEALED:
            orphan.ring.seal(5.0)
        head = orphan.ring.positions()[1]
        if drained < head:
            drain_rest(writer, orphan, drained, head)
        heads.append(head)
    return heads


def damaged(ring: Ring, skipped: Sequence[tuple[int, int]]) -> list[tuple[int, int, bytes]]:
    """Of the stretches that a scan skipped, those that are damaged, with their bytes. What is not live any more is no
    damage: the reader was behind a ring that had moved on."""
    return [(start, stop, ring.raw(start, stop)) for start, stop in skipped if ring.live(start)]


def drain_rest(writer: SqliteWriter, orphan: Segment, position: int, head: int) -> int:
    """Store everything from `position` to `head` that the database lacks; returns how many records were new."""
    stored = 0
    while position < head:
        position, some, skipped = orphan.ring.scan(position, head, 4096, 4 << 20)
        stored += writer.insert(some, damaged(orphan.ring, skipped))
    orphan.ring.set_drained(head)
    return stored


def _make(writer: SqliteWriter, cursor: Cursor, name: str, database: Path, *, lost: int, rehydrate: bool) -> Segment:
    """Create a segment after the cursor's position, leaving room for `lost` granules of refs that were handed out."""
    capacity, end = cursor.capacity, cursor.position
    fill = _filler(writer, max(end - capacity, FIRST_POSITION), end) if rehydrate else None
    try:
        return segments.create(
            name,
            database=database,
            store_id=cursor.store_id,
            ring_size=capacity * GRANULE,
            gap_start=end,
            base=end + -(-lost // capacity) * capacity,
            fill=fill,
        )
    except SegmentExists:
        segment = segments.attach(name)
    if segment.header["store_id"] != cursor.store_id:
        raise SegmentMismatch(
            f"The name {name!r} was taken by a segment of another store.", hint="Choose another name."
        )
    return segment


def _filler(writer: SqliteWriter, first: int, end: int) -> Callable[[Ring], None]:
    def fill(ring: Ring) -> None:
        sessions: dict[int, str] = {}
        for record in writer.newest(first, end):
            place(ring, record, sessions)

    return fill


def place(ring: Ring, record: RecordTuple, sessions: dict[int, str]) -> None:
    """Put a record from the database back into a new ring, at its own position. `sessions` collects ids by position."""
    position, kind, _, time_ns, payload = record
    if kind == SESSION:
        sid = sessions[position] = records.decode_session(payload)["id"]
        ring.place(kind, payload, time_ns, f"session:{sid}", None, None, None, None, 0, position)
    elif kind == ANNOTATION:
        target = records.decode_annotation(payload).target
        ring.place(kind, payload, time_ns, None, None, None, None, target, target, position)
    elif kind == CONTEXT:
        context = records.decode_context(payload)
        keys = context_keys(context, position, sessions)
        ring.place(kind, payload, time_ns, *keys, 0, position)


def context_keys(
    context: Context, position: int, sessions: dict[int, str]
) -> tuple[str | None, int | str, str | None, str | None, int | str | None]:
    """The index keys of a stored context: alias, correlation, agent, session, parent."""
    context.placed(make_ref(0, position), 0)
    event = context.identity
    session = sessions.get(context.session_position) if context.session_position is not None else None
    return (
        event if isinstance(event, str) else None,
        context.correlation_identity,
        context.agent_id,
        session,
        context.parent_identity,
    )
