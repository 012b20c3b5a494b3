"""The zstd seekable format: frames that are compressed one by one, and a table that finds them.

Version 0.1.0 of the format, as contrib/seekable_format/zstd_seekable_compression_format.md in facebook/zstd has it. The
table lies in a skippable frame at the end, so `zstd -d` and every other zstd decoder read the file as any other. Frames
carry zstd's own checksum, so the format's optional ones in the table (XXH64) are left out. A wrong number in the table
would shift all that follows; so the last frame is a skippable one of ours, with the CRC-32 of the table.

Nothing in such a file is trusted: the table must account for every byte of it, and no frame may become larger than it
says, nor than MAX_FRAME.
"""

import bisect
import os
import struct
import sys
import zlib
from array import array
from collections.abc import Iterable
from itertools import accumulate

from shmctx.errors import LogDamaged

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FRAME_BYTES = 64 << 10
"""Uncompressed bytes of a frame, about: it holds whole lines."""
MAX_FRAME = 32 << 20
"""Uncompressed bytes of one frame at most, so the longest line: a record of the ring has 16 MiB at most."""
LEVEL = 9
"""Nobody waits for it: it leaves 13 % of the bytes of event lines, at 60 MB/s; level 3 leaves 15 %, at 320 MB/s."""
MAX_FRAMES = 1 << 20
MAX_STORED = MAX_FRAME + (MAX_FRAME >> 8) + 512
"""Bytes of a compressed frame at most: what zstd cannot compress grows by less than a 256th."""

_SKIPPABLE = 0x184D2A5E
_OURS = 0x184D2A5C
"""One of the 16 numbers that skippable frames may begin with."""
_SEEKABLE = 0x8F92EAB1
_CHECKSUMS = 0x80
_RESERVED = 0x7C
_HEADER = struct.Struct("<II")
_ENTRY = struct.Struct("<II")
_CHECKED_ENTRY = struct.Struct("<II4x")
_FOOTER = struct.Struct("<IBI")
_GUARD = struct.Struct("<III")
_REPAIR = "`zstd -d --rm` on the file may still read and repair it: shmctx compresses the text again."
_WRITE: dict[int, int] = {
    zstd.CompressionParameter.compression_level: LEVEL,
    zstd.CompressionParameter.checksum_flag: 1,
    zstd.CompressionParameter.content_size_flag: 1,
}
_READ: dict[int, int] = {zstd.DecompressionParameter.window_log_max: MAX_FRAME.bit_length() - 1}


def compress_frame(text: bytes | bytearray) -> bytes:
    """One frame, which any zstd decoder reads."""
    return zstd.compress(text, options=_WRITE)


def decompress_frame(frame: bytes) -> bytes | None:
    """The text of one frame; None where it is damaged or would be larger than MAX_FRAME."""
    decoder = zstd.ZstdDecompressor(options=_READ)
    try:
        text = decoder.decompress(frame, max_length=MAX_FRAME)
    except zstd.ZstdError:
        return None
    return text if decoder.eof and not decoder.unused_data else None


def seek_table(sizes: Iterable[tuple[int, int]]) -> bytes:
    """The end of the file, for frames of these (compressed, uncompressed) sizes."""
    entries = b"".join(_ENTRY.pack(*pair) for pair in (*sizes, (_GUARD.size, 0)))
    footer = _FOOTER.pack(len(entries) // _ENTRY.size, 0, _SEEKABLE)
    table = _HEADER.pack(_SKIPPABLE, len(entries) + len(footer)) + entries + footer
    return _guard(table) + table


def _guard(table: bytes) -> bytes:
    return _GUARD.pack(_OURS, _GUARD.size - _HEADER.size, zlib.crc32(table))


class Frames:
    """The frames of a compressed file. `name` is for messages."""

    __slots__ = ("name", "positions", "starts")

    def __init__(self, name: str, stored: Iterable[int], sizes: Iterable[int]) -> None:
        self.name = name
        self.positions = array("Q", accumulate(stored, initial=0))
        """Where each frame begins in the file, and where the last one ends."""
        self.starts = array("Q", accumulate(sizes, initial=0))
        """Where each frame begins in the text, and where the text ends."""

    @classmethod
    def read(cls, descriptor: int, name: str) -> "Frames":
        """The frames of an open file, from its seek table. Raises LogDamaged where it and the file disagree."""
        length = os.fstat(descriptor).st_size
        count, flags, magic = _FOOTER.unpack(_exactly(descriptor, _FOOTER.size, length - _FOOTER.size, name))
        entry = _CHECKED_ENTRY if flags & _CHECKSUMS else _ENTRY
        size = _HEADER.size + count * entry.size + _FOOTER.size
        if magic != _SEEKABLE or flags & _RESERVED or count > MAX_FRAMES or size > length:
            raise _damaged(name, "it has no seek table, or one that cannot be")
        table = _exactly(descriptor, size, length - size, name)
        if _HEADER.unpack_from(table) != (_SKIPPABLE, size - _HEADER.size):
            raise _damaged(name, "its seek table does not begin where it should")
        pairs = list(entry.iter_unpack(memoryview(table)[_HEADER.size : -_FOOTER.size]))
        if sum(stored for stored, _ in pairs) + size != length:
            raise _damaged(name, "its frames are not as long as its seek table says")
        if pairs:
            guard = _exactly(descriptor, _GUARD.size, length - size - _GUARD.size, name)
            if guard[: _HEADER.size] == _guard(table)[: _HEADER.size]:  # other writers have none
                if guard != _guard(table):
                    raise _damaged(name, "its seek table has another checksum")
                pairs.pop()
        return cls(name, [stored for stored, _ in pairs], [text for _, text in pairs])

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def size(self) -> int:
        """Bytes of the uncompressed text."""
        return self.starts[-1]

    def index(self, offset: int) -> int:
        """The frame that has this byte of the text."""
        return bisect.bisect_right(self.starts, offset) - 1

    def stored(self, descriptor: int, index: int) -> bytes:
        """A frame as it lies in the file."""
        begin, end = self.positions[index : index + 2]
        if end - begin > MAX_STORED:
            raise self._unreadable(index, "it is larger than can be")
        return _exactly(descriptor, end - begin, begin, self.name)

    def text(self, descriptor: int, index: int) -> bytes:
        """A frame's lines. Raises LogDamaged where it is not what the table says."""
        begin, end = self.starts[index : index + 2]
        if end - begin > MAX_FRAME:
            raise self._unreadable(index, "it is larger than can be")
        decoder = zstd.ZstdDecompressor(options=_READ)
        try:
            text = decoder.decompress(self.stored(descriptor, index), max_length=end - begin + 1)
        except zstd.ZstdError as error:
            raise self._unreadable(index, str(error)) from None
        if len(text) != end - begin or not decoder.eof or decoder.unused_data:
            raise self._unreadable(index, "it has another size than the seek table says")
        return text

    def _unreadable(self, index: int, reason: str) -> LogDamaged:
        begin, end = self.starts[index : index + 2]
        return _damaged(self.name, f"the frame of bytes {begin} to {end} cannot be read, {reason}", next_offset=end)


def _exactly(descriptor: int, size: int, position: int, name: str) -> bytes:
    data = os.pread(descriptor, size, position) if position >= 0 else b""
    if len(data) != size:
        raise _damaged(name, "it is too short")
    return data


def _damaged(name: str, reason: str, next_offset: int | None = None) -> LogDamaged:
    hint = _REPAIR if next_offset is None else ""
    return LogDamaged(f"Segment {name} of the event log is damaged: {reason}.", hint=hint, next_offset=next_offset)
