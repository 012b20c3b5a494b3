"""Event data: what is refused, and what of it is metadata."""

import asyncio
import datetime as dt
import threading
import types

import pytest
from running import run

import shmctx


class Service:
    """A runtime object."""


RING = []
RING.append(RING)


@pytest.mark.parametrize(
    "data,path",
    [
        ([1], "data is a dict, not list"),
        ("text", "data is a dict, not str"),
        (3, "data is a dict, not int"),
        ({"a": Service()}, "data.a:"),
        ({"items": [0, {"when": dt.datetime.now(dt.UTC)}]}, "data.items[1].when:"),
        ({"a": {"b": {1, 2}}}, "data.a.b:"),
        ({"a": float("nan")}, "data.a:"),
        ({"a": b"bytes"}, "data.a:"),
        ({"a": {1: 2}}, "data.a:"),
        ({1: 2}, "data:"),
        ({"a": "\ud800"}, "data.a:"),
        ({"a": RING}, "data.a[0]"),
        ({"a": lambda: None}, "data.a:"),
    ],
)
def test_data_that_cannot_be_stored_is_refused_with_its_path(store, router, data, path):
    called = []
    router.on("x")(lambda: called.append(1))
    with pytest.raises(shmctx.InvalidField) as refused:
        run(router.emit("x", data))
    assert path in str(refused.value)
    assert "Nothing was stored" in str(refused.value)
    assert (called, len(store), shmctx.current()) == ([], 0, None)
    assert run(router.emit("x", {"fine": True})).errors == []


@pytest.mark.parametrize("name", [None, 3, ["x"], b"x", "\ud800"])
def test_event_names_that_are_none(store, router, name):
    with pytest.raises(shmctx.InvalidField):
        run(router.emit(name))
    assert len(store) == 0


@pytest.mark.parametrize(
    "fields,data",
    [
        ({"nosuch": 1}, None),
        ({"agent_id": 3}, {"a": 1}),
        ({"parent": "ctx_nowhere"}, {}),
        ({}, {"_agent_id": 3}),
        ({}, {"_ksi_context": 3}),
        ({}, {"_ksi_context": {"data": 1}}),
        ({}, {"_ksi_context": {"durable": True}}),
        ({}, {"_ksi_context": {3: 1}}),
        ({}, {"_ksi_context": "ctx_nowhere"}),
        ({}, {"_event_depth": -1}),
    ],
)
def test_fields_and_metadata_that_cannot_be_stored(store, router, fields, data):
    with pytest.raises(shmctx.ShmctxError):
        run(router.emit("x", data, **fields))
    assert len(store) == 0


def test_a_registered_object_is_named_in_the_refusal(store, router):
    service = router.registry.register("state", Service())
    with pytest.raises(shmctx.InvalidField) as refused:
        run(router.emit("x", {"fine": Service, "items": [{"service": service}]}))
    assert "data.items[0].service: this is the object registered as 'state'" in str(refused.value)
    assert "registry['state']" in refused.value.hint


@pytest.mark.parametrize("kind", [dict, types.MappingProxyType])
def test_data_of_any_mapping_is_copied(store, router, kind):
    router.on("x")(lambda data: data)
    inner = {"a": 1, "b": [1, {"c": None}]}
    results = run(router.emit("x", kind(inner)))
    assert results == [inner]
    assert results[0] is not inner
    assert type(results[0]) is dict
    assert store.event(results.ref).data == inner


def test_metadata_in_data_becomes_the_context_s_and_is_not_stored_with_it(store, router):
    router.on("x")(lambda data: data)
    given = {
        "prompt": "hello",
        "_agent_id": "a-7",
        "_client_id": "c",
        "_correlation_id": "corr_d3ac94af",
        "_session": {"id": "s-1", "sandbox_uuid": "892f902b-d23f-0824-128b-2f330c5c7fd0"},
        "_tags": ["t"],
        "_silent": True,
    }
    results = run(router.emit("x", dict(given)))
    assert results == [{"prompt": "hello", "_silent": True}]
    event = store.event(results.ref)
    assert event.data == results[0]
    context = event.context
    assert (context.agent_id, context.client_id, context.correlation_id) == ("a-7", "c", "corr_d3ac94af")
    assert (context.session, context.tags) == (given["_session"], ["t"])


def test_a_whole_context_inside_data_is_the_event_s(store, router):
    """As KSI writes events: with all of the metadata in `_ksi_context`."""
    router.on("x")(lambda data, context: (data, context))
    metadata = {
        "_event_id": "evt_e4365d45",
        "_event_timestamp": 1795331471.5455196,
        "_correlation_id": "corr_d3ac94af",
        "_ref": "ctx_evt_e4365d45",
        "_parent_event_id": "evt_377df9c5",
        "_root_event_id": "evt_0f21ddb6",
        "_event_depth": 3,
        "_client_id": "ksi-cli",
        "_agent_id": "agent_020",
        "_event_name": "x",
        "_trial": 4,
    }
    ((data, context),) = run(router.emit("x", {"status": "ready", "_ksi_context": metadata}))
    assert data == {"status": "ready"}
    assert context.to_dict() == metadata
    assert store["evt_e4365d45"].ref == context.ref


def test_a_ref_inside_data_is_the_cause(store, router):
    cause = store.put("cause", agent_id="a")
    results = run(router.emit("x", {"_ksi_context": cause, "a": 1}))
    assert results.context.parent_ref == cause
    assert results.context.agent_id == "a"
    assert store.event(results.ref).data == {"a": 1}


def test_fields_of_the_call_are_stronger_than_metadata_in_data(router):
    data = {"_agent_id": "beside", "_ksi_context": {"_agent_id": "inside", "_client_id": "inside"}}
    assert run(router.emit("x", data)).context.agent_id == "beside"
    context = run(router.emit("x", data, agent_id="given")).context
    assert (context.agent_id, context.client_id) == ("given", "inside")


def test_data_that_changes_while_handlers_wait_is_as_it_was_emitted(store, router):
    go_on = asyncio.Event()

    async def reads(data):
        return data["a"]

    async def waits(data):
        await go_on.wait()
        return data["a"]

    router.on("x")(waits)
    router.on("x")(reads)
    data = {"a": 1}

    async def main():
        emitting = asyncio.create_task(router.emit("x", data))
        await asyncio.sleep(0)
        data["a"] = 2
        go_on.set()
        return await emitting

    assert run(main()) == [1, 1]


def test_large_data_reaches_handlers_and_comes_back_whole(store, router):
    router.on("x")(lambda data: len(data["prompt"]))
    data = {"prompt": "p" * 100_000, "n": 1}
    results = run(router.emit("x", data))
    assert results == [100_000]
    assert store.event(results.ref).data == data


def test_the_same_external_id_twice(store, router):
    """Both events are stored and handled; neither loses its data."""
    router.on("x")(lambda data, context: (data["n"], context.event_id))
    first = run(router.emit("x", {"n": 1}, event_id="evt_00000001"))
    second = run(router.emit("x", {"n": 2}, event_id="evt_00000001"))
    assert [*first, *second] == [(1, "evt_00000001"), (2, "evt_00000001")]
    assert first.ref != second.ref
    assert [store.event(results.ref).data["n"] for results in (first, second)] == [1, 2]


def test_locks_and_threads_cannot_travel(router):
    for value in (threading.Lock(), threading.current_thread(), router):
        with pytest.raises(shmctx.InvalidField, match=r"data\.runtime:"):
            run(router.emit("x", {"runtime": value}))
