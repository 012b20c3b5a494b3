"""Shapes of what the core hands out."""

from typing import TypeAlias, TypedDict

RecordTuple: TypeAlias = tuple[int, int, bool, int, bytes]
"""position (granules), kind, whether annotations name it, time (ns since 1970), payload"""


class Header(TypedDict):
    """What a segment says about itself; none of it changes."""

    name: str
    database: str
    boot_id: str
    store_id: int
    uid: int
    capacity: int
    gap_start: int
    base: int
    generation: int
    created_ns: int
    segment_size: int
    pid_namespace_device: int
    pid_namespace_inode: int


class LeaderNote(TypedDict):
    """What the leader writes down for people."""

    pid: int
    start: int
    epoch: int
    last_drain_ns: int
    error: str
