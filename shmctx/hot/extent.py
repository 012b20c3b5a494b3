"""From where to where a ring holds records, as a reader needs it that goes through all of them."""

from shmctx.errors import SegmentCorrupt
from shmctx.hot._core import FIRST_POSITION, Ring

_END = 1 << 56  # of positions


def head(ring: Ring) -> int:
    """Where the next record goes. Raises SegmentCorrupt for what cannot be a position."""
    reserved, end, _, _ = ring.positions()
    if not FIRST_POSITION <= end <= reserved < _END:
        raise SegmentCorrupt(f"The segment's control words say that {end:,} granules of {reserved:,} are in use.")
    return end


def oldest(ring: Ring) -> int:
    """The first position that can still be in a ring; the record there may have begun before it."""
    header = ring.header()
    reserved, _, _, tail = ring.positions()
    first = reserved - header["capacity"]
    if first < header["base"]:  # on the older side of the gap between generations
        first -= header["base"] - header["gap_start"]
    return max(first, tail, FIRST_POSITION)


def first_whole(ring: Ring) -> int:
    """Where the oldest whole record of a ring begins; its head if it has none."""
    end = head(ring)
    _, records, _ = ring.scan(min(oldest(ring), end), end, 1, 1)
    return records[0][0] if records else end
