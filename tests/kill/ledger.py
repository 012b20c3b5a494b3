"""The ledger: what each worker says it was answered, in a file that every process maps.

A plain store into a shared mapping survives SIGKILL and costs no system call. Each worker writes one region: the
acknowledgement first, then the count that covers it, in one aligned 8-byte store that a kill cannot split.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HEADER = 4096
"""Bytes before the first region: the stop word, the number of regions in use."""
REGION = 4 << 20
"""Bytes of one worker's region. The file is sparse: what nobody writes takes no space."""
_FIELDS = 64
_ENTRY = 32
CAPACITY = (REGION - _FIELDS) // _ENTRY

_WORD = struct.Struct("Q")  # native: one aligned store, which a kill cannot split
_ACK = struct.Struct("Q20sB3x")
# Words at the start of a region.
_COUNT, _LONGEST_PUT, _LONGEST_GET, _GETS, _NEXT = 0, 8, 16, 24, 32

PUT, ANNOTATION = 1, 2


class Ack(NamedTuple):
    """`n` was returned, with this ref; for an annotation, the ref that was annotated."""

    n: int
    ref: str
    kind: int


class Ledger:
    """The whole file, for the supervisor and for readers."""

    def __init__(self, path: Path, regions: int) -> None:
        size = HEADER + regions * REGION
        with path.open("a+b") as file:
            file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)

    @property
    def stopping(self) -> bool:
        """Whether workers shall finish what they do and end."""
        return self._word(0) != 0

    def stop(self) -> None:
        self._set(0, 1)

    @property
    def used(self) -> int:
        """How many regions have been given to workers."""
        return self._word(8)

    def take(self) -> "Region":
        """The next region. Only the supervisor takes."""
        number = self.used
        self._set(8, number + 1)
        return self.region(number)

    def region(self, number: int) -> "Region":
        return Region(self._map, number)

    def regions(self) -> Iterator["Region"]:
        return map(self.region, range(self.used))

    def _word(self, offset: int) -> int:
        return _WORD.unpack_from(self._map, offset)[0]

    def _set(self, offset: int, value: int) -> None:
        _WORD.pack_into(self._map, offset, value)


class Region:
    """What one worker was answered, and how long it had to wait at most (ns)."""

    def __init__(self, shared: mmap.mmap, number: int) -> None:
        self._map = shared
        self._start = HEADER + number * REGION
        self.number = number

    def __len__(self) -> int:
        return self._word(_COUNT)

    def __getitem__(self, index: int) -> Ack:
        n, ref, kind = _ACK.unpack_from(self._map, self._start + _FIELDS + index * _ENTRY)
        return Ack(n, ref.decode(), kind)

    def __iter__(self) -> Iterator[Ack]:
        return map(self.__getitem__, range(len(self)))

    @property
    def full(self) -> bool:
        return len(self) >= CAPACITY

    @property
    def next(self) -> int:
        """Contexts with this n and later ones were never tried."""
        return self._word(_NEXT)

    def intend(self, end: int) -> None:
        """Say that the contexts before `end` may be stored from now on, answered or not."""
        self._set(_NEXT, end)

    def acknowledge(self, ack: Ack) -> None:
        count = len(self)
        _ACK.pack_into(self._map, self._start + _FIELDS + count * _ENTRY, ack.n, ack.ref.encode(), ack.kind)
        self._set(_COUNT, count + 1)

    @property
    def longest(self) -> tuple[int, int]:
        """The longest put and the longest get of this worker, in ns."""
        return self._word(_LONGEST_PUT), self._word(_LONGEST_GET)

    @property
    def gets(self) -> int:
        return self._word(_GETS)

    def took_put(self, elapsed_ns: int) -> None:
        if elapsed_ns > self._word(_LONGEST_PUT):
            self._set(_LONGEST_PUT, elapsed_ns)

    def took_get(self, elapsed_ns: int) -> None:
        self._set(_GETS, self.gets + 1)
        if elapsed_ns > self._word(_LONGEST_GET):
            self._set(_LONGEST_GET, elapsed_ns)

    def _word(self, field: int) -> int:
        return _WORD.unpack_from(self._map, self._start + field)[0]

    def _set(self, field: int, value: int) -> None:
        _WORD.pack_into(self._map, self._start + field, value)
