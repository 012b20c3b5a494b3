"""Replay: a recorded chain once more, in a correlation of its own, compared with the original."""

import asyncio
import random

import pytest
from running import run

import shmctx
from shmctx.events import replay


@pytest.fixture
def pipeline(router):
    """`order` -> `pay` and `ship`; `ship` -> `track`, unless it is free."""

    @router.on("order")
    async def order(data):
        await router.emit("pay", {"amount": data["amount"]})
        await router.emit("ship", {"to": data["to"], "free": data["amount"] == 0})

    @router.on("ship")
    async def ship(data):
        if not data["free"]:
            await router.emit("track", {"to": data["to"]})

    return router


ORDER = {"amount": 3, "to": "here"}


def names(events):
    return [event.event_name for event in events]


def ordered(pipeline, **fields):
    return run(pipeline.emit("order", ORDER, agent_id="a", session={"id": "s"}, _trial=4, **fields)).ref


def test_handlers_do_the_same_again_in_a_correlation_of_its_own(store, pipeline):
    ref = ordered(pipeline)
    report = run(replay(pipeline, ref))
    assert report.original == ref
    assert (report.missing, report.added, report.changed) == ([], [], [])
    assert names(pair.original for pair in report.pairs) == ["order", "pay", "ship", "track"]
    begun = store[report.ref]
    assert begun.correlation_id == report.correlation_id != store[ref].correlation_id
    assert (begun.depth, begun.parent_ref) == (0, None)
    assert (begun.agent_id, begun.session_id, begun.custom["_trial"]) == ("a", "s", 4)
    for pair in report.pairs:
        assert pair.replayed.data == pair.original.data
        assert store[pair.replayed.ref].custom["_replay_of"] == pair.original.ref
    assert len(store.query(correlation_id=report.correlation_id)) == 4, "handlers emit; replay does not emit it again"
    assert len(store.query(correlation_id=store[ref].correlation_id)) == 4


def test_the_first_context_links_back_from_the_beginning(store, router):
    """In the same record, not only by a later annotation; and its children do not inherit it."""
    seen = []

    @router.on("x")
    async def handler(context):
        seen.append(context.custom.get("_replay_of"))
        seen.append(store[store.put("child")].custom.get("_replay_of"))

    ref = run(router.emit("x")).ref
    run(replay(router, ref))
    assert seen == [None, None, ref, None]


def test_changes_of_the_data_and_what_follows_from_them(store, pipeline):
    report = run(replay(pipeline, ordered(pipeline), changes={"amount": 0}))
    assert [(pair.original.event_name, pair.changed) for pair in report.changed] == [
        ("order", {"amount": (3, 0)}),
        ("pay", {"amount": (3, 0)}),
        ("ship", {"free": (False, True)}),
    ]
    assert names(report.missing) == ["track"]
    assert report.added == []
    again = run(replay(pipeline, report.ref, changes=lambda event: {**event.data, "amount": 5, "gift": True}))
    assert names(again.added) == ["track"]
    assert again.changed[0].changed == {"amount": (0, 5), "gift": (None, True)}


def test_from_a_point_in_the_chain_and_from_its_start(store, pipeline):
    ref = ordered(pipeline)
    (ship,) = store.query(event_name="ship")
    report = run(replay(pipeline, ship.ref))
    assert names(pair.replayed for pair in report.pairs) == ["ship", "track"]
    assert store[report.ref].parent_ref is None
    whole = run(replay(pipeline, ship.ref, whole=True))
    assert whole.original == ref
    assert names(pair.replayed for pair in whole.pairs) == ["order", "pay", "ship", "track"]


def test_without_handlers_every_recorded_event_is_put_again(store, pipeline):
    called = []
    ref = ordered(pipeline)
    pipeline.on("*")(called.append)
    asked = []

    def change(event):
        asked.append(event.event_name)
        return {**event.data, "to": "there"} if "to" in event.data else None

    report = run(replay(pipeline, ref, handlers=False, changes=change))
    assert called == []
    assert sorted(asked) == ["order", "pay", "ship", "track"]
    assert [pair.changed for pair in report.pairs] == [{"to": ("here", "there")}, {}, *[{"to": ("here", "there")}] * 2]
    for pair in report.pairs:
        original, replayed = pair.original.context, store[pair.replayed.ref]
        assert replayed.custom["_replay_of"] == original.ref
        assert (replayed.depth, replayed.agent_id, replayed.session_id) == (original.depth, "a", "s")
        assert replayed.correlation_id == report.correlation_id
    assert names(report.missing + report.added) == []
    assert len(store.query(correlation_id=report.correlation_id)) == 4


def test_changes_as_a_dict_are_for_the_first_event_only(store, pipeline):
    report = run(replay(pipeline, ordered(pipeline), handlers=False, changes={"to": "there"}))
    assert [pair.original.event_name for pair in report.changed] == ["order"]


@pytest.mark.parametrize("handlers", [True, False])
def test_inside_of_another_event_it_is_still_a_chain_of_its_own(store, pipeline, handlers):
    ref = ordered(pipeline)

    @pipeline.on("again")
    async def again():
        return await replay(pipeline, ref, handlers=handlers)

    with store.span("outside"):
        results = run(pipeline.emit("again"))
    assert results.errors == []
    assert store[results[0].ref].parent_ref is None
    assert results[0].correlation_id != results.context.correlation_id
    assert results[0].missing == []


def test_a_chain_from_the_database(stores, store, pipeline):
    ref = ordered(pipeline)
    store.close()
    shmctx.unlink(stores.name)
    again = stores.open(rehydrate=False)
    assert again.get_bytes(ref) is None
    pipeline.store = again
    report = run(replay(pipeline, ref))
    assert [pair.changed for pair in report.pairs] == [{}] * 4
    assert report.missing == []


def test_brought_ids_stay_with_their_events(store, router):
    router.on("x")(lambda: None)
    ref = run(router.emit("x", {"n": 1}, event_id="evt_00000001", correlation_id="corr_00000001")).ref
    for handlers in (True, False):
        report = run(replay(router, "evt_00000001", handlers=handlers))
        assert report.original == ref
        replayed = store[report.ref]
        assert replayed.event_id != "evt_00000001"
        assert replayed.correlation_id != "corr_00000001"
    assert store["evt_00000001"].ref == ref


def test_rings_of_brought_ids_end(store, router):
    store.put("a", data={}, event_id="a", parent_event_id="b", correlation_id="c", root_event_id="a", depth=1)
    store.put("b", data={}, event_id="b", parent_event_id="a", correlation_id="c", root_event_id="a", depth=1)
    for handlers in (True, False):
        report = run(replay(router, "a", whole=True, handlers=handlers))
        assert len(report.pairs) == 2


def test_siblings_are_paired_by_what_they_hold(store, router, seed):
    """Handlers that run at the same time emit in any order."""
    chance = random.Random(seed)

    @router.on("fan")
    async def fan(data):
        numbers = list(range(data["n"]))
        chance.shuffle(numbers)
        await asyncio.gather(*(router.emit("leaf", {"n": n}) for n in numbers))

    ref = run(router.emit("fan", {"n": 20})).ref
    report = run(replay(router, ref))
    assert report.changed == []
    fewer = run(replay(router, ref, changes={"n": 15}))
    assert sorted(event.data["n"] for event in fewer.missing) == [15, 16, 17, 18, 19]
    assert [pair.original.event_name for pair in fewer.changed] == ["fan"]


def test_large_data_and_failures_are_replayed_too(store, router):
    @router.on("x")
    def fails(data):
        raise ValueError(len(data["prompt"]))

    ref = run(router.emit("x", {"prompt": "p" * 50_000})).ref
    report = run(replay(router, ref))
    assert names(pair.original for pair in report.pairs) == ["x", "event:error"]
    assert report.pairs[0].changed == {}
    assert report.pairs[1].changed.keys() == {"chain"}
    assert report.pairs[0].replayed.context.error_type == "ValueError"


def test_what_cannot_be_replayed(store, router):
    with pytest.raises(shmctx.ContextNotFound):
        run(replay(router, "ctx_0000000000000000"))
    ref = store.put("x", data={"a": 1})
    with pytest.raises(shmctx.InvalidField):
        run(replay(router, ref, changes=[1]))
    for handlers in (True, False):
        with pytest.raises(shmctx.InvalidField, match=r"data\.a"):
            run(replay(router, ref, changes={"a": object()}, handlers=handlers))
    assert len(store) == 1
