"""Appending: where lines go, when segments are rotated, what a batch is, and what is taken back."""

import os
import stat
import subprocess

import pytest
from logs import DAY, NOON, Log, each, line, varied

from shmctx.log.erase import blank
from shmctx.log.writer import LogTail


def test_lines_are_where_append_says(log):
    first = log.append([line(n) for n in range(3)])
    second = log.append([line(3)])

    length = len(line(0)) + 1
    assert first == [(1, 0), (1, length), (1, 2 * length)]
    assert second == [(1, 3 * length)]
    assert log.tail == LogTail(1, "2026-03-01", 4 * length)
    assert log.newest().read_bytes() == b"".join(line(n) + b"\n" for n in range(4))
    log.check()


def test_a_batch_of_nothing_changes_nothing(log):
    assert log.writer.append([], []) == ([], [])
    assert log.names() == []
    assert log.writer.tail == LogTail(1, "", 0)


def test_a_segment_does_not_grow_beyond_its_limit(log):
    log.append([line(n, 300) for n in range(8)])

    assert [(number, offset // 301) for number, offset in log.places] == [
        (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1),
    ]  # fmt: skip
    assert [segment.size for segment in log.reader.segments()] == [903, 903, 602]
    log.check()


def test_rotation_inside_a_batch_gives_a_tail_for_every_segment(log):
    log.append([line(0, 600)])

    placed, tails = log.writer.append([line(n, 300) for n in range(1, 6)], [NOON] * 5)

    assert [number for number, _ in each(placed)] == [1, 2, 2, 2, 3]
    assert [(tail.number, tail.size) for tail in tails] == [(1, 902), (2, 903), (3, 301)]


def test_a_line_beyond_the_limit_has_a_segment_of_its_own(log):
    log.append([line(0), line(1, 5000), line(2)])

    assert [number for number, _ in log.places] == [1, 2, 3]
    log.check()


def test_a_day_has_its_own_segments(log):
    lines = [line(n) for n in range(4)]
    placed, _ = log.writer.append(lines, [NOON, NOON + DAY // 2 - 1, NOON + DAY // 2, NOON + DAY])

    assert [number for number, _ in each(placed)] == [1, 1, 2, 2]
    assert log.names() == ["00000001.2026-03-01.jsonl", "00000002.2026-03-02.jsonl", "current.jsonl"]
    assert log.writer.append([line(4)], [NOON + 2 * DAY])[0] == [(3, [0])]


def test_a_clock_that_goes_back_does_not_rotate(log):
    log.append([line(0)], NOON)
    log.append([line(1)], NOON - 3 * DAY)
    log.append([line(2)], NOON + DAY)
    log.append([line(3, 2000)], NOON - DAY)

    assert [segment.day for segment in log.reader.segments()] == ["2026-03-01", "2026-03-02", "2026-03-02"]
    log.check()


@pytest.mark.parametrize("time_ns", [-1, -(1 << 80), 1 << 80, 0])
def test_any_time_is_a_day(log, time_ns):
    log.append([line(0)], time_ns)
    log.append([line(1)], NOON)

    log.check()


def test_a_newline_between_tokens_stays_one_line(log):
    """Inside of a JSON string there is none; between tokens any white space is as good."""
    placed, _ = log.writer.append([b'{"a":\n1}', b'{"b":2}'], [NOON, NOON])

    assert log.reader.lines(each(placed)) == [b'{"a": 1}', b'{"b":2}']


def test_the_link_leads_to_the_segment_being_written(log):
    for n in range(3):
        log.append([line(n, 900)])

        assert os.readlink(log.directory / "current.jsonl") == log.newest().name


def test_tail_follows_the_link_over_a_rotation(log):
    log.append([line(0)])
    with subprocess.Popen(
        ["tail", "-n", "+1", "-F", "-s", "0.05", log.directory / "current.jsonl"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as tail:
        try:
            for n in range(1, 6):
                assert tail.stdout.readline() == line(n - 1, 600 if n > 1 else 0) + b"\n"
                log.append([line(n, 600)])
        finally:
            tail.kill()
    assert log.tail.number > 3


@pytest.mark.parametrize("umask", [0o000, 0o027, 0o777])
def test_everything_is_private_whatever_the_umask(directory, umask):
    before = os.umask(umask)
    try:
        log = Log(directory)
        log.append([line(n, 600) for n in range(3)])
        log.compress()
    finally:
        os.umask(before)
    log.close()

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.lstat().st_mode) for path in directory.iterdir() if not path.is_symlink()] == [0o600] * 3
    assert len(list(directory.glob("*.zst"))) == 2


@pytest.mark.parametrize("before", [0, 1, 4])
@pytest.mark.parametrize("taken_back", [1, 3, 12])
@pytest.mark.parametrize("time_ns", [NOON, NOON + DAY])
def test_undo_is_as_if_nothing_had_been_appended(log, before, taken_back, time_ns):
    """Over rotations as well, and for the first batch of all."""
    for n in range(before):
        log.append([line(n, 300)])
    tail = log.writer.tail

    log.writer.append([line(100 + n, 300) for n in range(taken_back)], [time_ns] * taken_back)
    log.writer.undo()

    assert log.writer.tail == tail
    log.append([line(50, 200)])
    log.check()
    assert os.readlink(log.directory / "current.jsonl") == log.newest().name


@pytest.mark.parametrize("count", [1, 12])
def test_undone_lines_stay_in_the_files_until_something_else_is_written(log, count):
    """A commit that failed at its sync may turn up again after a crash: the lines it speaks of must be there."""
    log.append([line(0, 300)])
    lines = [line(1 + n, 300) for n in range(count)]
    placed, tails = log.writer.append(lines, [NOON] * count)
    log.writer.sync()
    log.writer.undo()
    log.writer.close()

    log.tail = tails[-1]
    log.places.update(zip(each(placed), lines, strict=True))
    log.lead()

    assert log.writer.lost == []
    log.check()


def test_undo_twice_and_without_a_batch_changes_nothing(log):
    log.writer.undo()
    log.append([line(0)])
    log.writer.append([line(1)], [NOON])
    log.writer.undo()
    log.writer.undo()
    log.append([line(2)])

    log.check()


def test_many_batches_of_random_sizes_are_found_again(directory, seed):
    log = Log(directory, rotate_bytes=20_000)
    lines = varied(seed, 3000)
    while lines:
        count = seed % 97 + 1
        log.append(lines[:count])
        lines = lines[count:]
        log.writer.maintain()

    log.check()
    log.compress()
    log.check()
    log.close()


@pytest.fixture
def synced(monkeypatch):
    """Every (system call, path) that is synced."""
    found = []

    def watch(name, call):
        def watched(descriptor):
            found.append((name, os.readlink(f"/proc/self/fd/{descriptor}")))
            call(descriptor)

        monkeypatch.setattr(os, name, watched)

    watch("fdatasync", os.fdatasync)
    watch("fsync", os.fsync)
    return found


def test_sync_reaches_every_file_of_the_batch_and_the_names(log, synced):
    """What the commit will speak of is on disk: each segment that was written, and the directory of a new one."""
    log.append([line(0, 600)])
    first = log.newest()
    assert synced[-2:] == [("fdatasync", str(first)), ("fsync", str(log.directory))]
    synced.clear()

    log.append([line(1, 100), line(2, 600), line(3, 600)])
    names = [str(segment.path) for segment in log.reader.segments()]
    assert synced == [*(("fdatasync", name) for name in names), ("fsync", str(log.directory))]
    synced.clear()

    log.append([line(4, 100)])
    assert synced == [("fdatasync", names[-1])]
    synced.clear()
    log.writer.sync()
    assert synced == []


def test_a_compressed_file_is_on_disk_before_its_source_goes(log, synced):
    log.append([line(n, 900) for n in range(3)])
    names = [str(segment.path) for segment in log.reader.segments()]
    synced.clear()

    log.compress()

    for name in names[:2]:
        renamed = synced.index(("fsync", str(log.directory)))
        assert any(call == "fsync" and path.startswith(f"{name}.zst.") for call, path in synced[:renamed])
        del synced[: renamed + 1]


def test_blanked_lines_are_on_disk(log, synced):
    log.append([line(n, 900) for n in range(3)])
    while not log.reader.segments()[0].compressed:
        log.writer.maintain(frames=1)
    compressed, plain, _ = (str(segment.path) for segment in log.reader.segments())
    synced.clear()

    blank(log.directory, 2, [0])
    assert synced == [("fdatasync", plain)]
    synced.clear()
    blank(log.directory, 1, [0])
    assert synced[0][1].startswith(f"{compressed}.")
    assert synced[1:] == [("fsync", str(log.directory))]
