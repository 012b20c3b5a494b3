"""The hybrid form: refs towards readers of the segment, contexts towards everybody else, and either back again."""

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import shmctx
from shmctx.errors import PayloadTooLarge
from shmctx.wire import IDENTITY


@pytest.fixture
def context(store):
    ref = store.put("call", agent_id="a", session={"id": "s", "k": 1}, tags=["t"], _trial=4)
    store.annotate(ref, error_type="Boom", _cost=0.5)
    return store[ref]


def test_a_reader_of_the_segment_gets_the_ref(store, context):
    assert store.to_wire(context, local=True) == store.to_wire(context.ref, local=True) == context.ref
    assert store.accept(context.ref) == context.ref


def test_anybody_else_gets_the_context(store, context):
    wire = store.to_wire(context.ref, local=False)

    assert wire == context.to_dict()
    assert (wire["_session"], wire["_cost"]) == ({"id": "s", "k": 1}, 0.5)


def test_a_context_of_another_store_goes_out_whole(elsewhere, context):
    """Its ref says nothing to the readers of this segment."""
    assert elsewhere.to_wire(context, local=True) == context.to_dict()


def test_selected_fields_go_with_the_identity(store, context):
    wire = store.to_wire(context, local=False, fields=["agent_id", "_trial", "depth", "nosuch", "_session"])

    assert set(wire) == {*IDENTITY, "_agent_id", "_trial", "_event_depth", "_session"}
    assert store.to_wire(context, local=False, fields=[]) == {
        "_ref": context.ref, "_event_id": context.event_id, "_event_name": "call",
    }  # fmt: skip


def test_contexts_that_come_back_keep_their_identity(store, context):
    count = len(store)
    for fields in (None, [], ["agent_id"]):
        wire = json.loads(json.dumps(store.to_wire(context, local=False, fields=fields)))
        assert store.accept(wire) == context.ref
        assert store.accept({**wire, "_agent_id": "somebody else"}) == context.ref
    assert store.accept({"_ref": context.ref}) == store.accept({"_event_id": context.event_id}) == context.ref

    assert len(store) == count
    assert store[context.ref] == context


def test_a_foreign_context_is_stored_once_as_it_is(store, elsewhere, context):
    wire = json.loads(json.dumps(store.to_wire(context, local=False)))
    ref = elsewhere.accept(wire)

    assert elsewhere.accept(wire) == ref
    assert len(elsewhere) == 1
    assert elsewhere[context.event_id] == elsewhere[f"ctx_{context.event_id}"] == elsewhere[ref]
    assert elsewhere[ref].to_dict() == {**wire, "_ref": f"ctx_{context.event_id}"}


def test_nothing_is_inherited_by_what_comes_from_elsewhere(store, elsewhere):
    """Neither from the current context nor from a parent that happens to be here: what came is all there is."""
    with elsewhere.span("ours", agent_id="a", user_id="u", _mine=1) as ours:
        theirs = store.put("theirs", event_id="evt_theirs", parent_event_id=ours.event_id, correlation_id="c")
        wire = store.to_wire(theirs, local=False)
        accepted = elsewhere[elsewhere.accept(wire)]

    assert (accepted.agent_id, accepted.user_id, accepted.custom) == (None, None, {})
    assert (accepted.correlation_id, accepted.depth) == ("c", store[theirs].depth)
    assert elsewhere.children(ours.ref) == [accepted]


def test_there_and_back_again(store, elsewhere, context):
    """Another service continues a context of ours; its answer, when it comes, is a child of it."""
    received = elsewhere.accept(store.to_wire(context, local=False))
    with shmctx.bound(elsewhere[received]):
        answer = elsewhere[elsewhere.put("answer")]
    ref = store.accept(elsewhere.to_wire(answer, local=False))

    assert store[ref].parent_event_id == context.event_id
    assert [child.event_name for child in store.children(context.ref)] == ["answer"]
    assert store.accept(elsewhere.to_wire(received, local=False)) == context.ref
    assert store.accept(elsewhere.to_wire(answer, local=False)) == ref


def test_a_brought_event_id_is_the_alias(store):
    wire = {"_ref": "ctx_evt_0badcafe", "_event_id": "evt_0badcafe", "_event_name": "x", "_event_timestamp": 1.5}
    ref = store.accept(wire)

    assert store.accept({"_ref": "ctx_evt_0badcafe", "_event_name": "other"}) == ref
    assert store.accept("evt_0badcafe") == store.accept("ctx_evt_0badcafe") == ref
    assert store[ref].timestamp == 1.5


def test_what_is_cold_is_known_too(stores):
    store = stores.leaderless(ring_size=4096)
    wire = {"_event_id": "evt_0badcafe", "_event_name": "x"}
    ref = store.accept(wire)
    stores.evict(store, ref)

    assert store.accept(wire) == ref


def test_processes_that_accept_the_same_at_once_give_the_same_ref(store, spawn):
    script = """
    import sys, shmctx
    with shmctx.attach(sys.argv[1]) as store:
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(300):
            print(store.accept({"_event_id": f"foreign-{number}", "_event_name": "x"}))
    """
    crew = [spawn(script, store.name) for _ in range(2)]
    for process in crew:
        process.line()
    for process in crew:
        process.say()
    first, second = (process.finish() for process in crew)

    assert first == second
    assert len(set(first)) == 300


def test_async_callers_accept_too(store):
    assert store[asyncio.run(store.aio.accept({"_event_id": "e", "_event_name": "x"}))].event_id == "e"


DEEP: dict = {}
for _ in range(5000):
    DEEP = {"_x": DEEP}
CYCLE: dict = {}
CYCLE["_x"] = CYCLE


@pytest.mark.parametrize(
    "wire,error",
    [
        (None, shmctx.InvalidField), (7, shmctx.InvalidField), ([], shmctx.InvalidField), (b"", shmctx.InvalidField),
        ({}, shmctx.InvalidField), ({"_event_name": "x"}, shmctx.InvalidField),
        ({"_event_id": "e"}, shmctx.InvalidField),
        ({"_event_id": "e", "_event_name": 7}, shmctx.InvalidField), ({"_event_id": 7}, shmctx.InvalidField),
        ({"_event_id": "e" * 257, "_event_name": "x"}, shmctx.InvalidField), ({"_ref": ["x"]}, shmctx.InvalidField),
        ({"_event_id": "e", "_event_name": "x", 7: 1}, shmctx.InvalidField),
        ({"_event_id": "e", "_event_name": "x", "parent": "ctx_x"}, shmctx.InvalidField),
        ({"_event_id": "e", "_event_name": "x", "_": 1}, shmctx.InvalidField),
        ({"_event_id": "e", "_event_name": "x", "_event_depth": -1}, shmctx.InvalidField),
        ({"_event_id": "e", "_event_name": "x", "_event_depth": True}, shmctx.InvalidField),
        ({"_event_id": "e", "_event_name": "x", "_event_timestamp": "now"}, shmctx.InvalidField),
        ({"_event_id": "e", "_event_name": "x", "_event_timestamp": float("nan")}, shmctx.InvalidField),
        ({"_event_id": "e", "_event_name": "x", "_session": [1]}, shmctx.InvalidField),
        ({"_event_id": "e", "_event_name": "x", "_session": {}}, shmctx.InvalidField),
        ({"_event_id": "e", "_event_name": "x", "_tags": "t"}, shmctx.InvalidField),
        ({"_event_id": "e", "_event_name": "x", "_x": object()}, shmctx.InvalidField),
        ({"_event_id": "e", "_event_name": "x", "_x": "\ud800"}, shmctx.InvalidField),
        ({"_event_id": "e", "_event_name": "x", **DEEP}, shmctx.InvalidField),
        ({"_event_id": "e", "_event_name": "x", **CYCLE}, shmctx.InvalidField),
        ({"_event_id": "e", "_event_name": "x", "_x": "x" * (1 << 20)}, PayloadTooLarge),
        ("", shmctx.MalformedRef), ("ctx_0000000000000003", shmctx.ForeignRef), ("nobody", shmctx.ContextNotFound),
    ],
)  # fmt: skip
def test_hostile_input_is_refused_and_nothing_stored(store, wire, error):
    with pytest.raises(error):
        store.accept(wire)

    assert len(store) == 0
    assert store.query() == []


def test_an_id_of_ours_that_has_expired_is_not_stored_again(store, context):
    wire = store.to_wire(context, local=False)
    store.forget(context.ref)

    with pytest.raises(shmctx.ContextNotFound):
        store.accept(wire)


keys = st.sampled_from([
    "_ref", "_event_id", "_event_name", "_event_timestamp", "_correlation_id", "_parent_event_id", "_root_event_id",
    "_event_depth", "_agent_id", "_client_id", "_session", "_tags", "_error", "_user_id", "_x", "agent_id",
])  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | keys, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(keys, values), st.none() | st.text(max_size=6), st.none() | st.text(max_size=6))
def test_whatever_comes_is_stored_or_refused(store, wire, event_id, name):
    wire |= {key: value for key, value in (("_event_id", event_id), ("_event_name", name)) if value is not None}
    try:
        ref = store.accept(wire)
    except shmctx.ShmctxError:
        return
    assert store.accept(wire) == ref
    assert store[ref].event_id == (wire.get("_event_id") or wire["_ref"].removeprefix("ctx_"))
