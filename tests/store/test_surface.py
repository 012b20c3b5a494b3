"""What one store does: put, get, the mapping, close, unlink, pickling."""

import pickle
import re
from collections.abc import Mapping

import pytest

import shmctx
from shmctx.errors import PayloadTooLarge, ReadOnly


def test_a_ref_is_twenty_characters_and_sorts_by_age(stores):
    store = stores.open()
    refs = [store.put("agent:status") for _ in range(40)]

    assert all(re.fullmatch("ctx_[0-9a-hjkmnp-tv-z]{16}", ref) for ref in refs)
    assert refs == sorted(set(refs))


def test_what_was_put_is_read_by_every_process(stores, spawn):
    store = stores.open()
    ref = store.put("agent:status", agent_id="a-7", _trial=4)
    reader = spawn(
        """
        import shmctx, sys
        with shmctx.attach(sys.argv[1]) as store:
            context = store[sys.argv[2]]
            print(context.event_name, context.agent_id, context.custom)
            print(store.put("answer", parent=context))
        """,
        stores.name,
        ref,
    )

    assert reader.line() == "agent:status a-7 {'_trial': 4}"
    answer = reader.line()
    assert [child.ref for child in store.children(ref)] == [answer]
    reader.finish()


def test_a_context_shows_its_fields_and_wire_names(stores):
    store = stores.open()
    ref = store.put(
        "agent:status", agent_id="a", client_id="c", user_id="u", tenant_id="t", environment="e", tags=["x"],
        error={"code": 1}, error_type="E", error_message="m", response_ref="r", session={"id": "s", "k": 1}, _own=2,
    )  # fmt: skip
    context = store[ref]
    wire = context.to_dict()

    assert wire == {
        "_ref": ref, "_event_id": "evt_" + ref[4:], "_event_name": "agent:status", "_correlation_id": "corr_" + ref[4:],
        "_root_event_id": "evt_" + ref[4:], "_event_depth": 0, "_event_timestamp": context.time_ns / 1_000_000_000,
        "_agent_id": "a", "_client_id": "c", "_user_id": "u", "_tenant_id": "t", "_environment": "e", "_tags": ["x"],
        "_error": {"code": 1}, "_error_type": "E", "_error_message": "m", "_response_ref": "r",
        "_session": {"id": "s", "k": 1}, "_own": 2,
    }  # fmt: skip
    named = ("agent_id", "client_id", "user_id", "tenant_id", "environment", "tags", "error", "error_type",
             "error_message", "response_ref", "session", "event_id", "correlation_id", "root_event_id")  # fmt: skip
    assert all(getattr(context, name) == wire[f"_{name}"] for name in named)
    assert (context.depth, context.parent_event_id, context.session_id) == (0, None, "s")


def test_a_context_cannot_be_changed(stores):
    store = stores.open()
    context = store[store.put("x")]

    for name in ("event_name", "ref", "time_ns", "more"):
        with pytest.raises(AttributeError):
            setattr(context, name, "changed")


def test_put_understands_wire_names(stores):
    store = stores.open()
    ref = store.put("x", _agent_id="a", _session={"id": "s"}, _user_id="u", _event_id="evt_00000001")

    assert (store[ref].agent_id, store[ref].session_id, store[ref].user_id) == ("a", "s", "u")
    assert store["evt_00000001"].ref == store["ctx_evt_00000001"].ref == ref


def test_put_many_returns_refs_in_order(stores):
    store = stores.open()
    refs = store.put_many(["a", ("b", {"agent_id": "x"}), {"event_name": "c", "_n": 1}, {"_event_name": "d"}])

    assert [store[ref].event_name for ref in refs] == ["a", "b", "c", "d"]
    assert store[refs[1]].agent_id == "x"
    assert store[refs[2]].custom == {"_n": 1}


def test_put_many_checks_all_before_it_stores_one(stores):
    store = stores.open()
    for wrong in ({"agent_id": "no name"}, ("b", {"nosuch": 1}), ("b", {"_x": Ellipsis})):
        with pytest.raises(shmctx.InvalidField):
            store.put_many(["a", wrong])

    assert len(store) == 0


def test_a_durable_put_is_in_the_database_when_it_returns(stores):
    store = stores.open()
    ref = store.put("agent:status", durable=True)
    with store.span("inside", durable=True) as inside:
        pass

    assert stores.cold(store, ref) == store[ref]
    assert stores.cold(store, inside.ref) == inside


def test_flush_covers_what_others_put(stores):
    store, other = stores.open(), stores.attach()
    refs = [other.put("x") for _ in range(20)]
    store.flush(timeout=30)

    assert all(stores.cold(store, ref) == store[ref] for ref in refs)


def test_get_bytes_is_hot_only_and_for_native_refs(stores):
    store = stores.open(4096)
    ref = store.put("agent:status", event_id="evt_12345678")

    assert b"agent:status" in store.get_bytes(ref)
    assert store.get_bytes("evt_12345678") is None
    stores.evict(store, ref)
    assert store.get_bytes(ref) is None
    assert store[ref].event_name == "agent:status"


def test_a_store_is_a_read_only_mapping(stores):
    store = stores.leaderless()
    early = [store.put("a"), store.put("b", session={"id": "s"})]
    stores.drain()
    late = [store.put("c")]
    store.annotate(early[0], error="e")

    assert isinstance(store, Mapping)
    assert list(store) == early + late == list(store.keys())
    assert [context.event_name for context in store.values()] == ["a", "b", "c"]
    assert dict(store.items()) == {ref: store[ref] for ref in early + late}
    assert len(store) == 3
    assert late[0] in store
    assert not hasattr(store, "__setitem__")
    assert not hasattr(store, "__delitem__")


def test_a_miss_is_none_a_default_or_a_key_error(stores):
    store = stores.open()
    unknown = store.put("x")[:-1] + "z"

    assert store.get(unknown) is None
    assert store.get(unknown, 7) == 7
    assert store.get_bytes(unknown) is None
    assert unknown not in store
    with pytest.raises(KeyError) as caught:
        store[unknown]
    assert isinstance(caught.value, shmctx.ContextNotFound)
    assert unknown in str(caught.value)


@pytest.mark.parametrize(
    "wrong", ["", "ctx_", "ctx_" + "i" * 16, "ctx_" + "A" * 16, "x" * 1000, None, 5, b"ctx_0000000000000001", "\ud800"]
)
def test_a_malformed_ref_is_a_miss_and_a_value_error(stores, wrong):
    store = stores.open()

    assert store.get(wrong, 1) == 1
    assert store.get_bytes(wrong) is None
    assert wrong not in store
    with pytest.raises(shmctx.ContextNotFound) as caught:
        store[wrong]
    if wrong != "ctx_":  # could be somebody's own id
        assert isinstance(caught.value, shmctx.MalformedRef)
        assert isinstance(caught.value, ValueError)
        assert caught.value.hint


def test_a_ref_of_another_store_is_named_as_such(stores, tmp_path):
    store, other = stores.open(), stores.open(db=tmp_path / "other.db", name=f"{stores.name}-2")
    ref = other.put("x")

    assert store.get(ref) is None
    with pytest.raises(shmctx.ForeignRef, match=f"{other.store_id:06x}") as caught:
        store[ref]
    assert "Attach" in caught.value.hint


@pytest.mark.parametrize(
    "fields",
    [
        {"nosuch": 1}, {"agent_id": 5}, {"client_id": b"x"}, {"depth": -1}, {"depth": 1.5}, {"depth": 1 << 32},
        {"timestamp": "now"}, {"timestamp": float("nan")}, {"timestamp": -1.0}, {"time_ns": 1 << 63}, {"time_ns": 1.0},
        {"tags": "a"}, {"tags": [1]}, {"session": 5}, {"session": {}}, {"session": {"id": ""}}, {"session": {"id": 5}},
        {"session": {"id": "\ud800"}}, {"session": {"id": "s", "x": {1}}}, {"event_id": ""}, {"event_id": "x" * 257},
        {"correlation_id": 5}, {"_x": Ellipsis}, {"_x": {1: 2}}, {"_x": float("inf")}, {"_x": 1 << 64}, {"_x": b"b"},
        {"_x": "\ud800"}, {"agent_id": "\ud800"}, {"user_id": 3}, {"parent": 3}, {"environment": []},
    ],
    ids=repr,
)  # fmt: skip
def test_what_cannot_be_stored_is_refused_and_nothing_is_stored(stores, fields):
    store = stores.open()

    with pytest.raises(shmctx.InvalidField):
        store.put("x", **fields)
    assert len(store) == 0


@pytest.mark.parametrize("name", [None, 5, b"x", "\ud800"])
def test_an_event_name_is_text(stores, name):
    store = stores.open()
    for attempt in (lambda: store.put(name), lambda: store.put(name, _x=1), lambda: store.span(name).__enter__()):
        with pytest.raises(shmctx.InvalidField):
            attempt()

    assert len(store) == 0


def test_deeply_nested_values_are_refused(stores):
    store = stores.open()
    value = []
    for _ in range(2000):
        value = [value]

    with pytest.raises(shmctx.InvalidField, match="nested"):
        store.put("x", _deep=value)


def test_a_payload_larger_than_a_quarter_of_the_ring_is_refused(stores):
    store = stores.open(4096)
    assert store[store.put("x", _data="y" * 900)]

    with pytest.raises(PayloadTooLarge) as caught:
        store.put("x", _data="y" * 1100)
    assert "ring_size" in caught.value.hint
    assert len(store) == 1


def test_close_is_idempotent_and_everything_after_it_is_refused(stores):
    store = stores.open()
    ref = store.put("x")
    store.close()
    store.close()

    calls = [
        lambda: store.get(ref), lambda: store[ref], lambda: store.get_bytes(ref), lambda: ref in store,
        lambda: len(store), lambda: list(store), store.query, lambda: store.children(ref),
        lambda: store.ancestors(ref), lambda: store.descendants(ref), lambda: store.put("x"),
        lambda: store.put("x", _a=1), lambda: store.put_many(["x"]), lambda: store.span("x").__enter__(),
        lambda: store.annotate(ref, error="e"), store.flush, store.stats,
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(shmctx.StoreClosed) as caught:
            call()
        assert caught.value.hint
    assert stores.name in repr(store)
    assert stores.attach()[ref].event_name == "x"


def test_a_context_outlives_its_store(stores):
    store, other = stores.open(), stores.attach()
    context = store[store.put("x", session={"id": "s"})]
    store.close()

    assert context.session == {"id": "s"}  # another handle of the store is open
    other.close()
    assert context.session is None
    assert context.to_dict()["_event_name"] == "x"
    assert "x" in repr(context)


def test_leaving_with_closes_but_never_unlinks(stores):
    with shmctx.open(stores.name, db=stores.database, ring_size=4096) as store:
        ref = store.put("x")

    with shmctx.attach(stores.name) as again:
        assert again[ref].event_name == "x"


def test_a_store_pickles_as_its_name(stores):
    store = stores.open()
    ref = store.put("x")
    with pickle.loads(pickle.dumps(store)) as again:
        assert (again.name, again.store_id) == (store.name, store.store_id)
        assert again[ref] == store[ref]


def test_a_read_only_handle_reads_and_refuses_to_write(stores):
    store, reader = stores.open(), stores.attach(readonly=True)
    ref = store.put("x", session={"id": "s"}, event_id="evt_00000001")

    assert reader[ref] == store[ref]
    assert reader["evt_00000001"].session == {"id": "s"}
    assert [context.ref for context in reader.query(event_name="x")] == [ref]
    for write in (lambda: reader.put("x"), lambda: reader.put("x", _a=1), lambda: reader.annotate(ref, error="e")):
        with pytest.raises(ReadOnly) as caught:
            write()
        assert "readonly" in caught.value.hint
    assert len(store) == 1


def test_unlink_removes_the_name_and_nothing_else(stores):
    with shmctx.open(stores.name, db=stores.database, ring_size=4096) as store:
        ref = store.put("x", durable=True)
    shmctx.unlink(stores.name)

    with pytest.raises(shmctx.SegmentMissing) as caught:
        shmctx.unlink(stores.name)
    assert "shmctx ls" in caught.value.hint
    with pytest.raises(shmctx.SegmentMissing):
        shmctx.attach(stores.name)
    assert stores.open()[ref].event_name == "x"


@pytest.mark.parametrize("name", ["", ".", "../x", "a/b", "a b", "~", "a~1.2", "x" * 101, "é", None, 5])
def test_names_that_cannot_be_files_are_refused(tmp_path, name):
    opening = lambda: shmctx.open(name, db=tmp_path / "x.db")  # noqa: E731
    for call in (opening, lambda: shmctx.attach(name), lambda: shmctx.unlink(name)):
        with pytest.raises(shmctx.InvalidField):
            call()
    assert list(tmp_path.iterdir()) == []


def test_stats_tell_sizes_positions_counters_and_the_leader(stores):
    store = stores.open()
    refs = [store.put("x") for _ in range(10)]
    for ref in refs:
        store.get(ref)
    store.get(refs[0][:-1] + "z")
    store.flush()
    stats = store.stats()

    assert stats["name"] == stores.name
    assert stats["store_id"] == f"{store.store_id:06x}"
    assert stats["database"] == str(stores.database)
    assert stats["ring_bytes"] == 1 << 20 < stats["segment_bytes"]
    assert stats["state"] == "open"
    assert stats["lag_bytes"] == 0
    assert stats["oldest_undrained_seconds"] is None
    assert stats["leader"]["alive"]
    assert stats["leader"]["error"] == ""
    assert stats["counters"]["puts"] == 10
    assert stats["counters"]["hot_hits"] == 10
    assert stats["counters"]["misses"] == 1
    assert stats["database_bytes"] > 0
