"""Finding lines by their places, from any thread and process, while the log is written, compressed and removed."""

import os
import threading
from pathlib import Path

import pytest
from logs import Log, line, varied

from shmctx.errors import LogUnavailable
from shmctx.log import erase
from shmctx.log.reader import CACHED_FRAMES, CACHED_TABLES, LogReader
from shmctx.log.sources import Cache


@pytest.fixture
def segmented(directory, seed):
    """A log of seven segments or more, of 100 kB, the first three compressed."""
    log = Log(directory, rotate_bytes=100_000)
    log.append(varied(seed, 2600))
    while sum(segment.compressed for segment in log.reader.segments()) < 3:
        assert log.writer.maintain(frames=1)
    yield log
    log.close()


def test_lines_are_found_in_any_order_with_repetitions(segmented, seed):
    places = sorted(segmented.places, key=lambda place: hash((seed, place)))
    places += places[:50]

    assert segmented.reader.lines(places) == [segmented.places[place] for place in places]


def test_a_new_reader_in_another_process_finds_them(segmented, spawn):
    (number, offset), text = max(segmented.places.items())
    process = spawn(
        """
        import sys
        from pathlib import Path
        from shmctx.log.reader import LogReader
        reader = LogReader(Path(sys.argv[1]))
        print(reader.line(1, 0).decode())
        print(reader.line(int(sys.argv[2]), int(sys.argv[3])).decode())
        """,
        segmented.directory,
        number,
        offset,
    )

    assert process.finish() == [segmented.places[1, 0].decode(), text.decode()]


@pytest.mark.parametrize("number", [1, 7])
def test_a_place_where_no_line_begins_is_none(segmented, number):
    offsets = [offset for where, offset in segmented.places if where == number]
    end = offsets[-1] + len(segmented.places[number, offsets[-1]]) + 1

    wrong = [offsets[5] + 1, offsets[5] - 1, end, end - 1, end + 10**6, -1, -(1 << 70), 1 << 63, 1 << 70]

    assert segmented.reader.lines([(number, offset) for offset in wrong]) == [None] * len(wrong)


@pytest.mark.parametrize("number", [0, -1, 99, 1 << 70])
def test_a_segment_that_is_not_there_is_empty(segmented, number):
    assert segmented.reader.line(number, 0) is None
    assert list(segmented.reader.scan(number)) == []


def test_a_directory_that_is_not_there_is_an_empty_log(directory):
    reader = LogReader(directory)

    assert (reader.segments(), reader.line(1, 0), list(reader.scan(1))) == ([], None, [])


def test_a_directory_that_cannot_be_read_is_an_error(directory):
    directory.write_text("a file")

    with pytest.raises(LogUnavailable, match="Not a directory") as caught:
        LogReader(directory).line(1, 0)
    assert caught.value.hint


@pytest.mark.parametrize("number", [2, 5])
def test_a_scan_starts_at_the_line_that_is_asked_for_or_the_next(segmented, number):
    lines = [(offset, text) for (where, offset), text in segmented.places.items() if where == number]
    start = lines[200][0]

    assert list(segmented.reader.scan(number, start)) == lines[200:]
    assert list(segmented.reader.scan(number, start + 1)) == lines[201:]
    assert list(segmented.reader.scan(number, start - 1)) == lines[200:]
    assert list(segmented.reader.scan(number, lines[-1][0] + 1)) == []
    assert list(segmented.reader.scan(number, 1 << 40)) == []


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 32_768, 300_000])
def test_lines_of_any_length_are_read_whole(directory, size):
    log = Log(directory, rotate_bytes=1_000_000)
    log.append([b"y" * size, b"", b"z" * size, line(3)])

    log.check()
    log.append([line(4, 1_000_000)])
    log.compress()
    log.check()
    log.close()


def test_a_torn_last_line_is_left_out(log):
    log.append([line(0), line(1)])
    log.writer.append([line(2)], [0])
    with log.newest().open("r+b") as file:
        file.truncate(log.newest().stat().st_size - 1)

    assert log.reader.line(1, log.tail.size) is None
    assert log.scanned() == log.places


def test_other_files_in_the_directory_are_ignored(segmented):
    before = segmented.reader.segments()
    for name in ("notes.txt", "1.2026-03-01.jsonl", "00000099.2026-03-01.jsonl.gz", "00000099.2026-3-1.jsonl"):
        (segmented.directory / name).write_bytes(b"{}\n")
    (segmented.directory / "00000100.2026-03-01.jsonl").mkdir()
    os.mkfifo(segmented.directory / "00000101.2026-03-01.jsonl")
    (segmented.directory / "00000102.2026-03-01.jsonl").symlink_to("/etc/hostname")

    assert segmented.reader.segments() == before
    assert [segment.number for segment in before] == list(range(1, segmented.tail.number + 1))
    segmented.check()


def test_segments_tell_what_is_on_disk(segmented):
    for segment in segmented.reader.segments():
        assert segment.size == segment.path.stat().st_size
        assert segment.path.name.endswith(".zst" if segment.compressed else ".jsonl")
        assert segment.day == "2026-03-01"


def test_readers_in_threads_find_everything_while_the_log_is_written_and_compressed(directory, seed):
    """One reader for all threads; a line that was committed is found from then on until its segment is removed."""
    log = Log(directory, rotate_bytes=30_000)
    log.append([line(0)])
    done = threading.Event()
    wrong: list[object] = []

    def read(first: int) -> None:
        try:
            rounds = 0
            while not done.is_set() or not rounds:
                places = list(log.places.copy().items())[first::7]  # a copy is one step, a walk is not
                found = log.reader.lines([place for place, _ in places])
                wrong.extend((place, text) for (place, text), one in zip(places, found, strict=True) if one != text)
                rounds += 1
        except BaseException as error:
            wrong.append(error)
            raise

    threads = [threading.Thread(target=read, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    try:
        texts = varied(seed, 3000)
        for n in range(0, 3000, 50):
            log.append(texts[n : n + 50])
            log.writer.maintain()
    finally:
        done.set()
        for thread in threads:
            thread.join(30)

    assert wrong == []
    assert sum(segment.compressed for segment in log.reader.segments()) > 5
    log.close()


def test_what_was_read_before_is_not_remembered_when_it_is_forgotten_or_removed(segmented):
    """A reader's caches follow the files: no blanked text out of a cached frame, no removed segment kept open."""
    places = [place for place in segmented.places if place[0] == 1]
    segmented.reader.lines(places)

    erase.blank(segmented.directory, 1, [places[3][1]])
    assert segmented.reader.line(*places[3]).startswith(b'{"forgotten":true}')
    assert segmented.reader.line(*places[4]) == segmented.places[places[4]]

    erase.remove(segmented.directory, 1)
    assert segmented.reader.lines(places) == [None] * len(places)
    assert open_files(segmented.directory) == [segmented.newest()]  # the writer's


def open_files(directory):
    found = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [Path(path) for path in found if path.startswith(str(directory))]


def test_a_reader_s_memory_is_bounded(directory, seed):
    """Whatever it has read: a few frames and tables."""
    log = Log(directory, rotate_bytes=150_000)
    log.append(varied(seed, 8000))
    log.compress()
    log.check()

    assert len(log.reader.segments()) > CACHED_TABLES
    assert len(log.reader._frames._values) == CACHED_FRAMES
    assert len(log.reader._tables._values) == CACHED_TABLES
    log.close()


def test_a_cache_keeps_what_was_used_last():
    cache = Cache[int, str](2)
    cache.put(1, "one")
    cache.put(2, "two")
    assert cache.get(1) == "one"
    cache.put(3, "three")

    assert [cache.get(key) for key in (1, 2, 3)] == ["one", None, "three"]
