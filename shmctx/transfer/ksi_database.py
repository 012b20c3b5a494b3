"""KSI's SQLite database: contexts by their references, and which contexts and events it knows. Only read."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from shmctx.cold.connection import SelfGated, connect
from shmctx.errors import SourceUnreadable
from shmctx.records import NOT_DECODABLE
from shmctx.transfer.forms import SourceEvent, nanoseconds

CHUNK = 500
"""References of one question: older builds of SQLite take 999 values."""
_decode = msgspec.json.Decoder().decode

_SOME = "SELECT ref, context_json FROM contexts WHERE ref IN ({})"
_ALL = """
SELECT c.rowid, c.ref, c.context_json, c.created_at, e.event_name, e.timestamp
FROM contexts AS c LEFT JOIN events AS e ON e.event_id = c.event_id
WHERE c.rowid > ? ORDER BY c.rowid LIMIT ?"""


class KsiDatabase:
    """Tables `contexts` and `events` as KSI's context manager writes them."""

    def __init__(self, path: Path) -> None:
        """Raises SourceUnreadable where it is another database."""
        self.path = path
        try:
            self._db = connect(path, SelfGated, readonly=True)
            tables = {row[0] for row in self._db.execute("SELECT name FROM sqlite_schema")}
        except sqlite3.Error as error:
            raise self._unreadable(error) from None
        if not {"contexts", "events"} <= tables:
            self._db.close()
            raise SourceUnreadable(
                f"{path} is no database of KSI: it has no tables `contexts` and `events`.",
                hint="Name the database that KSI calls context_db_path.",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def contexts(self, refs: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The contexts that these references lead to; those that lead nowhere, or to no JSON object, are left out."""
        found: dict[str, dict[str, Any]] = {}
        unique = list(dict.fromkeys(refs))
        for start in range(0, len(unique), CHUNK):
            some = unique[start : start + CHUNK]
            rows = self._rows(_SOME.format(", ".join("?" * len(some))), some)
            found |= {ref: context for ref, text in rows if (context := _object(text)) is not None}
        return found

    def events(self, after: int = 0) -> Iterator[SourceEvent | tuple[int, str, str]]:
        """Every context from behind a row on, as an event without data; (row, raw text, reason) for one that is no JSON
        object. `line` and `end` are the row."""
        while True:
            rows = self._rows(_ALL, (after, CHUNK))
            for row, ref, text, created, named, time in rows:
                context = _object(text)
                if context is None:
                    yield row, str(text), f"context_json of {ref} is no JSON object"
                    continue
                moment = context.get("_event_timestamp")
                time_ns = next(filter(None, map(nanoseconds, (moment, time, created))), None)
                name = str(named or context.get("_event_name") or "")
                size = len(text.encode())
                yield SourceEvent(name, time_ns, None, context, "context", {}, ref, str(self.path), row, row, size)
            if len(rows) < CHUNK:
                return
            after = rows[-1][0]

    def _rows(self, sql: str, values: Sequence[Any]) -> list[Any]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: sqlite3.Error) -> SourceUnreadable:
        return SourceUnreadable(f"{self.path} cannot be read: {error}.", hint="Check the file, or restore a backup.")


def _object(text: object) -> dict[str, Any] | None:
    try:
        found = _decode(text) if isinstance(text, str | bytes) else None
    except NOT_DECODABLE:
        return None
    return found if isinstance(found, dict) else None
