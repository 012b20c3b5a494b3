"""A store's files with everything in them that a store can hold, to be damaged byte by byte and row by row."""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import shmctx
from shmctx.cold.rows import payload_from_column
from shmctx.errors import ShmctxError
from shmctx.log.reader import LogReader
from shmctx.transfer.verify import Report, verify

ROTATE = 6 << 10
EVENTS = 240
# What a store cannot compare with anything: when it was made and last looked after, what only helps to find or to
# keep, and what is put aside.
UNPROVEN = {
    "store": {"created_ns", "retention", "epoch", "generation", "capacity", "log_day"},
    "span": {"min_ns", "max_ns", "due_ns"},
    "payload": {"position"},
    "log_segment": {"first", "last", "blanked"},
    "pruning": {"position", "older_ns", "finished_ns", "report"},
    "quarantine": {"noted_ns"},
}


def fill(store: shmctx.Store) -> None:
    """Bare contexts and events, sessions, annotations, custom fields, large fields that events share, brought ids."""
    for number in range(EVENTS // 6):
        session = {"id": f"sess_{number % 5}", "agent_id": f"agent_{number % 5}", "mood": "calm"}
        with store.span("agent:spawn", data={"number": number}, agent_id=f"a-{number % 7}", session=session) as root:
            store.put("agent:status", _custom={"count": number}, user_id=f"user {number}")
            answer = store.put("completion:result", data={"prompt": f"{number % 4} {'word ' * 400}", "n": number})
            store.put("tool:call", data={"text": f"a line of some length, number {number}", "deep": {"list": [1, 2.5]}})
            store.put("state:set", data={"key": f"k{number}"}, event_id=f"evt_{number:08x}", parent=root.ref)
            store.put("agent:left")
            store.annotate(answer, _duration_ms=1.5 * number, error_message="none" if number % 9 else "late")


class Files:
    """A database and its log, which nobody has open."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.log = database.with_suffix(".events")

    def copied(self, folder: Path) -> "Files":
        """The same files once more."""
        shutil.copytree(self.database.parent, folder)
        return Files(folder / self.database.name)

    def verify(self, **options: object) -> Report:
        return verify(self.database, **options)

    def sql(self, statement: str, *values: object) -> list[tuple]:
        """Change the database, or ask it, behind the back of everybody."""
        with contextlib.closing(sqlite3.connect(self.database, isolation_level=None)) as db:
            found = db.execute(statement, values).fetchall()
            assert not statement.startswith(("DELETE", "UPDATE")) or db.total_changes, "nothing was damaged"
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return found

    def content(self) -> tuple[object, ...]:
        """What the database says, but for what nobody can prove; an error where it cannot be read."""
        try:
            with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
                return tuple(self._table(db, name) for name in self._tables(db))
        except (sqlite3.Error, UnicodeDecodeError) as error:  # a message may repeat the damaged bytes
            return (str(error),)

    @staticmethod
    def _tables(db: sqlite3.Connection) -> list[str]:
        return [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]

    @staticmethod
    def _table(db: sqlite3.Connection, name: str) -> object:
        known = [row[1] for row in db.execute(f"PRAGMA table_info({name})")]
        columns = [column for column in known if column not in UNPROVEN.get(name, ())]
        rows = db.execute(f"SELECT {', '.join(columns)} FROM {name}").fetchall() if columns else []
        if name == "payload":  # a bit of a zstd header may mean nothing
            rows = [(*row[:2], payload_from_column(row[2])) for row in rows if type(row[2]) is bytes]
        return name, sorted(map(repr, rows))

    def lines(self) -> list[object]:
        """What the log says."""
        reader = LogReader(self.log)
        found: list[object] = []
        for segment in reader.segments():
            try:
                found += [(segment.number, *placed) for placed in reader.scan(segment.number)]
            except ShmctxError as error:
                found.append(str(error))
        return found

    def segment(self, index: int) -> Path:
        """A file of the log; -1 is the newest, which is not compressed."""
        return LogReader(self.log).segments()[index].path


def flip(path: Path, offset: int, mask: int = 1) -> None:
    """Change one byte of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ mask]))


def replace(path: Path, old: bytes, new: bytes) -> None:
    """Change the first place of a file that has these bytes."""
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def truncate(path: Path, fewer: int) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - fewer)


def made(name: str, folder: Path, wait_for: Callable[..., object]) -> Files:
    """Such files, from a store that is closed and whose segment is gone."""
    files = Files(folder / "contexts.db")
    settings = shmctx.Settings(log_rotate_bytes=ROTATE, large_size=512, idle_interval=0.05)
    with shmctx.open(name, db=files.database, ring_size=1 << 20, settings=settings) as store:
        fill(store)
        store.flush()
        reader = LogReader(files.log)
        wait_for(lambda: all(segment.compressed for segment in reader.segments()[:-1]))
    shmctx.unlink(name)
    assert len(reader.segments()) > 2
    return files


def kinds(report: Report) -> set[str]:
    return set(report.problem_counts)
