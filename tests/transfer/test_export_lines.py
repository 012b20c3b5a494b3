"""The way back: events leave as lines with their contexts inside, equal to what was put."""

import contextlib
import gzip
import random

import msgspec
import pytest
from exporting import decode, everything, expected, exported, lines_of

from shmctx.transfer.embedding import Embedded, line, origin_of, wire
from shmctx.transfer.export import export, from_database, from_store
from shmctx.transfer.lines import read

LARGE = "x" * 3000


def test_the_log_of_a_daemon_comes_back_as_it_was(stores, ksi_log, tmp_path):
    """All of it, up to the order of keys. `store.put` knows no moment of logging beside the context's own."""
    with gzip.open(ksi_log) as file:
        source = [decode(text) for text in file]
    store = stores.open(1 << 24)
    for event in source:
        data = dict(event["data"])
        store.put(event["event_name"], data=data, **data.pop("_ksi_context"))
        event["timestamp"] = event["data"]["_ksi_context"]["_event_timestamp"]
    store.flush(timeout=60)

    back, report = exported(stores, tmp_path / "back.jsonl")

    assert report.events == len(source) == len(back)
    assert [one for one, other in zip(source, back, strict=True) if one != other] == []
    assert (report.whole, report.without_data, report.bytes) == (True, 0, (tmp_path / "back.jsonl").stat().st_size)


@pytest.fixture
def live(tmp_path):
    """`live(store)`: (events, report) of the export of a store in use, ring and all."""

    def run(store, **filters):
        leaving = from_store(store, store._attachment)
        with contextlib.closing(leaving):
            report = export(leaving, tmp_path / "live.jsonl", "jsonl", filters, replace=True)
        return lines_of(tmp_path / "live.jsonl"), report

    return run


CONTEXTS = [
    {},
    {"agent_id": 'quoted " and \\ backslash \u2028 é', "client_id": "c"},
    {"event_id": "evt_0badcafe", "correlation_id": "corr_00000001", "parent_event_id": "evt_ffffffff"},
    {"event_id": 'text "id" é', "correlation_id": "a/b\\c", "parent_event_id": "p", "root_event_id": "r\u0001"},
    {"event_id": "EVT_0BADCAFE", "root_event_id": "evt_0badcaff", "depth": (1 << 32) - 1},
    {"agent_id": "a", "client_id": "a", "session": {"id": 's"1', "created_at": 0.1, "more": [1, {"é": None}]}},
    {"session": {"id": "s2"}, "user_id": "u", "tags": ["a", "b"], "_custom": {"deep": [1.5, None, True, 1 << 63]}},
    {"error": {"code": 1}, "error_type": "T", "error_message": "m", "_note": "\u0000", "response_ref": "r"},
    {"time_ns": 1}, {"time_ns": (1 << 63) - 1}, {"timestamp": 1753156000}, {"timestamp": 1795331471.5404649},
]  # fmt: skip
DATA = [
    None, {}, {"a": 1}, {"f": [0.1, 1e300, -0.0, 1e-7]}, {"$payload": "no mark"}, {"data": {"_ksi_context": 1}},
    {"prompt": LARGE}, {"prompt": LARGE, "response": LARGE + "é", "$payload": {"x": 1}}, {"é\u2028": "\U0001f600"},
    {"n": [1 << 63, -(1 << 63)]}, {',"data":': "},{"},
]  # fmt: skip


@pytest.mark.parametrize("drained", [True, False])
def test_every_shape_of_context_and_data_is_embedded_as_the_store_tells_it(stores, drained, live):
    store = stores.leaderless()
    with store.span("parent", agent_id="spanning"):
        for number, fields in enumerate(CONTEXTS):
            for data in DATA[number % 3 :: 3]:
                store.put(f"name{number} é", **({} if data is None else {"data": data}), **fields)
    for data in DATA:
        store.put('quoted "name"', **({} if data is None else {"data": data}))
    told = everything(store)
    if drained:
        stores.drain()

    back, report = live(store)

    assert back == told
    assert report.events == len(told) > 40
    assert report.without_data == sum(event.data is None for event in store.events(store.query()))
    assert report.whole


def test_annotations_are_in_the_context_unless_it_is_wanted_as_it_was_put(stores, tmp_path):
    store = stores.open()
    ref = store.put("noted", data={"x": 1}, _mine=1)
    for fields in ({"_duration_ms": 1.5, "_mine": 2}, {"_mine": 3, "error_message": "late"}):
        store.annotate(ref, **fields)
    store.put("plain", data={})
    store.flush()

    (noted, _), _ = exported(stores, tmp_path / "a.jsonl")
    (put, _), _ = exported(stores, tmp_path / "b.jsonl", annotated=False)

    assert noted == expected(store.event(ref))
    context = put["data"]["_ksi_context"]
    assert (context["_mine"], "_duration_ms" in context, "_error_message" in context) == (1, False, False)


def test_what_lies_in_the_context_s_place_gives_way_to_it(stores, tmp_path):
    store = stores.open()
    ref = store.put("event", data={"_ksi_context": {"_event_id": "of somebody else"}, "x": 1})
    store.flush()

    (back,), _ = exported(stores, tmp_path / "a.jsonl")

    assert back["data"] == {"x": 1, "_ksi_context": wire(store[ref])}


def _somehow(randomness, depth=0):
    kinds = ["n", "i", "f", "s", "b"] + (["d", "l"] if depth < 3 else [])
    kind = randomness.choice(kinds)
    if kind == "d":
        return {randomness.choice("abcde_"): _somehow(randomness, depth + 1) for _ in range(randomness.randrange(4))}
    if kind == "l":
        return [_somehow(randomness, depth + 1) for _ in range(randomness.randrange(4))]
    values = {"n": None, "b": True, "i": randomness.choice([0, 1, 1 << 60]), "f": randomness.choice([0.0, 1.0, 0.1])}
    return values.get(kind, randomness.choice(["", "1", "é", '"']))


def test_what_a_store_tells_in_another_form_comes_back_by_its_origin(seed):
    """Whatever an embedded context held and whatever a store makes of it."""
    randomness = random.Random(seed)
    names = ["_ref", "_event_id", "_event_name", "_x", "y"]
    differing = 0
    for _ in range(2000):
        source = {name: _somehow(randomness) for name in names if randomness.random() < 0.7}
        given = {name: _somehow(randomness) for name in names if randomness.random() < 0.7} | {
            name: value for name, value in source.items() if randomness.random() < 0.7
        }
        origin = origin_of(source, given)
        differing += origin is not None
        decoded = None if origin is None else decode(msgspec.json.encode(origin), type=type(origin))
        raw = msgspec.Raw(b"1")
        event = Embedded(1, 1, raw, msgspec.Raw(b'"name"'), msgspec.json.encode(given), b"{}", decoded)

        back = decode(line(event))["data"]["_ksi_context"]

        assert msgspec.json.encode(back, order="sorted") == msgspec.json.encode(source, order="sorted")
    assert 0 < differing < 2000


def test_a_filtered_export_has_what_a_query_finds(stores, tmp_path):
    store = stores.open()
    for number in range(300):
        session = {"id": f"s{number % 7}"}
        with store.span(f"a:{number % 3}", data={"n": number}, agent_id=f"agent{number % 5}", session=session):
            failed = "E" if number % 11 == 0 else None
            store.put("b", data={"n": number, "text": "t" * (number * 40)}, error_type=failed)
    store.annotate(store.query(event_name="b", limit=1, errors=False)[0].ref, error=True)
    store.flush()
    middle = store.query()[301]

    filters = [
        {"agent_id": "agent3"}, {"session_id": "s2"}, {"correlation_id": middle.correlation_id}, {"event_name": "a:*"},
        {"since": middle.timestamp}, {"until": middle.timestamp}, {"errors": True}, {"errors": False},
        {"after": middle.ref}, {"agent_id": "agent3", "event_name": "b", "since": middle.timestamp},
        {"agent_id": "nobody"},
    ]  # fmt: skip
    for wanted in filters:
        back, report = exported(stores, tmp_path / "some.jsonl", **wanted)

        assert back == everything(store, **wanted), wanted
        assert report.whole
    assert len(exported(stores, tmp_path / "some.jsonl", errors=True)[0]) == 29


def test_rotated_and_compressed_logs_are_read_as_any_other(stores, tmp_path, wait_for):
    store = stores.open(log_rotate_bytes=1 << 14)
    randomness = random.Random(5)
    for number in range(1500):
        store.put("e", data={"n": number, "t": "".join(randomness.choices("abcdef", k=60))}, agent_id=str(number % 97))
    store.flush()
    log = stores.database.with_suffix(".events")
    wait_for(lambda: len(list(log.glob("*.zst"))) >= 5 and len(list(log.glob("*.jsonl"))) == 2)

    for wanted in ({}, {"agent_id": "13"}):
        back, report = exported(stores, tmp_path / "all.jsonl", **wanted)

        assert back == everything(store, **wanted)
        assert report.whole


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst"])
def test_a_file_is_compressed_as_it_is_called(stores, tmp_path, suffix):
    store = stores.open()
    for number in range(100):
        store.put("e", data={"n": number})
    store.flush()
    plain, _ = exported(stores, tmp_path / "plain.jsonl")

    with contextlib.closing(from_database(stores.database)) as leaving:
        export(leaving, tmp_path / f"packed{suffix}", "jsonl")

    assert [decode(found.text) for found in read(tmp_path / f"packed{suffix}")] == plain


def test_an_export_of_a_store_in_use_has_what_only_the_ring_has(stores, live):
    """Drained contexts with annotations that are not, and the other way round; each event once."""
    store = stores.leaderless()
    old = [store.put("old", data={"n": n}, agent_id=str(n % 3)) for n in range(50)]
    stores.drain()
    store.annotate(old[3], error_type="Late", _x=1)
    for n in range(50):
        store.put("new", data={"n": n, "prompt": LARGE}, agent_id=str(n % 3), error_type="E" if n == 7 else None)
    store.annotate(store.query(event_name="new")[5].ref, _x=2)
    assert store.stats()["positions"]["drained"] < store.stats()["positions"]["head"]

    for wanted in ({}, {"agent_id": "1"}, {"errors": False}, {"event_name": "n*"}, {"after": old[49]}):
        assert live(store, **wanted)[0] == everything(store, **wanted), wanted
    failed = live(store, errors=True)[0]
    assert failed == everything(store, errors=True)
    assert len(failed) == 2


def test_an_export_beside_a_busy_writer_has_every_event_up_to_its_beginning_once(stores, spawn, live):
    store = stores.open(1 << 16)
    writer = spawn(
        """
        import sys, shmctx
        with shmctx.attach(sys.argv[1]) as store:
            print("ready")
            sys.stdin.readline()
            for number in range(6000):
                store.put("event", data={"n": number, "text": "t" * 100})
                if number == 1000:
                    print("on")
        """,
        stores.name,
    )
    writer.line()
    writer.say()
    writer.line()
    runs = []
    while writer.poll() is None and len(runs) < 20:
        before = len(store)
        runs.append((before, [event["data"]["n"] for event in live(store)[0]]))
    writer.finish()

    for before, found in runs:
        assert found == list(range(len(found)))
        assert len(found) >= before > 1000


def test_a_new_store_that_nobody_drained_leaves_too(stores, live):
    store = stores.leaderless()
    assert live(store)[0] == []
    store.put("only", data={"x": 1})

    back, _ = live(stores.attach(readonly=True))

    assert [event["event_name"] for event in back] == ["only"]
