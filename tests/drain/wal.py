"""How many transactions a write-ahead log holds (file format: https://www.sqlite.org/walformat.html)."""

import struct
from pathlib import Path


def commits(database: Path) -> int:
    """Commit frames: those that say how many pages the database has after them."""
    try:
        log = Path(f"{database}-wal").read_bytes()
    except FileNotFoundError:
        return 0
    if len(log) < 32:
        return 0
    page, salts = struct.unpack_from(">I", log, 8)[0], log[16:24]
    frames = range(32, len(log) - page - 24 + 1, page + 24)
    return sum(log[at + 8 : at + 16] == salts and struct.unpack_from(">I", log, at + 4)[0] > 0 for at in frames)
