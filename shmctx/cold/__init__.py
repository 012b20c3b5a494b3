"""The cold side: the database that the drain fills and that every process reads by itself.

`ColdWriter` is all that the drain knows of a database, `questions.Question` all that reading knows; SQLite is the one
that exists.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias

import msgspec

from shmctx.context import Identity
from shmctx.hot.shapes import RecordTuple


class Cursor(msgspec.Struct, frozen=True):
    """Where the drain stands in a database."""

    store_id: int
    generation: int
    """Which segment the position belongs to."""
    capacity: int
    """Granules of that segment's ring."""
    epoch: int
    position: int
    """Everything before it is in the database."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for; None does not filter. Identities as in Context, times in ns since 1970."""

    correlation: Identity | None = None
    parent: Identity | None = None
    agent_id: str | None = None
    session_id: str | None = None
    event_name: str | None = None
    """A name or a pattern."""
    errors: bool | None = None
    """Only contexts that are in error, by their own fields or by an annotation; or only the others."""
    since_ns: int | None = None
    until_ns: int | None = None
    """Exclusive."""
    before: int | None = None
    """Only positions before this one."""
    after: int | None = None
    """Only positions after this one."""
    limit: int | None = None
    newest_first: bool = False


Damaged: TypeAlias = Sequence[tuple[int, int, bytes]]
"""Stretches (start, end, raw bytes) in which no whole record was found; they go to the quarantine table."""


class Batch(msgspec.Struct, frozen=True):
    """One drain transaction: the records of [start, end), in order."""

    start: int
    end: int
    records: Sequence[RecordTuple]
    damaged: Damaged = ()
    unneeded: Sequence[bytes] = ()
    """Hashes of large fields of forgotten events: they go, unless another event refers to them."""


class ColdWriter(Protocol):
    """The one connection that writes and checkpoints. Used by one thread. Methods raise ColdError."""

    def take_over(self, *, store_id: int) -> Cursor:
        """Raise the epoch and return the cursor. ColdMismatch for the database of another store."""

    def begin_generation(self, *, generation: int, capacity: int, position: int) -> None:
        """Say that positions from here on belong to another segment."""

    def commit(self, batch: Batch) -> None:
        """Store the records and the position in one durable transaction. LeadershipLost if the epoch has moved."""

    def insert(self, records: Iterable[RecordTuple], damaged: Damaged = ()) -> int:
        """Store records whatever the position is, skipping those that are there; returns how many were new."""

    def newest(self, first: int, end: int) -> Iterable[RecordTuple]:
        """The stored records of [first, end) as they were in the ring, oldest first."""

    def maintain(self, *, idle: bool) -> None:
        """Checkpoint as far as it is due."""

    def close(self) -> None:
        """Close the database."""
