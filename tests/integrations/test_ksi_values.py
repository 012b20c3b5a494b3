"""Whatever KSI's modules put into contexts and events comes back as it was, or as text where nothing can hold it."""

import enum
import gzip
import json
import math
import pathlib
import time
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shmctx.integrations.ksi import ksi_context

numbers = st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
standard = ["agent_id", "client_id", "session", "user_id", "tags", "error", "error_type", "response_ref", "event_name"]
names = st.sampled_from([*standard, "trial", "_trial", "session_id", "orchestration_id", "depth"])
ids = st.integers(0, 0xFFFFFFFF).map("evt_{:08x}".format) | st.text("abc_", min_size=1, max_size=9)
now = time.time()
times = st.floats(now - 1000, now + 1000) | st.integers(int(now) - 1000, int(now))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(ids, times, st.dictionaries(names, values, max_size=4), values), min_size=1, max_size=4))
def test_contexts_and_events_come_back_as_they_were(stores, ksi, chain):
    """Hot, and from the tables, of the whole chain."""
    store = held(stores)

    async def work(manager):
        ksi_context.set(None)
        stored = {}
        for event_id, moment, fields, data in chain:
            context = await manager.create_context(event_id=event_id, timestamp=moment, **fields)
            event = {"event_id": event_id, "event_name": "x", "timestamp": moment, "data": data}
            ref = await manager.store_event_with_context(event)
            stored[ref] = (event, dict(context))
        for ref, (event, context) in stored.items():
            assert same(await manager.get_context(ref), context)
            found = await manager.get_event_with_context(event["event_id"])
            assert {name: found[name] for name in event} == event
            (row,) = manager.cold_storage.conn.execute("SELECT * FROM contexts WHERE ref = ?", (ref,)).fetchall()
            assert same(json.loads(row["context_json"]), context)

    ksi(work, store=store)


def held(stores):
    """One store for all examples."""
    if not hasattr(stores, "held"):
        stores.held = stores.open(ring_size=8 << 20)
    return stores.held


def same(found, given):
    """Equal, with true, 1 and 1.0 told apart, except for times: those are floats."""
    times = {name: float(value) for name, value in given.items() if name == "_event_timestamp"}
    return json.dumps(found, sort_keys=True) == json.dumps({**given, **times}, sort_keys=True)


class Colour(enum.Enum):
    RED = "red"


class Agent:
    def __repr__(self):
        return "<Agent \ud800>"


cyclic = {}
cyclic["self"] = cyclic


@pytest.mark.parametrize(
    "value, kept",
    [
        (Agent(), "<Agent ?>"),
        (Colour.RED, "red"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (pathlib.Path("/tmp/x"), "PosixPath('/tmp/x')"),
        (math.inf, "inf"),
        (1 << 70, str(1 << 70)),
        (b"\xff", "b'\\xff'"),
        ("\ud800", "?"),
        ((1, {2}), [1, [2]]),
        ({1: {Colour.RED: Agent}}, {"1": {"red": repr(Agent)}}),
    ],
    ids=repr,
)
def test_what_nothing_can_hold_is_kept_as_text(ksi, value, kept):
    """KSI emits events with objects in them; one of those costs no event."""

    async def work(manager):
        await manager.create_context(thing=value, session={"id": "s", "thing": value})
        ref = await manager.store_event_with_context({"event_name": "x", "data": {"thing": value}, "beside": value})
        context = await manager.get_context(ref)
        event = await manager.get_event_with_context(context["_event_id"])
        assert [context["_thing"], context["_session"]["thing"], event["data"]["thing"], event["beside"]] == [kept] * 4
        assert ksi_context.get()["_thing"] is value

    ksi(work)


def test_data_without_an_end_is_cut_off(ksi):
    async def work(manager):
        ref = await manager.store_event_with_context({"event_id": "evt_1", "event_name": "x", "data": cyclic})
        assert ref == "ctx_evt_1"
        assert (await manager.get_event_with_context("evt_1"))["data"]["self"]["self"]

    ksi(work)


def test_large_fields_and_what_looks_like_one(ksi):
    async def work(manager):
        for number, data in enumerate(
            ({"response": "y" * 5000}, {"x": {"$payload": "00", "size": 1}}, {"x": {"$payload": "00"}, "y": Agent})
        ):
            await manager.store_event_with_context({"event_id": f"evt_{number}", "event_name": "x", "data": data})
            found = (await manager.get_event_with_context(f"evt_{number}"))["data"]
            assert found == ({**data, "y": repr(Agent)} if "y" in data else data)

    ksi(work)


@pytest.mark.parametrize("moment", ["2026-01-02T00:00:00Z", -1.5, 0, 1e300, math.nan, None, True, [1]], ids=repr)
def test_a_time_that_is_none_is_kept_beside_the_time_of_storing(ksi, moment):
    async def work(manager):
        before = time.time()
        manager.restore_context({"_event_id": "evt_1", "_event_timestamp": moment, "_event_depth": 0})
        ref = await manager.store_event_with_context({"event_name": "x", "data": {}})
        kept = (await manager.get_context(ref))["_event_timestamp"]
        assert kept == ("nan" if repr(moment) == "nan" else moment)
        assert before - 1 <= manager.store[ref].timestamp <= time.time() + 1

    ksi(work)


def test_every_context_of_a_real_log_comes_back(ksi, ksi_log):
    """Restored as from another process, stored with its event, resolved by its own ref."""
    with gzip.open(ksi_log, "rt") as lines:
        events = [json.loads(line) for line in lines]
    age = time.time() - max(event["timestamp"] for event in events)  # what is older than the retention is pruned

    async def work(manager):
        stored = {}
        for number, event in enumerate(events):
            context = event["data"].pop("_ksi_context")
            context["_event_timestamp"] += age
            manager.restore_context(context)
            ref = await manager.store_event_with_context({**event, "event_id": context["_event_id"]})
            assert ref == context["_ref"]
            stored[ref] = event, context
            if number % 5000 == 0:
                await manager.store.aio.flush()
        for ref, (_, context) in stored.items():
            assert await manager.get_context(ref) == context
        for event, context in list(stored.values())[::50]:
            found = await manager.get_event_with_context(context["_event_id"])
            assert (found["data"], found["timestamp"]) == (event["data"], event["timestamp"])
        rows = manager.cold_storage.conn.execute("SELECT ref, context_json FROM contexts").fetchall()
        assert {row["ref"]: json.loads(row["context_json"]) for row in rows} == {
            ref: context for ref, (_, context) in stored.items()
        }

    ksi(work)
