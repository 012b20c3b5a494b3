"""A piece of work on an event log, done again and again in a child that is killed, or meets an error, at its first
system call that changes a file, then at its second, and so on until none is left; each time a survivor must find
everything.

    python killed.py DIRECTORY (batches | compression | blanking) (before | after | ENOSPC | EIO | half)

`before` and `after` kill around the call, `half` kills after half of a write. Prints how many calls there were.
"""

import errno
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from logs import NOON, Log, each, line, varied

from shmctx.errors import LogUnavailable
from shmctx.log.erase import FORGOTTEN, blank
from shmctx.log.reader import LogReader
from shmctx.log.writer import LogTail, LogWriter

CHANGING = (
    "open", "pwrite", "fsync", "fdatasync", "ftruncate", "rename", "unlink", "symlink", "mkdir", "fchmod", "sendfile",
)  # fmt: skip
BATCHES = [[line(10 * n + m, 250) for m in range(n % 4 + 1)] for n in range(7)]


class Interrupted:
    """Counts the calls, and does what is to be done at the chosen one."""

    def __init__(self, chosen: int, how: str) -> None:
        self.chosen = chosen
        self.how = how
        self.count = 0
        for name in CHANGING:
            setattr(os, name, self.around(name, getattr(os, name)))

    def around(self, name: str, call: Callable) -> Callable:
        def wrapped(*arguments, **options):
            self.count += 1
            if self.count != self.chosen:
                return call(*arguments, **options)
            if self.how in ("ENOSPC", "EIO"):
                raise OSError(getattr(errno, self.how), os.strerror(getattr(errno, self.how)))
            if self.how == "half" and name == "pwrite":
                descriptor, data, offset = arguments
                call(descriptor, data[: len(data) // 2], offset)
            elif self.how != "before":
                call(*arguments, **options)
            return os.kill(os.getpid(), signal.SIGKILL)

        return wrapped


class Database:
    """Stands for the database: the tail and the number of batches, committed in one step."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[LogTail | None, int, list]:
        if not self.path.exists():
            return None, 0, []
        tail, batches, places = json.loads(self.path.read_bytes())
        return msgspec.convert(tail, LogTail), batches, places

    def commit(self, tail: LogTail, batches: int, places: list) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps([msgspec.to_builtins(tail), batches, places]))
        new.rename(self.path)


def write_batches(directory: Path, database: Database) -> None:
    """A leader's life, from wherever the database stands; an error makes it open the log again, as the leader does."""
    for _ in range(4):
        writer = LogWriter(directory, rotate_bytes=900)
        try:
            tail, done, places = database.read()
            database.commit(writer.open(tail), done, places)
            for lines in BATCHES[done:]:
                placed, tails = writer.append(lines, [NOON] * len(lines))
                writer.sync()
                done, places = done + 1, places + each(placed)
                database.commit(tails[-1], done, places)
        except (LogUnavailable, OSError):
            continue
        finally:
            writer.close()
        return
    raise AssertionError("one error kept the log from being written")


def check_batches(directory: Path, database: Database) -> None:
    """A survivor goes on; every line is there once, in order."""
    write_batches(directory, database)
    reader = LogReader(directory)
    expected = [text for lines in BATCHES for text in lines]
    assert [text for segment in reader.segments() for _, text in reader.scan(segment.number)] == expected
    assert reader.lines([tuple(place) for place in database.read()[2]]) == expected
    assert not list(directory.glob("*.tmp"))


def compress_all(log: Log) -> None:
    for _ in range(4):
        try:
            log.lead()
            log.compress()
        except LogUnavailable:
            continue
        return
    raise AssertionError("one error kept the log from being compressed")


def check_compression(log: Log) -> None:
    log.check()
    compress_all(log)
    log.check()
    assert [segment.compressed for segment in log.reader.segments()] == [True] * (log.tail.number - 1) + [False]
    assert len(log.names()) == log.tail.number + 1, log.names()


def chosen_lines(log: Log) -> dict[int, list[int]]:
    """Offsets of a few lines of the compressed segments and of the newest."""
    return {
        number: [offset for where, offset in log.places if where == number][2:600:99] for number in (1, log.tail.number)
    }


def blank_some(log: Log) -> None:
    for number, offsets in chosen_lines(log).items():
        for _ in range(2):
            try:
                blank(log.directory, number, offsets)
            except LogUnavailable:
                continue
            break


def check_blanking(log: Log) -> None:
    """Before it is done again, a line is what it was or blank, or half of it is; afterwards it is blank.

    No other line is touched.
    """
    wanted = dict(log.places)
    for number, offsets in chosen_lines(log).items():
        wanted.update({(number, offset): FORGOTTEN.ljust(len(wanted[number, offset])) for offset in offsets})
    found = log.scanned()
    assert found.keys() == wanted.keys()
    for place, text in found.items():
        half = len(text) // 2
        assert text in (log.places[place], wanted[place], wanted[place][:half] + log.places[place][half:])
    blank_some(log)
    assert log.scanned() == wanted
    log.lead()
    assert not list(log.directory.glob("*.tmp"))


def in_child(work: Callable[[], object], chosen: int, how: str) -> bool:
    """Whether the work came to an end before the chosen call."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            interrupted = Interrupted(chosen, how)
            work()
            code = 2 if interrupted.count < chosen else 0
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, 2, -signal.SIGKILL), f"call {chosen}: the child ended with {status}"
    return status == 2


class Batches:
    """Writing all batches."""

    def __init__(self, base: Path) -> None:
        self.directory = base / "log"
        self.database = Database(base / "database")

    def restore(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        self.database.path.unlink(missing_ok=True)

    def work(self) -> None:
        write_batches(self.directory, self.database)

    def check(self) -> None:
        check_batches(self.directory, self.database)


class Compression:
    """Compressing two rotated segments of a log that was written before."""

    def __init__(self, base: Path) -> None:
        self.log = Log(base / "log", rotate_bytes=140_000)
        self.log.append(varied(7, 1300))
        self.prepare()
        self.log.close()
        self.copy = base / "copy"
        shutil.copytree(self.log.directory, self.copy, symlinks=True)

    def prepare(self) -> None:
        assert self.log.tail.number == 3

    def restore(self) -> None:
        self.log.close()
        shutil.rmtree(self.log.directory)
        shutil.copytree(self.copy, self.log.directory, symlinks=True)

    def work(self) -> None:
        compress_all(self.log)

    def check(self) -> None:
        check_compression(self.log)


class Blanking(Compression):
    """Blanking lines of a compressed segment and of the newest."""

    def prepare(self) -> None:
        self.log.compress()

    def work(self) -> None:
        blank_some(self.log)

    def check(self) -> None:
        check_blanking(self.log)


SCENARIOS = {"batches": Batches, "compression": Compression, "blanking": Blanking}


def main() -> None:
    base, work, how = sys.argv[1:]
    scenario = SCENARIOS[work](Path(base))
    for chosen in range(1, 1000):
        scenario.restore()
        ended = in_child(scenario.work, chosen, how)
        scenario.check()
        if ended:
            print(chosen - 1)
            return
    raise AssertionError("the work does not end")


if __name__ == "__main__":
    main()
