"""Rotated segments in the zstd seekable format: whole under one of their names at any time, readable by any tool."""

import contextlib
import itertools
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from logs import Log, line, varied

from shmctx.log import compress, files, seekable
from shmctx.log.erase import blank
from shmctx.log.reader import LogReader

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@pytest.fixture
def rotated(directory, seed):
    """A log with one rotated segment of about 500 kB and one line in the next."""
    log = Log(directory, rotate_bytes=500_000)
    log.append(varied(seed, 2600))
    assert log.tail.number == 2
    yield log
    log.close()


def frames_by_the_specification(data: bytes) -> list[bytes]:
    """The uncompressed frames, found as contrib/seekable_format says, by nothing of ours."""
    count, descriptor, magic = struct.unpack("<IBI", data[-9:])
    assert (descriptor, magic) == (0, 0x8F92EAB1)
    table = data[-9 - 8 * count - 8 :]
    assert struct.unpack("<II", table[:8]) == (0x184D2A5E, len(table) - 8)
    found, position = [], 0
    for stored, size in struct.iter_unpack("<II", table[8:-9]):
        frame = data[position : position + stored]
        found.append(zstd.decompress(frame))
        assert len(found[-1]) == size
        assert zstd.get_frame_size(frame) == stored
        position += stored
    assert position == len(data) - len(table)
    assert found.pop() == b""  # a skippable frame, of which nobody else need know
    return found


def test_only_rotated_segments_are_compressed_and_places_stay(rotated):
    text = rotated.reader.segments()[0].path.read_bytes()

    rotated.compress()

    old, newest = rotated.reader.segments()
    assert (old.compressed, newest.compressed) == (True, False)
    assert rotated.names() == [old.path.name, newest.path.name, "current.jsonl"]
    assert old.size < len(text) / 3
    rotated.check()


def test_frames_are_of_whole_lines_and_about_64_kib(rotated):
    text = rotated.reader.segments()[0].path.read_bytes()
    rotated.compress()

    frames = frames_by_the_specification(rotated.reader.segments()[0].path.read_bytes())

    assert b"".join(frames) == text
    assert all(frame.endswith(b"\n") and len(frame) <= 65_536 for frame in frames)
    assert all(len(frame) > 60_000 for frame in frames[:-1])


@pytest.mark.skipif(not shutil.which("zstd"), reason="the zstd command is not installed")
def test_the_zstd_command_reads_it(rotated):
    text = rotated.reader.segments()[0].path.read_bytes()
    rotated.compress()
    path = rotated.reader.segments()[0].path

    done = subprocess.run(["zstd", "-d", "-c", path], capture_output=True, timeout=30, check=True)

    assert done.stdout == text
    subprocess.run(["zstd", "-q", "-t", path], timeout=30, check=True)


def test_a_line_longer_than_a_frame_is_a_frame_of_its_own(directory):
    log = Log(directory, rotate_bytes=3_000_000)
    log.append([line(0), line(1, 2_000_000), line(2), line(3, 900_000), line(4, 3_000_000)])
    log.compress()

    log.check()
    frames = frames_by_the_specification(log.reader.segments()[0].path.read_bytes())
    assert [frame.count(b"\n") for frame in frames] == [1, 1, 1, 1]
    log.close()


@pytest.mark.parametrize("text", [b"", b"no newline", b"a\n" * 100_000 + b"torn", b"x" * 200_000, b"\n" * 70_000])
def test_any_text_is_cut_into_frames_that_are_it(tmp_path, text):
    path = tmp_path / "text"
    path.write_bytes(text)
    with path.open("rb") as file:
        frames = list(compress.frames_of(file.fileno()))

    assert b"".join(frames) == text
    assert all(frames)


def test_a_reader_finds_everything_after_every_step(rotated):
    steps = 0
    while rotated.writer.maintain(frames=1):
        rotated.check()
        steps += 1

    assert steps > 8


def test_a_scan_goes_on_through_compression_and_removal_of_its_file(rotated):
    scan = rotated.reader.scan(1)
    first = list(itertools.islice(scan, 100))
    rotated.compress()

    assert {(1, offset): text for offset, text in [*first, *scan]} == {
        place: text for place, text in rotated.places.items() if place[0] == 1
    }


def test_writing_goes_on_between_the_steps(rotated, seed):
    for text in varied(seed + 1, 40):
        rotated.append([text])
        rotated.writer.maintain(frames=1)

    assert rotated.reader.segments()[0].compressed
    rotated.check()


def test_an_undone_rotation_is_not_compressed(log):
    log.append([line(0, 900)])
    log.writer.append([line(1, 900)], [0])
    log.writer.undo()
    log.compress()

    assert [segment.compressed for segment in log.reader.segments()] == [False, False]
    log.append([line(2, 900)])
    log.compress()
    assert [segment.compressed for segment in log.reader.segments()] == [True, False]
    log.check()


@pytest.mark.parametrize("steps", range(0, 11, 2))
def test_lines_blanked_during_compression_are_blank_afterwards(rotated, steps):
    """Whether the compressor has read them already or not."""
    for _ in range(steps):
        rotated.writer.maintain(frames=1)
    chosen = [place for place in rotated.places if place[0] == 1][5::500]

    blank(rotated.directory, 1, [offset for _, offset in chosen])
    rotated.compress()

    assert rotated.reader.segments()[0].compressed
    assert all(text.startswith(b'{"forgotten":true} ') for text in rotated.reader.lines(chosen))
    rotated.places.update({place: b'{"forgotten":true}'.ljust(len(rotated.places[place])) for place in chosen})
    rotated.check()


def test_compression_waits_for_nobody_who_holds_the_directory(rotated):
    """Who rewrites a segment may be stopped in it; the leader goes on and gives the file its name later."""
    with files.exclusive(rotated.directory, 0) as held:
        assert held
        rotated.compress()  # as far as it goes
        assert not rotated.writer.maintain()
        rotated.append([line(9)])
        assert not rotated.reader.segments()[0].compressed
    rotated.compress()

    assert rotated.reader.segments()[0].compressed
    rotated.check()


def test_a_forked_child_leaves_its_parent_the_unfinished_file(directory, spawn):
    process = spawn(
        """
        import os, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[1])
        from logs import Log, varied
        log = Log(Path(sys.argv[2]), rotate_bytes=500_000)
        log.append(varied(5, 2600))
        log.writer.maintain(frames=3)
        child = os.fork()
        if child == 0:
            log.writer.close()
            os._exit(0)
        os.waitpid(child, 0)
        steps = 0
        while log.writer.maintain(frames=1):
            steps += 1
        log.check()
        print(steps, log.reader.segments()[0].compressed)
        """,
        Path(__file__).parent,
        directory,
    )

    steps, compressed = process.finish()[0].split()
    assert compressed == "True"
    assert int(steps) < 10  # three frames of eight were done before; from the start it would be 11


def test_leftovers_of_a_crash_are_removed(rotated):
    """An unfinished file, and a finished one whose source was not removed yet."""
    source = rotated.reader.segments()[0].path
    copy = rotated.directory / "copy"
    shutil.copy(source, copy)
    rotated.compress()
    copy.rename(source)
    unfinished = rotated.directory / f"{source.name}.zst.0123abcd.tmp"
    unfinished.write_bytes(b"half")
    foreign = rotated.directory / "notes.tmp"
    foreign.write_bytes(b"not ours")
    rotated.check()
    rotated.writer.close()

    rotated.lead()

    assert not source.exists()
    assert not unfinished.exists()
    assert foreign.exists()
    rotated.check()


def test_the_table_of_a_million_frames_is_read(tmp_path):
    path = tmp_path / "large.zst"
    empty = zstd.compress(b"")
    count = seekable.MAX_FRAMES
    path.write_bytes(empty * (count - 1) + seekable.seek_table([(len(empty), 0)] * (count - 1)))
    with path.open("rb") as file:
        frames = seekable.Frames.read(file.fileno(), path.name)

    assert (len(frames), frames.size) == (count - 1, 0)


def test_a_listing_made_while_a_segment_gets_its_new_name_hides_no_line(rotated, monkeypatch):
    """The names are read before there is a new one, the files are looked at when the old one is gone."""
    real = files.os.scandir
    listed = []

    @contextlib.contextmanager
    def slow(directory):
        with real(directory) as entries:
            found = list(entries)
        if not listed:
            listed.extend(found)
            rotated.compress()
        yield found

    place = next(iter(rotated.places))
    monkeypatch.setattr(files.os, "scandir", slow)
    assert LogReader(rotated.directory).line(*place) == rotated.places[place]
    assert listed
