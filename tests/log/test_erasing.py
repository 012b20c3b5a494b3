"""Blanking lines and removing segments: what is asked for is gone from the files, all else stays in its place."""

import threading

import pytest
from logs import Log, line, varied

from shmctx.errors import LogDamaged, LogUnavailable
from shmctx.log import files
from shmctx.log.erase import FORGOTTEN, blank, remove


@pytest.fixture(params=["plain", "compressed"])
def rotated(request, directory, seed):
    """A log of a few segments of 250 kB; the rotated ones in both forms."""
    log = Log(directory, rotate_bytes=250_000)
    log.append(varied(seed, 2800))
    if request.param == "compressed":
        log.compress()
    yield log
    log.close()


def forget(log, places, number=1):
    """Blank, and expect it of the log from now on."""
    saved = blank(log.directory, number, [offset for _, offset in places])
    log.places.update({place: FORGOTTEN.ljust(len(log.places[place])) for place in places})
    return saved


def content(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_blanked_lines_are_gone_and_all_others_stay(rotated):
    chosen = [place for place in rotated.places if place[0] == 1]
    chosen = [chosen[0], *chosen[7::61], chosen[-1]]

    names = rotated.names()

    forget(rotated, chosen)

    rotated.check()
    assert rotated.names() == names


def test_blanking_lines_of_a_whole_segment_gives_space_back_where_it_is_compressed(rotated):
    first = rotated.reader.segments()[0]

    saved = forget(rotated, [place for place in rotated.places if place[0] == 1])

    rotated.check()
    assert first.size - rotated.reader.segments()[0].size == saved
    assert saved > first.size * 0.7 if first.compressed else saved == 0


def test_blanking_again_changes_nothing(rotated):
    chosen = [place for place in rotated.places if place[0] == 1][3:9]
    forget(rotated, chosen)
    before = content(rotated.directory)

    assert forget(rotated, chosen) == 0
    assert content(rotated.directory) == before


def test_blanking_in_the_segment_that_is_being_written(rotated):
    number = rotated.tail.number
    chosen = [place for place in rotated.places if place[0] == number][:2]

    forget(rotated, chosen, number)
    rotated.append([line(1)])

    rotated.check()


def test_the_source_that_a_crash_left_beside_its_compressed_form_goes(directory, seed):
    """Else what is forgotten in one form would live on in the other."""
    log = Log(directory, rotate_bytes=250_000)
    log.append(varied(seed, 1300))
    source = log.reader.segments()[0].path
    text = source.read_bytes()
    log.compress()
    source.write_bytes(text)

    forget(log, [(1, 0)])

    assert not source.exists()
    log.check()
    log.close()


def test_a_line_too_short_for_the_mark_becomes_spaces(log):
    log.append([b"{}", b"{}", line(2)])

    blank(log.directory, 1, [3])

    assert log.reader.lines([(1, 0), (1, 3), (1, 6)]) == [b"{}", b"  ", line(2)]


@pytest.mark.parametrize("shift", [1, -1, 10**7, -(10**7)])
def test_an_offset_where_no_line_begins_is_refused_and_nothing_is_changed(rotated, shift):
    places = [place for place in rotated.places if place[0] == 1]
    before = content(rotated.directory)

    with pytest.raises(LogDamaged, match="No line begins"):
        blank(rotated.directory, 1, [places[0][1], places[50][1] + shift, places[60][1]])

    assert content(rotated.directory) == before


def test_what_is_gone_has_nothing_to_forget(rotated, tmp_path):
    assert blank(rotated.directory, 99, [0]) == 0
    assert blank(rotated.directory, 1, []) == 0
    assert blank(tmp_path / "nothing", 1, [0]) == 0
    rotated.check()


def test_processes_that_blank_at_once_lose_nothing(rotated):
    """Two rewrites of one compressed segment wait for each other."""
    chosen = [place for place in rotated.places if place[0] == 1][::25]
    failed = []

    def some(first):
        try:
            for _, offset in chosen[first::4]:
                blank(rotated.directory, 1, [offset], timeout=30)
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=some, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failed == []
    rotated.places.update({place: FORGOTTEN.ljust(len(rotated.places[place])) for place in chosen})
    rotated.check()


@pytest.mark.parametrize(
    "erase",
    [lambda log: blank(log.directory, 1, [0], timeout=0.05), lambda log: remove(log.directory, 1, timeout=0.05)],
)
def test_a_lock_that_another_process_keeps_is_an_error(rotated, erase):
    with files.exclusive(rotated.directory, 0) as held:
        assert held
        with pytest.raises(LogUnavailable, match="Another process") as caught:
            erase(rotated)
    assert "stopped" in caught.value.hint
    rotated.check()


def test_a_removed_segment_is_gone_in_every_form(rotated):
    first = rotated.reader.segments()[0]
    unfinished = rotated.directory / f"00000001.{first.day}.jsonl.zst.0123abcd.tmp"
    unfinished.write_bytes(b"half")

    assert remove(rotated.directory, 1) == first.size

    rotated.places = {place: text for place, text in rotated.places.items() if place[0] != 1}
    rotated.check()
    assert not [name for name in rotated.names() if name.startswith("00000001")]
    assert remove(rotated.directory, 1) == 0


def test_the_newest_segment_is_never_removed(rotated):
    with pytest.raises(ValueError, match="newest"):
        remove(rotated.directory, rotated.tail.number)
    rotated.check()


def test_a_segment_removed_while_it_is_compressed_stays_removed(directory, seed):
    log = Log(directory, rotate_bytes=250_000)
    log.append(varied(seed, 1300))
    for _ in range(3):
        log.writer.maintain(frames=1)

    remove(log.directory, 1)
    log.compress()

    log.places = {place: text for place, text in log.places.items() if place[0] != 1}
    log.check()
    log.close()


def test_removing_from_a_directory_that_is_gone_is_nothing(tmp_path):
    assert remove(tmp_path / "nothing", 1) == 0
