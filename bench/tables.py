"""The peer of drain and recovery: SQLite alone, filled with the same rows in the same schema."""

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import shmctx
from shmctx.cold import rows, schema
from shmctx.cold.checksums import checked
from shmctx.hot._core import CONTEXT
from shmctx.records import decode_event

BATCH = shmctx.Settings().batch_records
CHECKPOINT_PAGES = (8 << 20) // 4096
"""The leader checkpoints while it is busy when its write-ahead log has 8 MiB."""


class Numbers(dict[str | None, int | None]):
    """Ids of texts, from 1."""

    def __missing__(self, text: str | None) -> int | None:
        return None if text is None else self.setdefault(text, len(self) + 1)


def prepared(store: shmctx.Store) -> tuple[list[rows.Row], dict[str | None, int | None]]:
    """The rows that the contexts in the ring become, and the ids of their texts. They have no optional fields."""
    texts = Numbers()
    found: list[rows.Row] = []
    ring = store._ring  # noqa: SLF001 - as the leader reads it
    _, head, position, _ = ring.positions()
    while position < head:
        position, records, _ = ring.scan(position, head, 1024, 4 << 20)
        found += [
            checked(rows.record_row(place, time_ns, decode_event(payload), None, texts))
            for place, kind, _, time_ns, payload in records
            if kind == CONTEXT
        ]
    return found, texts


class Bare:
    """A database with the store's schema and pragmas, and nobody but us in it."""

    def __init__(self, path: Path, texts: dict[str | None, int | None]) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
            "cache_size = -32000",
        ):
            self._db.execute(f"PRAGMA {pragma}")
        schema.migrate(self._db, str(path))
        self._db.executemany("INSERT INTO text (value, id) VALUES (?, ?)", texts.items())

    def executemany(self, found: Sequence[rows.Row], batch: int = BATCH) -> float:
        """Seconds to insert all rows in transactions of `batch`."""
        start = time.perf_counter()
        for first in range(0, len(found), batch):
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(rows.INSERT_PLAIN, found[first : first + batch])
            self._db.execute("COMMIT")
        return time.perf_counter() - start

    def autocommit(self, found: Sequence[rows.Row]) -> float:
        """Seconds to insert all rows, each in a transaction of its own."""
        start = time.perf_counter()
        for row in found:
            self._db.execute(rows.INSERT_PLAIN, row)
        return time.perf_counter() - start

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
