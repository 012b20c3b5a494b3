"""Disks that are full, read-only or limited, and directories that are none: a clear error, then the log goes on."""

import os
import resource
import shutil
import textwrap
from pathlib import Path

import pytest
from logs import NOON, Log, line, varied

from shmctx.errors import LogUnavailable
from shmctx.log.writer import LogWriter

HERE = Path(__file__).parent


@pytest.fixture
def unshared_disk(own_disk):
    """Runs a program with a file system of one megabyte mounted for it alone; returns the lines that it prints."""
    disk, run = own_disk
    return lambda script: run("1m", "-W", "error", "-c", textwrap.dedent(script), HERE, disk, timeout=60).splitlines()


FULL = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from logs import Log, line
from shmctx.errors import LogUnavailable
disk = Path(sys.argv[2])
filler = disk / "filler"
log = Log(disk / "log", rotate_bytes=100_000)

def fill():
    try:
        with filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
    except OSError:
        pass
"""


def test_a_full_disk_is_an_error_until_there_is_room(unshared_disk):
    """A batch that does not fit leaves no trace; the same batch goes in once there is room."""
    said = unshared_disk(
        FULL
        + """
log.append([line(n, 1000) for n in range(150)])
filler.write_bytes(bytes(500_000))
n = 150
try:
    while n < 10_000:
        log.append([line(n + m, 1000) for m in range(50)])
        n += 50
except LogUnavailable as error:
    print(n > 150, error)
log.writer.open(log.tail)
log.check()
filler.unlink()
log.append([line(n + m, 1000) for m in range(50)])
log.check()
"""
    )

    assert len(said) == 1
    assert said[0].startswith("True")
    assert "No space left on device" in said[0]
    assert "Free space on the disk" in said[0]


def test_compression_on_a_full_disk_is_an_error_until_there_is_room(unshared_disk):
    said = unshared_disk(
        FULL
        + """
log.append([line(n, 1000) for n in range(550)])
fill()
try:
    log.compress()
except LogUnavailable as error:
    print(error)
log.check()
filler.unlink()
log.compress()
log.check()
print(sum(segment.compressed for segment in log.reader.segments()) > 3, list(log.directory.glob("*.tmp")))
"""
    )

    assert "No space left on device" in said[0]
    assert said[1:] == ["True []"]


def test_a_read_only_disk_can_be_read_and_not_written(unshared_disk):
    said = unshared_disk(
        """
        import subprocess, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[1])
        from logs import Log, line
        from shmctx.errors import LogUnavailable
        from shmctx.log.erase import blank, remove
        log = Log(Path(sys.argv[2]) / "log", rotate_bytes=100_000)
        log.append([line(n, 1000) for n in range(250)])
        log.close()
        subprocess.run(["mount", "-o", "remount,ro", sys.argv[2]], check=True)
        log.check()
        for refused in (log.lead, lambda: blank(log.directory, 1, [0]), lambda: remove(log.directory, 1)):
            try:
                refused()
            except LogUnavailable as error:
                print(error)
        log.check()
        subprocess.run(["mount", "-o", "remount,rw", sys.argv[2]], check=True)
        log.lead()
        log.append([line(250)])
        log.check()
        """
    )

    assert len(said) == 3
    assert all("Read-only file system" in text and "Make the directory writable" in text for text in said)


def test_a_limit_on_file_sizes_is_an_error_that_passes(log):
    log.rotate_bytes = 100_000
    log.close()
    log.lead()
    log.append([line(0)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(LogUnavailable, match="File too large") as caught:
            log.append([line(n, 1000) for n in range(1, 50)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert "ulimit" in caught.value.hint
    log.append([line(n, 1000) for n in range(1, 50)])
    log.check()


def test_a_file_in_place_of_the_directory_is_an_error_until_it_is_moved_away(directory):
    directory.write_text("not a directory")
    writer = LogWriter(directory, rotate_bytes=1000)

    with pytest.raises(LogUnavailable, match="File exists") as caught:
        writer.open(None)
    assert "Name another directory" in caught.value.hint
    directory.unlink()
    writer.open(None)
    writer.append([line(0)], [NOON])
    writer.close()


def test_a_directory_replaced_by_a_file_under_the_writer(log):
    log.append([line(0)])
    shutil.rmtree(log.directory)
    log.directory.write_text("not a directory")
    for _ in range(2):
        with pytest.raises(LogUnavailable):
            log.writer.append([line(1)], [NOON])
    log.directory.unlink()
    log.places.clear()

    log.append([line(1)])

    assert len(log.writer.lost) == 1
    log.check()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_of_somebody_else_is_an_error(log):
    log.append([line(0)])
    log.close()
    log.directory.chmod(0o500)
    try:
        with pytest.raises(LogUnavailable, match="Permission denied"):
            log.append([line(n, 600) for n in range(3)])
    finally:
        log.directory.chmod(0o700)


def test_a_disk_that_takes_a_part_of_a_write_gets_the_rest(directory, monkeypatch):
    """A write may take less than it is given, as on a nearly full disk."""
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: write(descriptor, data[:777], offset))
    log = Log(directory, rotate_bytes=50_000)
    log.append(varied(3, 400))
    log.compress()

    log.check()
    log.close()
