"""What becomes known later: annotations, wherever the context and they are."""

import pytest

import shmctx


def test_readers_see_context_and_annotations_merged(stores, side):
    store = stores.leaderless()
    ref = store.put("x", agent_id="a", tags=["t"], _own=1, _other=2)
    before = store[ref]
    store.annotate(ref, error="boom", error_type="E", _own=3)
    store.annotate(ref, error_message="m", _duration=1.5)
    store.annotate(ref, error="later")
    store = side(store)
    context = store[ref]

    assert (context.error, context.error_type, context.error_message) == ("later", "E", "m")
    assert context.custom == {"_own": 3, "_other": 2, "_duration": 1.5}
    assert context.to_dict() == before.to_dict() | {
        "_error": "later", "_error_type": "E", "_error_message": "m", "_own": 3, "_duration": 1.5,
    }  # fmt: skip
    assert store.query(agent_id="a") == [context]
    assert len(store) == 1


@pytest.mark.parametrize("when", ["hot", "drained", "evicted"])
@pytest.mark.parametrize("then", ["hot", "drained", "rehydrated"])
def test_every_order_of_draining_and_annotating(stores, when, then):
    store = stores.leaderless(4096)
    ref = store.put("x", event_id="evt_00000001", agent_id="a")
    if when != "hot":
        store.annotate(ref, _first=1)
        stores.drain()
    if when == "evicted":
        stores.evict(store, ref)
    store.annotate("evt_00000001", _first=2, error="e")
    if then != "hot":
        stores.drain()
    if then == "rehydrated":
        store.close()
        shmctx.unlink(stores.name)
        store = stores.open(4096)

    for context in (store[ref], store["evt_00000001"], *store.query(agent_id="a")):
        assert (context.custom, context.error) == ({"_first": 2}, "e")


def test_an_annotation_by_another_process_is_seen_at_once(stores, spawn):
    store = stores.open()
    ref = store.put("x")
    agent = spawn(
        "import shmctx, sys\nwith shmctx.attach(sys.argv[1]) as store: store.annotate(sys.argv[2], response_ref='r')",
        stores.name,
        ref,
    )
    agent.finish()

    assert store[ref].response_ref == "r"


def test_children_do_not_inherit_what_became_known_later(stores):
    store = stores.open()
    ref = store.put("x", _own=1)
    child = store.put("y", parent=ref)
    store.annotate(ref, error="e", _own=2, _duration=1.5)
    with shmctx.bound(store[ref]):
        later = [store.put("z"), store.put("z", parent=ref), store.put("z", parent=store[ref])]

    assert [store[one].custom for one in (child, *later)] == [{"_own": 1}] * 4
    assert [store[one].error for one in (child, *later)] == [None] * 4


@pytest.mark.parametrize(
    "fields", [{}, {"agent_id": "b"}, {"depth": 3}, {"event_name": "y"}, {"nosuch": 1}, {"_x": {1}}]
)
def test_what_identifies_a_context_cannot_be_annotated(stores, fields):
    store = stores.open()
    ref = store.put("x", agent_id="a")
    with pytest.raises(shmctx.InvalidField):
        store.annotate(ref, **fields)

    assert store[ref].custom == {}


def test_an_unknown_ref_cannot_be_annotated(stores):
    store = stores.open()
    ref = store.put("x")

    with pytest.raises(shmctx.ContextNotFound):
        store.annotate(ref[:-1] + "z", error="e")


def test_a_context_read_before_stays_as_it_was(stores):
    store = stores.open()
    ref = store.put("x")
    before = store[ref]
    store.annotate(ref, error="e")

    assert before.error is None
    assert store[ref] != before
