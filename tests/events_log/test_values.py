"""Event data is the same wherever it is read from; what no log line could hold is refused before anything is stored."""

import asyncio
import datetime as dt
import enum
import math
from collections import OrderedDict

import hypothesis
import lines
import pytest
from contexts import text, values
from hypothesis import strategies as st

import shmctx
from shmctx import InvalidField
from shmctx.errors import PayloadTooLarge
from shmctx.events import EventRouter

QUICK = hypothesis.settings(
    deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck), phases=[hypothesis.Phase.generate]
)
keys = text | st.sampled_from(["content", "messages", "result", "$payload", "ref", "data", "size", "_agent_id"])
marks = st.builds(
    lambda digest, size: {"$payload": digest.hex(), "size": size}, st.binary(max_size=20), st.integers(0, 9999)
)
datas = st.dictionaries(keys, values | marks | st.text('aé\n\0"\\', min_size=900, max_size=1100), max_size=4)


def test_data_is_the_same_hot_cold_and_rehydrated(stores, side, seed):
    store = stores.leaderless(8 << 20)
    put = {}

    @hypothesis.seed(seed)
    @hypothesis.settings(QUICK, max_examples=150)
    @hypothesis.given(st.none() | datas)
    def fill(data):
        put[store.put("x", data=data)] = data

    fill()
    store = side(store)
    assert [event.data for event in store.events(put)] == list(put.values())
    for ref, data in list(put.items())[::10]:
        event = store.event(ref)
        assert event.to_dict() == {"ref": ref, "timestamp": store[ref].timestamp, "event_name": "x", "data": data}
        assert asyncio.run(store.aio.event(ref)) == event
    store.close()
    stores.drain()
    events = lines.check(stores.database)
    assert len(events) == sum(data is not None for data in put.values())


class Text(str):
    __slots__ = ()


class Number(float):
    __slots__ = ()


class Whole(int):
    __slots__ = ()


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


def cycle():
    value = {}
    value["self"] = value
    return value


UNSTORABLE = [
    ({1}, "data.items[3].when: the value is a set"),
    (frozenset(), "data.items[3].when: the value is a frozenset"),
    (b"raw", "data.items[3].when: the value is a bytes"),
    (bytearray(), "data.items[3].when: the value is a bytearray"),
    (dt.datetime.now(dt.UTC), "data.items[3].when: the value is a datetime"),
    (Text("text"), "data.items[3].when: the value is a Text"),
    (Number(1.5), "data.items[3].when: the value is a Number"),
    (Whole(3), "data.items[3].when: the value is a Whole"),
    (object(), "data.items[3].when: the value is a object"),
    (math.nan, "data.items[3].when: nan has no form in JSON"),
    ([math.inf], "data.items[3].when[0]: inf has no form in JSON"),
    (-math.inf, "data.items[3].when: -inf has no form in JSON"),
    (1 << 64, "data.items[3].when: 18446744073709551616 does not fit 64 bits"),
    (-(1 << 63) - 1, "data.items[3].when: -9223372036854775809 does not fit 64 bits"),
    ("\ud800", "data.items[3].when: the text holds a lone surrogate"),
    ({"\udfff": 1}, "data.items[3].when: the text holds a lone surrogate"),
    ({1: 1}, "data.items[3].when: the key 1 is no text"),
    ({None: 1}, "data.items[3].when: the key None is no text"),
    ({"deep": nested(40)}, "is nested too deeply"),
    (cycle(), "data.items[3].when.self.self.self"),
]
WAYS = {
    "put": lambda store, data: store.put("x", data=data),
    "put durable": lambda store, data: store.put("x", data=data, durable=True),
    "put_many": lambda store, data: store.put_many(["before", ("x", {"data": data})]),
    "span": lambda store, data: store.span("x", data=data).__enter__(),
    "enter": lambda store, data: store.enter("x", data),
    "aio": lambda store, data: asyncio.run(store.aio.put("x", data=data)),
    "router": lambda store, data: asyncio.run(EventRouter(store).emit("x", data)),
}


@pytest.mark.parametrize("put", WAYS.values(), ids=WAYS)
def test_what_cannot_be_stored_is_named_and_nothing_is_stored(stores, put):
    store = stores.leaderless()
    head = store.stats()["positions"]["head"]

    for value, message in UNSTORABLE:
        with pytest.raises(InvalidField) as caught:
            put(store, {"items": [1, 2, 3, {"when": value}], "content": "c" * 5000})
        assert message in str(caught.value)
        assert "Nothing was stored" in str(caught.value)
    for data in ([1], "text", 1, {1: 2}, {b"a": 1}):
        with pytest.raises(InvalidField, match=r"^data"):
            put(store, data)
    assert store.stats()["positions"]["head"] == head
    assert shmctx.current() is None


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


def test_what_json_has_a_form_for_is_stored_in_it(stores, side):
    store = stores.leaderless()
    data = OrderedDict(colour=Colour.RED, level=Level.HIGH, pair=(1, 2), limits=[(1 << 64) - 1, -(1 << 63)], none=None)
    ref = store.put("x", data=data, _level=Level.HIGH)
    store = side(store)

    assert store.event(ref).data == {
        "colour": "red", "level": 3, "pair": [1, 2], "limits": [(1 << 64) - 1, -(1 << 63)], "none": None
    }  # fmt: skip
    assert store[ref].custom["_level"] == 3


def test_a_context_without_data_is_no_event_and_one_with_empty_data_is(stores, side):
    store = stores.leaderless()
    without, empty = store.put("x"), store.put("x", data={})
    with store.span("parent", data={"inherited": False}):
        child = store.put("child")
    store = side(store)

    assert [event.data for event in store.events([without, empty, child])] == [None, {}, None]


def test_an_event_of_fifteen_megabytes(stores, side):
    store = stores.leaderless(64 << 20)
    data = {"text": "x" * (15 << 20), "content": "é" * (4 << 20)}
    ref = store.put("big", data=data)
    after = store.put("small", data={"n": 1})
    store = side(store)

    assert [event.data for event in store.events([ref, after])] == [data, {"n": 1}]
    with pytest.raises(PayloadTooLarge):
        store.put("too big", data={"text": "x" * (17 << 20)})


def test_the_newest_of_the_events_that_brought_one_id_is_found(stores, side):
    store = stores.leaderless()
    refs = [store.put("x", event_id="evt_brought", data={"n": n}) for n in range(3)]
    store = side(store)

    assert store.event("evt_brought").data == {"n": 2}
    assert [event.data for event in store.events(refs)] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_the_clock_may_jump_back_and_times_may_be_brought(stores, side):
    """A day of the log is one that has come: an event from the future does not end the daily rotation."""
    store = stores.leaderless()
    times = [1_700_000_000.0, 1_600_000_000.0, 1.0, 9_000_000_000.0, 1_700_000_001.0]
    refs = [store.put("x", timestamp=moment, data={"time": moment}) for moment in times]
    refs.append(store.put("x", data={"time": 0}))
    store = side(store)

    assert [event.data["time"] for event in store.events(refs)] == [*times, 0]
    store.close()
    stores.drain()
    events = lines.check(stores.database)
    assert [event["timestamp"] for event in events.values()][:5] == times
    today = dt.datetime.now(dt.UTC).date()
    for path in stores.database.with_suffix(".events").glob("0*.jsonl*"):
        assert dt.date.fromisoformat(path.name.split(".")[1]) <= today


def test_the_log_holds_lean_lines_in_the_order_of_positions(stores):
    with stores.open(1 << 16) as store:
        for n in range(2000):
            store.put("fill", agent_id="a", data={"n": n}, _custom="context is not logged")

    events = list(lines.check(stores.database).values())
    assert [event["data"]["n"] for event in events] == list(range(2000))
    assert {tuple(event) for event in events} == {("ref", "timestamp", "event_name", "data")}
