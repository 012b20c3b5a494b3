"""Compressed segments that are not what was written: a clear error or no line, never a wrong one, a crash, or memory
without bound."""

import itertools
import random
import resource
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st
from logs import Log, varied

from shmctx.errors import LogDamaged
from shmctx.log import seekable
from shmctx.log.erase import blank
from shmctx.log.reader import LogReader

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LIMITS = hypothesis.settings(
    max_examples=150, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)


WORD = st.integers(0, 2**32 - 1)


@pytest.fixture
def compressed(directory):
    """A log whose first segment is compressed, of five frames."""
    log = Log(directory, rotate_bytes=300_000)
    log.append(varied(11, 2000))
    log.compress()
    yield log
    log.close()


def path_of(log):
    return log.reader.segments()[0].path


def harmless(log):
    """Whether the damage was noticed. Whatever the file holds, reading gives lines that were written, or an error."""
    reader = LogReader(log.directory)
    places = [place for place in log.places if place[0] == 1]
    found = reader.lines(places)
    assert all(text is None or text == log.places[place] for place, text in zip(places, found, strict=True))
    lines, error = scan(reader, 1)
    assert all(log.places[1, offset] == text for offset, text in lines)
    assert error is None or ("00000001.2026-03-01.jsonl.zst" in str(error) and error.hint)
    assert (error is not None) == (None in found)
    return error is not None


def scan(reader, number):
    """The lines up to the end or to an error, and that error."""
    lines = []
    try:
        lines.extend(reader.scan(number))
    except LogDamaged as error:
        return lines, error
    return lines, None


def test_any_flipped_bit_is_noticed(compressed, seed):
    path = path_of(compressed)
    data = path.read_bytes()
    chosen = random.Random(seed)
    noticed = 0
    for _ in range(200):
        changed = bytearray(data)
        where = chosen.choice((chosen.randrange(len(data)), len(data) - 1 - chosen.randrange(57)))
        changed[where] ^= 1 << chosen.randrange(8)
        path.write_bytes(changed)
        noticed += harmless(compressed)

    assert noticed > 190  # zstd ignores one bit of a frame's header


def test_any_bit_of_the_table_is_noticed(compressed):
    """One number too large, and every line behind it would be looked for in a wrong place."""
    path = path_of(compressed)
    data = path.read_bytes()
    with path.open("rb") as file:
        end = seekable.Frames.read(file.fileno(), path.name).positions[-1]
    for where in range(end + 8, len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[where] ^= 1 << bit
            path.write_bytes(changed)
            with pytest.raises(LogDamaged, match="zstd -d"):
                next(LogReader(compressed.directory).scan(1))


@pytest.mark.skipif(not shutil.which("zstd"), reason="the zstd command is not installed")
def test_a_segment_with_a_damaged_table_is_repaired_as_the_error_says(compressed):
    path = path_of(compressed)
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    assert harmless(compressed)

    subprocess.run(["zstd", "-q", "-d", "--rm", path], timeout=30, check=True)

    compressed.check()
    compressed.writer.close()
    compressed.lead()
    compressed.compress()
    assert path.exists()
    compressed.check()


def test_a_damaged_frame_takes_only_its_own_lines_along(compressed):
    path = path_of(compressed)
    with path.open("r+b") as file:
        frames = seekable.Frames.read(file.fileno(), path.name)
        file.seek(frames.positions[2] - 20)
        file.write(bytes(16))
    begin, end = frames.starts[1], frames.starts[2]
    whole = {offset: text for (number, offset), text in compressed.places.items() if number == 1}
    reader = LogReader(compressed.directory)

    found = reader.lines([(1, offset) for offset in whole])
    scanned = []
    with pytest.raises(LogDamaged, match=f"bytes {begin} to {end}") as caught:
        scanned.extend(reader.scan(1))
    scanned.extend(reader.scan(1, caught.value.next_offset))

    expected = {offset: text for offset, text in whole.items() if not begin <= offset < end}
    assert dict(scanned) == expected
    assert found == [expected.get(offset) for offset in whole]


def test_blanking_in_a_damaged_frame_is_refused_and_elsewhere_done(compressed):
    path = path_of(compressed)
    with path.open("r+b") as file:
        frames = seekable.Frames.read(file.fileno(), path.name)
        file.seek(frames.positions[2] - 20)
        file.write(bytes(16))
    before = path.read_bytes()

    with pytest.raises(LogDamaged):
        blank(compressed.directory, 1, [0, frames.starts[1]])
    assert path.read_bytes() == before
    blank(compressed.directory, 1, [0, frames.starts[3]])

    assert compressed.reader.line(1, 0).startswith(b'{"forgotten":true} ')
    assert not list(compressed.directory.glob("*.tmp"))


@pytest.mark.parametrize("left", [0, 1, 8, 9, 16, 17, 1000, -1, -9, -10])
def test_a_file_cut_short_is_damaged(compressed, left):
    path = path_of(compressed)
    path.write_bytes(path.read_bytes()[:left])

    assert harmless(compressed)
    assert compressed.reader.line(1, 0) is None


@LIMITS
@hypothesis.given(
    frames=st.lists(st.tuples(WORD, WORD | st.just(100)), max_size=6),
    footer=st.tuples(st.none() | WORD, st.sampled_from([0, 0, 0x80, 0x03, 0x04, 0xFF]), st.none() | WORD),
    body=st.binary(max_size=200) | st.just(b"x\n" * 50).map(zstd.compress),
)
def test_a_hostile_table_is_refused_or_harmless(tmp_path_factory, frames, footer, body):
    directory = tmp_path_factory.mktemp("hostile")
    count, flags, length = footer
    if length is None and frames:  # a table that adds up, whatever its frames are
        frames[0] = (len(body), frames[0][1])
        frames[1:] = [(0, size) for _, size in frames[1:]]
    entries = b"".join(struct.pack("<II", *pair) + b"sums" * (flags >> 7) for pair in frames)
    footer = struct.pack("<IBI", len(frames) if count is None else count, flags, 0x8F92EAB1)
    header = struct.pack("<II", 0x184D2A5E, len(entries) + len(footer) if length is None else length)
    (directory / "00000001.2026-03-01.jsonl.zst").write_bytes(body + header + entries + footer)
    reader = LogReader(directory)

    lines, error = scan(reader, 1)

    assert reader.line(1, 0) in (None, b"x")
    assert {text for _, text in lines} <= {b"x"}
    assert error is None or error.next_offset is None or error.next_offset >= 0


@LIMITS
@hypothesis.given(data=st.binary(max_size=300))
def test_any_bytes_are_refused_or_empty(tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("hostile")
    (directory / "00000001.2026-03-01.jsonl.zst").write_bytes(data)

    assert LogReader(directory).line(1, 0) is None
    with pytest.raises(LogDamaged):
        list(LogReader(directory).scan(1))


@pytest.mark.parametrize("said", [100, seekable.MAX_FRAME, 2**32 - 1])
def test_a_bomb_does_not_unfold(directory, said):
    """A frame of a few kilobytes that would become a gigabyte: memory stays within what the table may say."""
    directory.mkdir()
    compressor = zstd.ZstdCompressor(level=1)
    bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(1024)) + compressor.flush()
    (directory / "00000001.2026-03-01.jsonl.zst").write_bytes(bomb + seekable.seek_table([(len(bomb), said)]))
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with Path("/proc/self/statm").open() as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 6 * seekable.MAX_FRAME, hard))
    try:
        assert LogReader(directory).line(1, 0) is None
        with pytest.raises(LogDamaged):
            list(LogReader(directory).scan(1))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_a_file_without_newlines_is_not_read_to_its_end(directory):
    """A sparse gigabyte in the place of a segment."""
    directory.mkdir()
    with (directory / "00000001.2026-03-01.jsonl").open("wb") as file:
        file.truncate(1 << 30)
    reader = LogReader(directory)

    assert reader.line(1, 0) is None
    with pytest.raises(LogDamaged, match="a line of more than"):
        list(itertools.islice(reader.scan(1), 1))


def test_checksums_in_a_table_and_skippable_frames_are_read(directory):
    """What other writers of the format make."""
    directory.mkdir()
    frames = [zstd.compress(b"one\ntwo\n"), struct.pack("<II", 0x184D2A50, 4) + b"note", zstd.compress(b"three\n")]
    sizes = [8, 0, 6]
    entries = b"".join(struct.pack("<III", len(frame), size, 0) for frame, size in zip(frames, sizes, strict=True))
    footer = struct.pack("<IBI", len(frames), 0x80, 0x8F92EAB1)
    header = struct.pack("<II", 0x184D2A5E, len(entries) + len(footer))
    (directory / "00000001.2026-03-01.jsonl.zst").write_bytes(b"".join(frames) + header + entries + footer)
    reader = LogReader(directory)

    assert list(reader.scan(1)) == [(0, b"one"), (4, b"two"), (8, b"three")]
    assert reader.lines([(1, 8), (1, 4), (1, 14)]) == [b"three", b"two", None]
