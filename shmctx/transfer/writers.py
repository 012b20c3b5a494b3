"""The forms in which events leave: JSON lines with contexts inside, CSV, plain SQLite, Parquet."""

import contextlib
import csv
import gzip
import io
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from shmctx.cold.connection import Connection, connect
from shmctx.errors import InvalidField, TargetUnavailable, TransferError
from shmctx.forks import fork_gate
from shmctx.transfer.embedding import Embedded, line

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FORMS = ("jsonl", "csv", "sqlite", "parquet")
STREAMED = ("jsonl", "csv")
"""Those that can go to standard output."""
COLUMNS = (
    "position", "ref", "event_id", "event_name", "timestamp", "correlation_id", "parent_event_id", "root_event_id",
    "depth", "agent_id", "client_id", "session_id", "data", "context",
)  # fmt: skip
"""Of the forms with columns. `data` and `context` are JSON, whole; `timestamp` is seconds since 1970."""
_SUFFIXES = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".log": "jsonl", ".csv": "csv", ".db": "sqlite",
    ".sqlite": "sqlite", ".sqlite3": "sqlite", ".parquet": "parquet",
}  # fmt: skip
_BUFFER = 1 << 20
_BATCH, _BATCH_BYTES = 10_000, 32 << 20
_END = 9e9
"""Seconds since 1970: a time behind it is none."""

_decode = msgspec.json.Decoder().decode

Write = Callable[[Embedded], object]


def form_of(target: Path) -> str:
    """The form that a file's name asks for. Raises InvalidField."""
    suffixes = [suffix for suffix in map(str.lower, target.suffixes) if suffix not in (".gz", ".zst")]
    form = _SUFFIXES.get(suffixes[-1] if suffixes else "")
    if form is None:
        raise InvalidField(f"{target} does not say by its ending in which form to write.", hint="Add --format.")
    return form


def row(event: Embedded) -> tuple[Any, ...]:
    """The event under COLUMNS."""
    context = _decode(event.context)
    timestamp = _decode(event.timestamp)
    if type(timestamp) not in (int, float) or not 0 <= timestamp < _END:  # a source had text; the context knows
        timestamp = event.time_ns / 1_000_000_000
    return (
        event.position,
        context["_ref"],
        context["_event_id"],
        _decode(event.event_name),
        timestamp,
        context["_correlation_id"],
        context.get("_parent_event_id"),
        context.get("_root_event_id"),
        context["_event_depth"],
        context.get("_agent_id"),
        context.get("_client_id"),
        (context.get("_session") or {}).get("id"),
        None if event.data is None else event.data.decode(),
        event.context.decode(),
    )


def packed(file: BinaryIO, target: Path, stack: ExitStack) -> BinaryIO:
    """The file to write to, which compresses where the target's name says so."""
    if target.suffix == ".gz":
        return cast(BinaryIO, stack.enter_context(gzip.GzipFile("", "wb", 6, file, mtime=0)))
    if target.suffix == ".zst":
        return cast(BinaryIO, stack.enter_context(zstd.ZstdFile(file, "wb")))
    return file


@contextlib.contextmanager
def opened(form: str, path: Path, target: Path) -> Iterator[Write]:
    """A function that writes one event to a file in this form. `target`: what the file is called in the end.

    Raises TransferError where the form needs what is not installed, TargetUnavailable.
    """
    with ExitStack() as stack:
        if form == "sqlite":
            yield stack.enter_context(_database(path))
        elif form == "parquet":
            yield stack.enter_context(_parquet(path))
        else:
            file = stack.enter_context(path.open("wb", buffering=_BUFFER))
            yield stack.enter_context(streamed(form, packed(file, target, stack)))


@contextlib.contextmanager
def streamed(form: str, file: BinaryIO) -> Iterator[Write]:
    """A function that writes one event as JSON line or CSV."""
    if form == "jsonl":
        write = file.write
        yield lambda event: write(line(event))
        return
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
    try:
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        yield lambda event: writer.writerow(row(event))
        text.flush()
    finally:
        text.detach()


class _Batches:
    """Gathers rows until there are many, or they are large."""

    def __init__(self, store: Callable[[list[tuple[Any, ...]]], object]) -> None:
        self._store = store
        self._rows: list[tuple[Any, ...]] = []
        self._bytes = 0

    def add(self, event: Embedded) -> None:
        """One event more."""
        self._rows.append(row(event))
        self._bytes += len(event.context) + len(event.data or b"")
        if len(self._rows) >= _BATCH or self._bytes >= _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Store what is gathered."""
        if self._rows:
            self._store(self._rows)
        self._rows, self._bytes = [], 0


@contextlib.contextmanager
def _database(path: Path) -> Iterator[Write]:
    """A table `event` with COLUMNS. No journal: the file has no name of its own until it is whole."""
    types = dict.fromkeys(COLUMNS, "TEXT") | {
        "position": "INTEGER PRIMARY KEY", "timestamp": "REAL", "depth": "INTEGER"
    }  # fmt: skip
    with fork_gate:
        database = connect(path, Connection, readonly=False)
        try:
            database.execute("PRAGMA journal_mode = OFF")
            database.execute("PRAGMA synchronous = OFF")
            database.execute(f"CREATE TABLE event ({', '.join(map(' '.join, types.items()))}) STRICT")
            database.execute("BEGIN")
            insert = f"INSERT INTO event VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - question marks
            batches = _Batches(lambda rows: database.executemany(insert, rows))
            yield batches.add
            batches.flush()
            for column in ("event_id", "event_name", "timestamp", "correlation_id", "agent_id", "session_id"):
                database.execute(f"CREATE INDEX event_by_{column} ON event ({column})")
            database.execute("COMMIT")
        except sqlite3.Error as error:
            raise TargetUnavailable(
                f"The new database cannot be written: {error}.", hint="Look at the space on its disk."
            ) from error
        finally:
            database.close()


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    """COLUMNS, compressed with zstd; `timestamp` is a time of UTC in microseconds, finer ones few readers know."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise TransferError(
            "Parquet files are written with pyarrow, which is not installed.", hint="pip install 'shmctx[parquet]'"
        ) from None
    types = dict.fromkeys(COLUMNS, pa.string()) | {
        "position": pa.int64(), "timestamp": pa.timestamp("us", tz="UTC"), "depth": pa.int64(),
    }  # fmt: skip
    schema = pa.schema(list(types.items()))
    at = COLUMNS.index("timestamp")

    def store(found: list[tuple[Any, ...]]) -> None:
        columns: list[Any] = list(zip(*found, strict=True))
        columns[at] = [round(seconds * 1e6) for seconds in columns[at]]
        arrays = [pa.array(column, kind) for column, kind in zip(columns, types.values(), strict=True)]
        writer.write_table(pa.table(arrays, schema=schema))

    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        batches = _Batches(store)
        yield batches.add
        batches.flush()
