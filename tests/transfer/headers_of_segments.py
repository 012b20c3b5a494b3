"""Damage to a segment's control words."""

from pathlib import Path

HEAD_AT = 4096 + 48  # behind the mutex (40 bytes) and `reserved`


def poison(name: str) -> None:
    """Put `head` before `drained`: the next put finds words that contradict each other."""
    with Path(f"/dev/shm/shmctx.{name}").open("r+b") as file:
        file.seek(HEAD_AT)
        file.write((0).to_bytes(8, "little"))
