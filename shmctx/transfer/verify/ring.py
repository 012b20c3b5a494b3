"""The shared memory of a store beside its database: where the drain stands, and what is not drained yet."""

from shmctx import attachment as attachments
from shmctx.attachment import Attachment
from shmctx.hot._core import CONTEXT
from shmctx.hot.extent import head
from shmctx.records import NOT_DECODABLE, decode_event
from shmctx.settings import Settings
from shmctx.transfer.verify.report import Notebook
from shmctx.transfer.verify.snapshot import Database

_RECORDS, _BYTES = 1024, 4 << 20


def attach(name: str) -> Attachment:
    """The segment, mapped read-only: nobody notices. Raises SegmentError."""
    return attachments.attach(name, Settings(), readonly=True)


def check_ring(found: Attachment, database: Database, book: Notebook) -> None:
    """Whether ring and database continue each other, and what the database does not have yet is whole."""
    ring, header = found.ring, found.segment.header
    where = f"segment {found.name}"
    drained = ring.positions()[2]  # read first: each of the three only grows, and none overtakes the next
    store = database.store()
    end = head(ring)
    if header["store_id"] != store.store_id:
        book.problem("ring", where, f"It is of store {header['store_id']:06x}, the database of {store.store_id:06x}.")
        return
    if store.generation not in (0, header["generation"]):
        book.note("ring", where, "The database was last drained from another generation of the segment.")
    elif drained > store.position:
        lost = drained - store.position
        book.problem(
            "ring", where, f"{lost} granules were drained that the database does not have: it is an older one."
        )
    if store.position > max(end, header["base"]):
        detail = f"The database has been drained up to {store.position}; the ring ends at {end}."
        book.problem("ring", where, detail)
    book.counts["undrained"] = 0
    _undrained(found, max(store.position, drained), end, book)


def _undrained(found: Attachment, position: int, end: int, book: Notebook) -> None:
    ring = found.ring
    while position < end:
        position, records, skipped = ring.scan(position, end, _RECORDS, _BYTES)
        drained = ring.positions()[2]
        for low, high in skipped:
            if low >= drained:  # else it was drained meanwhile, and may be overwritten
                book.problem("ring", f"positions {low} to {high - 1}", "No whole record is there: damaged in the ring.")
        for place, kind, _, _, payload in records:
            if kind == CONTEXT:
                book.counts["undrained"] += 1
                try:
                    decode_event(payload)
                except NOT_DECODABLE as error:
                    book.problem("ring", f"position {place}", f"Its record is no context: {error}")
