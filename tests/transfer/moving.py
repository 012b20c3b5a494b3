"""What tests of moving in share: logs of another system, the command as a user runs it, and what came of every line."""

import hashlib
import json
import os
import sqlite3
import sys
from pathlib import Path
from typing import NamedTuple

import warm

SHMCTX = [sys.executable, "-m", "shmctx"]
LIMIT = 90.0  # seconds; only a command that hangs reaches it
BEGIN = 1_753_156_000.0  # seconds since 1970


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def report(self):
        return json.loads(self.out)

    @property
    def counts(self):
        return self.report["counts"]


def event(number, /, **context):
    """An event as a KSI daemon logs it, the `number`th of its log."""
    own = {
        "_event_id": f"evt_{number:08x}",
        "_event_timestamp": BEGIN + number,
        "_correlation_id": "corr_0000000a",
        "_event_depth": 0,
        "_agent_id": f"agent-{number % 3}",
    }
    inside = {name: value for name, value in (own | context).items() if value is not ...}
    return {
        "timestamp": BEGIN + number,
        "event_name": f"agent:step{number % 5}",
        "data": {"number": number, "_ksi_context": inside},
    }


def line(value):
    """One line of a log."""
    return json.dumps(value).encode() + b"\n"


def log_of(path, lines):
    """A file of lines: bytes as they are, everything else as JSON."""
    path.write_bytes(b"".join(item if isinstance(item, bytes) else line(item) for item in lines))
    return path


def ksi_database(path, contexts, events=()):
    """A database as KSI's context manager makes it."""
    with sqlite3.connect(path) as db:
        db.executescript(
            """
            CREATE TABLE contexts (ref TEXT PRIMARY KEY, event_id TEXT UNIQUE, correlation_id TEXT, session_id TEXT,
                agent_id TEXT, context_json JSON NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL);
            CREATE TABLE events (event_id TEXT PRIMARY KEY, event_name TEXT NOT NULL, timestamp REAL NOT NULL,
                context_ref TEXT NOT NULL, jsonl_offset INTEGER, jsonl_file TEXT);
            """
        )
        for context in contexts:
            text = context if isinstance(context, str) else json.dumps(context)
            own = "evt_broken" if isinstance(context, str) else context["_event_id"]
            db.execute(
                "INSERT INTO contexts VALUES (?, ?, 'c', 's', 'a', ?, 1753156000, 1755748000)",
                (f"ctx_{own}", own, text),
            )
        db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, 0, '')", events)
    db.close()
    return path


def shmctx(*arguments, stdin=b"", env=None):
    return Result(*warm.run("shmctx", arguments, {**os.environ, **(env or {})}, stdin))


class Move:
    """A database and a log in a folder, and sources that nobody may change."""

    def __init__(self, folder: Path) -> None:
        self.db = folder / "contexts.db"
        self.log = folder / "log"
        self._back = folder / "back.jsonl"

    def command(self, *sources, options=()):
        return ["migrate", *sources, "--db", self.db, "--out", self.log, "--json", *options]

    def run(self, *sources, code=None, options=(), stdin=b""):
        """Migrate. Ends with 5 if lines were put aside, else with 0, unless another code is expected."""
        before = [_state(source) for source in sources]
        result = shmctx(*self.command(*sources, options=options), stdin=stdin)
        expected = code if code is not None else 5 if result.code == 5 and result.counts["bad"] else 0
        assert result.code == expected, result
        assert [_state(source) for source in sources] == before, "a source was changed"
        assert "Traceback" not in result.err
        return result

    def events(self):
        """What the way back gives: every event that was stored, in its old form."""
        result = shmctx("export", "--db", self.db, "--log", self.log, "--to", self._back, "--force")
        assert result.code == 0, result
        return [json.loads(text) for text in self._back.read_bytes().splitlines()]

    def bad(self):
        """(line number, reason) of every line that was put aside."""
        path = self.log / "bad-lines.jsonl"
        told = [json.loads(text) for text in path.read_bytes().splitlines()] if path.exists() else []
        return [(bad["line"], bad["reason"]) for bad in told]

    def verify(self, *against):
        """Verification, as its report; fails if it finds a problem."""
        options = [part for source in against for part in ("--against", source)]
        result = shmctx("verify", "--db", self.db, "--log", self.log, *options, "--json")
        assert result.code == 0, result
        return result.report


def _state(source):
    """What nobody may change of a file or folder."""
    source = Path(source)
    paths = sorted(source.rglob("*")) if source.is_dir() else [source] if source.exists() else []
    return [
        (path, path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in paths
        if path.is_file()
    ]
