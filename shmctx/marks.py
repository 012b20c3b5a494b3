"""Marks: records that say what is to be done with a context. The leader does it in the transaction that drains them.

Being records, they are durable, ordered and done once more by whoever takes over, like everything else in the ring.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated

import msgspec

from shmctx.errors import ShmctxError
from shmctx.hot._core import MARK, Ring
from shmctx.hot.shapes import RecordTuple

COUNTED = 4096
"""Contexts whose reads a process counts at a time; the one read longest ago makes room."""


class Action(IntEnum):
    """What a mark asks for."""

    PIN = 1
    """Keep the context for ever."""
    UNPIN = 2
    FORGET = 3
    """Remove the context, its annotations and its event data from everywhere."""
    READ = 4
    """A process has read it often."""
    PRUNE = 5
    """Look now for what has expired; no context is meant."""


class Mark(msgspec.Struct, array_like=True, frozen=True):
    """A mark's payload."""

    action: Action
    target: Annotated[int, msgspec.Meta(ge=0, lt=1 << 56)] = 0
    """Position of the context."""
    older_ns: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] | None = None
    """PRUNE: the age from which nothing but what is pinned is kept."""


encode_mark = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Mark).decode


def decode_mark(payload: bytes, position: int) -> Mark:
    """The mark at a position. Raises msgspec.MsgspecError, also for one that names what came after it."""
    mark = _decode(payload)
    if mark.target >= position:
        raise msgspec.ValidationError("the mark names what comes after it")
    return mark


FORGETTING = "mark:forget"
"""The key under which the ring's index has the marks that forget."""


def forgotten(records: Sequence[RecordTuple]) -> list[int]:
    """The positions that the marks among these records ask to be forgotten."""
    found = []
    for record in records:
        if record[1] == MARK:
            with contextlib.suppress(msgspec.MsgspecError):
                mark = decode_mark(record[4], record[0])
                if mark.action is Action.FORGET:
                    found.append(mark.target)
    return found


class OftenRead:
    """Counts which contexts this process reads from the database, and marks each once that it reads often.

    Approximate by design: what several threads count at once, or what was pushed out, may be counted short.
    """

    def __init__(self, ring: Ring, often: int) -> None:
        self._ring = ring
        self._often = often
        self._counts: OrderedDict[int, int] = OrderedDict()

    def note(self, position: int) -> None:
        """One read of the context at a position. A ring that takes no mark is no error of a read."""
        count = self._counts.pop(position, 0) + 1
        self._counts[position] = count
        if count == self._often:
            with contextlib.suppress(ShmctxError):
                mark = encode_mark(Mark(Action.READ, position))
                self._ring.append(MARK, mark, 0, None, None, None, None, None)
        if len(self._counts) > COUNTED:
            with contextlib.suppress(KeyError):
                self._counts.popitem(last=False)
