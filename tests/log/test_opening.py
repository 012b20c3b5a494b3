"""A leader opens the log where the database says it ends, whatever the one before it left."""

import shutil

import pytest
from logs import DAY, NOON, Log, line

from shmctx.errors import LogUnavailable
from shmctx.log.writer import LogTail, LogWriter


@pytest.mark.parametrize("committed", [0, 1, 3, 5])
@pytest.mark.parametrize("uncommitted", [1, 3, 9])
def test_what_no_transaction_covers_is_removed(log, committed, uncommitted):
    """The leader died between the write and the commit; the next one writes the same events, each once."""
    for n in range(committed):
        log.append([line(n, 300)])
    rest = [line(100 + n, 300) for n in range(uncommitted)]
    log.writer.append(rest, [NOON + DAY] * uncommitted)
    log.writer.close()

    log.lead()

    log.check()
    log.append(rest, NOON + DAY)
    log.check()
    assert log.writer.lost == []


def test_a_torn_last_line_is_removed(log):
    log.append([line(0)])
    log.writer.close()
    with log.newest().open("ab") as file:
        file.write(line(1)[:20])

    assert list(log.reader.scan(1)) == [(0, line(0))]
    log.lead()
    log.append([line(1)])

    assert log.newest().read_bytes() == line(0) + b"\n" + line(1) + b"\n"


def test_a_segment_cut_short_is_kept_and_reported(log):
    log.append([line(n) for n in range(3)])
    log.writer.close()
    kept = 2 * len(line(0)) + 2
    with log.newest().open("r+b") as file:
        file.truncate(kept + 10)
    log.places.popitem()

    writer = log.lead()

    assert log.tail == LogTail(2, "2026-03-01", 0)
    assert len(writer.lost) == 1
    assert "00000001.2026-03-01.jsonl" in writer.lost[0]
    log.append([line(3)])
    log.check()
    assert log.tail.number == 2
    log.writer.close()
    assert log.lead().lost == []


@pytest.mark.parametrize(
    "replace", [lambda _: None, lambda path: path.symlink_to("/dev/null"), lambda path: path.mkdir()]
)
def test_a_segment_that_is_gone_or_something_else_is_reported_once(log, replace):
    log.append([line(0)])
    log.writer.close()
    log.newest().unlink()
    replace(log.newest())
    log.places.clear()

    writer = log.lead()

    assert len(writer.lost) == 1
    log.append([line(1)])
    log.check()
    log.writer.close()
    assert log.lead().lost == []


def test_files_of_another_database_are_never_touched(log):
    """A new database beside the log of an old one: numbers go on, nothing is removed."""
    log.append([line(n, 600) for n in range(3)])
    log.writer.close()
    log.tail = None

    log.lead()

    assert log.tail == LogTail(4, "", 0)
    log.check()
    log.writer.append([line(9)], [NOON])
    log.writer.close()
    log.lead()  # died before its first commit
    log.append([line(9)])
    log.check()


def test_a_database_from_a_backup_removes_no_committed_segment(log):
    """Compressed segments behind the tail were committed by a database that knew more than this one."""
    log.append([line(0, 600)])
    old = log.tail
    log.append([line(n, 600) for n in range(1, 4)])
    log.compress()
    log.writer.close()
    log.tail = old

    writer = log.lead()

    assert len(writer.lost) == 1
    assert "backup" in writer.lost[0]
    assert log.tail == LogTail(5, "2026-03-01", 0)
    log.append([line(9)])
    log.check()


def test_a_deposed_leader_that_wakes_up_harms_nothing(log):
    """Stopped after its append while another one was elected: what it takes back is in files without names."""
    log.append([line(0)])
    deposed, tail = log.writer, log.tail
    deposed.append([line(100 + n, 300) for n in range(6)], [NOON] * 6)

    log.tail = tail
    log.lead()
    log.append([line(n, 300) for n in range(1, 9)])
    deposed.undo()

    log.check()
    with pytest.raises(LogUnavailable, match="Another process"):
        deposed.append([line(200)], [NOON])
    deposed.close()
    log.check()
    assert log.names() == [
        "00000001.2026-03-01.jsonl",
        "00000002.2026-03-01.jsonl",
        "00000003.2026-03-01.jsonl",
        "current.jsonl",
    ]


def test_a_deposed_leader_does_not_remove_its_successor_s_first_segment(log):
    """It made a file of that name itself, and took it back."""
    deposed = log.writer
    deposed.append([line(100)], [NOON])
    deposed.undo()
    log.lead()
    log.append([line(0)])

    with pytest.raises(LogUnavailable, match="Another process"):
        deposed.append([line(200)], [NOON])

    deposed.close()
    log.check()


def test_a_second_leader_in_a_new_directory_is_refused(directory):
    """Two stores that were given the same log: the second one says so instead of mixing their lines."""
    one, two = Log(directory), Log(directory)
    one.append([line(0)])

    with pytest.raises(LogUnavailable, match="writes it too") as caught:
        two.append([line(1)])

    assert "of its own" in caught.value.hint
    one.append([line(2)])
    one.check()
    one.close()
    two.close()


def test_a_directory_that_vanishes_is_made_again(log):
    log.append([line(0)])
    shutil.rmtree(log.directory)
    log.places.clear()

    log.append([line(1)])

    assert len(log.writer.lost) == 1
    assert log.tail == LogTail(2, "2026-03-01", len(line(1)) + 1)
    log.check()


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_a_newest_segment_that_is_removed_or_emptied_is_noticed_before_the_next_line(log, harm):
    log.append([line(n) for n in range(3)])
    harm(log.newest())
    log.places.clear()

    log.append([line(3)])

    assert len(log.writer.lost) == 1
    assert log.tail.number == 2
    log.check()


def test_a_newest_segment_that_is_replaced_is_an_error_until_the_log_is_opened_again(log):
    """As an editor does it that saves the file."""
    log.append([line(0), line(1)])
    copy = log.directory / "copy"
    shutil.copy(log.newest(), copy)
    copy.rename(log.newest())

    with pytest.raises(LogUnavailable):
        log.append([line(2)])
    log.writer.close()
    log.lead()
    log.append([line(2)])

    log.check()


def test_a_closed_log_leaves_nothing_open(log):
    log.append([line(n, 600) for n in range(3)])
    log.writer.maintain(frames=1)
    log.writer.close()
    log.writer.close()

    assert not [name for name in log.names() if name.endswith(".tmp")]
    other = LogWriter(log.directory, rotate_bytes=1000)
    assert other.open(log.tail) == log.tail
    other.close()
