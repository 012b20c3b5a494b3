"""What do create_context and store_event_with_context cost on a store, beside a dict and a row for each in SQLite?"""

import asyncio
import json
import sqlite3
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

import shmctx
from bench import stage
from bench.emit import TABLES
from bench.harness import Options, Row, faster_at_least, interleave, main, net_ns, versus
from bench.latency import lead
from shmctx.integrations.ksi import ContextManager, ksi_context

CHILDREN = 20
"""Events in one chain: each is caused by the one before, as where handlers emit."""
RETENTION = 30 * 86_400
SESSION = {"id": "sess_a6a36513270e", "agent_id": stage.AGENT, "created_at": 1_753_156_000}


class Manager(Protocol):
    """What KSI's event router calls for every event."""

    async def create_context(self, **kwargs: Any) -> dict[str, Any]:
        """A child of the current context, from now on the current one."""

    async def store_event_with_context(self, event: dict[str, Any]) -> str:
        """Store an event in it."""


def measure(options: Options) -> list[Row]:
    count, single, rounds = options.pick(20_000, 4_000), options.pick(1_000, 400), options.pick(9, 3)
    with stage.Site() as site, stage.Site() as own, stage.Crew(1) as crew:
        site.create(64 * stage.MiB).close()
        crew.run([(lead, site.name, str(site.database))])
        rows = OneByOne(site.folder / "rows.db")
        with own.lead() as leading, shmctx.attach(site.name) as attached:
            runs = {
                "stored": lambda: on_store(attached, count, until_drained=False),
                "drained": lambda: on_store(leading, count, until_drained=True),
                "rows": lambda: asyncio.run(per_event(rows, single, ksi_rows, rows.written)),
            }
            took = interleave(rounds, runs)
        rows.close()
    peer = "a dict and a row each in SQLite", took["rows"]
    what = "KSI's create_context and store_event_with_context"
    note = (
        "the event is in shared memory, where no death of its process costs it; another process drains. KSI's form: "
        "dicts of one process, and a task per event that inserts two rows, each a commit, until the last has ended"
    )
    whole = "the same process drains too, and the time is that until all is in the database and the log"
    return [
        versus(what, "ns", took["stored"], peer, faster_at_least(10), note=note),
        versus(f"{what}, to the last commit", "ns", took["drained"], peer, None, note=whole),
    ]


def on_store(store: shmctx.Store, count: int, *, until_drained: bool) -> float:
    """Ns per event."""
    manager = ContextManager(store)

    async def run() -> float:
        await manager.initialize()
        await store.aio.flush()  # what the round before left is not this one's
        return await per_event(manager, count, ksi_context, store.aio.flush if until_drained else at_once)

    return asyncio.run(run())


async def at_once() -> None:
    """Nothing is left to be written by this process."""


async def per_event(manager: Manager, count: int, current: ContextVar[Any], written: Callable[[], Any]) -> float:
    """Ns per event, until all are written."""
    clock = time.perf_counter_ns
    start = clock()
    for number in range(count):
        if number % CHILDREN == 0:
            current.set(None)
    empty = clock() - start
    start = clock()
    for number in range(count):
        if number % CHILDREN == 0:
            current.set(None)
            context = await manager.create_context(agent_id=stage.AGENT, client_id="cli", session=SESSION)
        else:
            context = await manager.create_context(agent_id=stage.AGENT)
        event = {
            "event_id": context["_event_id"],
            "event_name": stage.EVENT,
            "timestamp": context["_event_timestamp"],
            "data": {"agent_id": stage.AGENT, "status": "working", "progress": 0.42, "step": number},
        }
        await manager.store_event_with_context(event)
    await written()
    return net_ns(clock() - start, empty, count)


ksi_rows: ContextVar[dict[str, Any] | None] = ContextVar("ksi_rows", default=None)


class OneByOne:
    """KSI's design: dicts of one process, and a task for every event that writes it and its context to SQLite."""

    def __init__(self, path: Path) -> None:
        self._events: dict[str, dict[str, Any]] = {}
        self._contexts: dict[str, dict[str, Any]] = {}
        self._groups: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._tasks: set[asyncio.Task[None]] = set()
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        for table, (columns, indexed) in TABLES.items():
            self._db.execute(f"CREATE TABLE {table} ({columns})")
            for column in indexed.split():
                self._db.execute(f"CREATE INDEX {table}_{column} ON {table} ({column})")

    async def create_context(self, **kwargs: Any) -> dict[str, Any]:
        """Build the child's dict."""
        parent = ksi_rows.get()
        event_id = f"evt_{uuid.uuid4().hex[:8]}"
        context: dict[str, Any] = {"_event_id": event_id, "_event_timestamp": time.time(), "_ref": f"ctx_{event_id}"}
        context |= {f"_{name}": value for name, value in kwargs.items()}
        if parent is None:
            context |= {"_correlation_id": f"corr_{uuid.uuid4().hex[:8]}", "_event_depth": 0}
        else:
            context["_parent_event_id"] = parent["_event_id"]
            context["_root_event_id"] = parent.get("_root_event_id", parent["_event_id"])
            context["_event_depth"] = parent["_event_depth"] + 1
            context |= {name: value for name, value in parent.items() if name not in context}
        ksi_rows.set(context)
        return context

    async def store_event_with_context(self, event: dict[str, Any]) -> str:
        """Into the dicts at once; into the tables in a task."""
        context = ksi_rows.get() or {}
        self._events[event["event_id"]] = {**event, "_ksi_context": context, "_added_at": time.time()}
        self._contexts[context["_ref"]] = context
        for key in ("_correlation_id", "_agent_id", "_parent_event_id"):
            if context.get(key):
                self._groups[key, context[key]].append(event["event_id"])
        task = asyncio.get_running_loop().create_task(self._persist(event, context))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return str(context["_ref"])

    async def _persist(self, event: dict[str, Any], context: dict[str, Any]) -> None:
        now = int(time.time())
        ref, event_id, session = context["_ref"], context["_event_id"], context["_session"]["id"]
        self._db.execute(
            "INSERT OR REPLACE INTO contexts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (ref, event_id, context["_correlation_id"], session, context["_agent_id"], json.dumps(context), now,
             now + RETENTION),
        )  # fmt: skip
        self._db.execute(
            "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?)",
            (event_id, event["event_name"], event["timestamp"], ref, 0, ""),
        )

    async def written(self) -> None:
        """Wait until the tables have everything."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def close(self) -> None:
        """Close the database."""
        self._db.close()


if __name__ == "__main__":
    raise SystemExit(main(["ksi"]))
