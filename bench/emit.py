"""What does it cost to emit an event to one handler, stored and logged, beside storing nothing, and beside a dict?"""

import asyncio
import contextvars
import itertools
import json
import sqlite3
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import shmctx
from bench import stage
from bench.harness import Options, Row, faster_at_least, interleave, main, net_ns, versus
from bench.latency import lead
from shmctx.context import Context
from shmctx.events import EventRouter
from shmctx.propagation import Scope

DATA = {"agent_id": stage.AGENT, "status": "working", "progress": 0.42, "step": 7}
TABLES = {
    "contexts": (
        """ref TEXT PRIMARY KEY, event_id TEXT UNIQUE, correlation_id TEXT, session_id TEXT, agent_id TEXT,
        context_json TEXT, created_at INTEGER, expires_at INTEGER""",
        "correlation_id session_id agent_id expires_at",
    ),
    "events": (
        """event_id TEXT PRIMARY KEY, event_name TEXT, timestamp REAL, context_ref TEXT, jsonl_offset INTEGER,
        jsonl_file TEXT""",
        "event_name timestamp context_ref",
    ),
}
"""KSI's tables: their columns, and those that have an index."""
Emit = Callable[[str, dict[str, Any]], Coroutine[Any, Any, Any]]


def measure(options: Options) -> list[Row]:
    count, single, rounds = options.pick(20_000, 4_000), options.pick(1_000, 300), options.pick(9, 3)
    with stage.Site() as site, stage.Crew(1) as crew:
        site.create(64 * stage.MiB).close()
        crew.run([(lead, site.name, str(site.database))])
        rows = OneByOne(site.folder / "rows.db")
        with shmctx.attach(site.name) as store:
            stored, off = routed(store), routed(cast(shmctx.Store, Off()))

            def ours(emit: Emit) -> float:
                store.flush(timeout=60)  # what the round before left is not this one's
                with store.span("agent:spawn", agent_id=stage.AGENT):
                    return asyncio.run(per_emit(emit, count))

            runs = {
                "stored": lambda: ours(stored),
                "off": lambda: ours(off),
                "rows": lambda: asyncio.run(per_emit(rows.emit, single)),
            }
            took = interleave(rounds, runs)
        rows.close()
    what = "emit to one async handler, contexts and log on"
    note = "the same router over a store whose enter() makes the child context and stores nothing"
    one_by_one = "KSI's form: a context of its own in dicts, two rows in SQLite, each a commit; no log"
    return [
        versus(what, "ns", took["stored"], ("the store off", took["off"]), None, note=note),
        versus(what, "ns", took["stored"], ("dicts and a row per event", took["rows"]), faster_at_least(20),
               note=one_by_one),
    ]  # fmt: skip


async def per_emit(emit: Emit, count: int) -> float:
    """Ns per emit, one after the other."""
    clock = time.perf_counter_ns
    start = clock()
    for _ in range(count):
        pass
    empty = clock() - start
    start = clock()
    for _ in range(count):
        await emit(stage.EVENT, DATA)
    return net_ns(clock() - start, empty, count)


async def handler(data: dict[str, Any]) -> int:
    """What every contender calls."""
    return len(data)


def routed(store: shmctx.Store) -> Emit:
    """A router's emit, with one handler."""
    router = EventRouter(store)
    router.on(stage.EVENT)(handler)
    return router.emit


class Off:
    """Stands for a store and stores nothing."""

    store_id = 0

    def enter(self, event_name: str, data: dict[str, Any] | None = None) -> Scope:  # noqa: ARG002 - a store's would
        """A context that looks like a child."""
        return Scope(Context(event_name, 1, 1, 1, stage.AGENT, time_ns=time.time_ns()), 0)

    def note(self, context: Context, fields: dict[str, Any]) -> None:
        """Forget what became known."""


class OneByOne:
    """An event store as KSI has it: in one process's dicts, and in two tables, a transaction for every row."""

    def __init__(self, path: Path) -> None:
        self._events: dict[str, dict[str, Any]] = {}
        self._contexts: dict[str, dict[str, Any]] = {}
        self._groups: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._current: contextvars.ContextVar[dict[str, Any]] = contextvars.ContextVar("current")
        self._root = {"_event_id": "evt_00000000", "_correlation_id": "corr_00000000", "_event_depth": 0}
        self._offsets = itertools.count(0, 264)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        for table, (columns, indexed) in TABLES.items():
            self._db.execute(f"CREATE TABLE {table} ({columns})")
            for column in indexed.split():
                self._db.execute(f"CREATE INDEX {table}_{column} ON {table} ({column})")

    async def emit(self, event_name: str, data: dict[str, Any]) -> Any:
        """Make a child context, keep both, write both, call the handler in it."""
        context = self._child()
        self._keep(event_name, data, context)
        now = int(context["_event_timestamp"])
        event_id, ref = context["_event_id"], context["_ref"]
        agent, correlation = context["_agent_id"], context["_correlation_id"]
        self._db.execute(
            "INSERT INTO contexts VALUES (?, ?, ?, '', ?, ?, ?, ?)",
            (ref, event_id, correlation, agent, json.dumps(context), now, now + 30 * 86_400),
        )
        self._db.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)",
            (event_id, event_name, context["_event_timestamp"], ref, next(self._offsets), "events.jsonl"),
        )
        token = self._current.set(context)
        try:
            return await handler(data)
        finally:
            self._current.reset(token)

    def _child(self) -> dict[str, Any]:
        parent = self._current.get(self._root)
        event_id = f"evt_{uuid.uuid4().hex}"
        return {
            "_event_id": event_id,
            "_event_timestamp": time.time(),
            "_correlation_id": parent["_correlation_id"],
            "_ref": f"ctx_{event_id}",
            "_agent_id": stage.AGENT,
            "_parent_event_id": parent["_event_id"],
            "_root_event_id": self._root["_event_id"],
            "_event_depth": parent["_event_depth"] + 1,
        }

    def _keep(self, event_name: str, data: dict[str, Any], context: dict[str, Any]) -> None:
        event_id = context["_event_id"]
        self._events[event_id] = {"event_name": event_name, "data": data, "_ksi_context": context}
        self._contexts[context["_ref"]] = context
        for key in ("_correlation_id", "_agent_id", "_parent_event_id"):
            self._groups[key, context[key]].append(event_id)

    def close(self) -> None:
        """Close the database."""
        self._db.close()


if __name__ == "__main__":
    raise SystemExit(main(["emit"]))
