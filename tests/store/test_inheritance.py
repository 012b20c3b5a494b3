"""What children inherit, from the current context or from a parent that is named."""

import pytest

import shmctx
from shmctx import records

INHERITED = {
    "agent_id": "a", "client_id": "c", "user_id": "u", "tenant_id": "t", "environment": "e", "session": {"id": "s"},
}  # fmt: skip
NOT_INHERITED = {
    "tags": ["x"], "error": "e", "error_type": "T", "error_message": "m", "response_ref": "r",
    "event_id": "evt_000000aa",
}  # fmt: skip


@pytest.fixture(params=["current", "parent", "parent ref", "parent_event_id", "bound"])
def put_below(request):
    """`put_below(store, ref, name, **fields)` puts a child of a ref, in each way there is."""

    def put(store, ref, name, **fields):
        if request.param == "parent":
            return store.put(name, parent=store[ref], **fields)
        if request.param == "parent ref":
            return store.put(name, parent=ref, **fields)
        if request.param == "parent_event_id":
            return store.put(name, parent_event_id=store[ref].event_id, **fields)
        if request.param == "bound":
            with shmctx.bound(store[ref]):
                return store.put(name, **fields)
        with store.span("another"), shmctx.bound(store[ref]):
            return store.put(name, **fields)

    return put


def test_children_inherit_the_standing_fields(stores, put_below):
    store = stores.open()
    ref = store.put("root", **INHERITED, **NOT_INHERITED, _own={"k": [1]})
    parent, child = store[ref], store[put_below(store, ref, "child")]

    for name, value in INHERITED.items():
        assert getattr(child, name) == getattr(parent, name) == value
    assert child.session_position == parent.session_position
    assert child.custom == {"_own": {"k": [1]}}
    assert child.correlation_id == parent.correlation_id
    assert (child.parent_event_id, child.root_event_id, child.depth) == ("evt_000000aa", "evt_000000aa", 1)
    assert (child.tags, child.error, child.error_type, child.error_message, child.response_ref) == (None,) * 5
    assert child.event_id == "evt_" + child.ref[4:]


def test_what_a_child_brings_goes_before_what_it_inherits(stores, put_below):
    store = stores.open()
    ref = store.put("root", **INHERITED, _own=1, _other=2)
    own = {
        "agent_id": "a2", "client_id": "c2", "user_id": "u2", "tenant_id": "t2", "environment": "e2",
        "session": {"id": "s2"}, "correlation_id": "corr_2", "root_event_id": "evt_r",
    }  # fmt: skip
    child = store[put_below(store, ref, "child", **own, _own=3)]

    assert {name: getattr(child, name) for name in own} == own
    assert child.custom == {"_own": 3, "_other": 2}
    assert child.parent_event_id == store[ref].event_id


def test_none_means_not_given(stores, put_below):
    store = stores.open()
    ref = store.put("root", **INHERITED)
    absent = dict.fromkeys(("agent_id", "client_id", "session", "depth", "event_id"))
    child = store[put_below(store, ref, "child", **absent)]

    assert (child.agent_id, child.client_id, child.session_id, child.depth) == ("a", "c", "s", 1)


def test_the_short_way_and_the_long_way_store_the_same(stores):
    """put(name, agent_id=...) has a path of its own; whatever is inherited, it stores what the other one stores."""
    store = stores.open()
    roots = [
        {}, {"agent_id": "a"}, {"agent_id": "a", "client_id": "a"}, {"client_id": "c"}, {"user_id": "u", "_x": 1},
        {"session": {"id": "s"}}, {"event_id": "evt_00000001"}, {"event_id": "mine"},
        {"correlation_id": "corr_0000000b"}, {"correlation_id": "other"},
        {"event_id": "evt_00000002", "correlation_id": "corr_00000002"},
        {"parent_event_id": "evt_00000003", "root_event_id": "evt_00000004", "depth": 3},
        {"parent_event_id": "p", "root_event_id": "p"}, {"root_event_id": "r"},
    ]  # fmt: skip
    for fields in roots:
        with store.span("root", **fields):
            for agent in (None, "a", "b"):
                short = store[store.put("child", agent_id=agent)]
                with store.span("ignored"):
                    long = store[store.put("child", agent_id=agent, parent=shmctx.current().parent_ref)]
                stored = [records.decode_context(store.get_bytes(context.ref)) for context in (short, long)]
                assert stored[0] == stored[1], (fields, agent)


def test_an_empty_agent_is_no_agent(stores):
    store = stores.open()

    assert store[store.put("x", agent_id="")].agent_id is None
    assert store[store.put("x", agent_id="", _long="way")].agent_id is None


def test_grandchildren_keep_correlation_and_root(stores):
    store = stores.open()
    with store.span("a") as a, store.span("b") as b:
        c = store[store.put("c")]

    assert c.correlation_id == b.correlation_id == a.correlation_id == "corr_" + a.ref[4:]
    assert c.root_event_id == b.root_event_id == a.root_event_id == a.event_id
    assert (c.parent_event_id, b.parent_event_id, a.parent_event_id) == (b.event_id, a.event_id, None)
    assert (a.depth, b.depth, c.depth) == (0, 1, 2)


def test_depth_has_an_end(stores):
    """A chain may go on where the counter cannot: the ref that comes back resolves."""
    store = stores.open()
    ref = store.put("deepest", depth=(1 << 32) - 1)
    below = store.put("below", parent=ref)
    with shmctx.bound(store[ref]):
        beside = store.put("beside")

    assert [store[child].depth for child in (below, beside)] == [(1 << 32) - 1] * 2
    assert [context.ref for context in store.children(ref)] == [below, beside]


def test_without_a_current_context_a_context_begins_its_own(stores):
    store = stores.open()
    first, second = store[store.put("x")], store[store.put("x")]

    assert first.correlation_id != second.correlation_id
    assert first.parent_event_id is None
    assert second.root_event_id == second.event_id


def test_an_unknown_parent_gives_nothing_but_its_id(stores):
    store = stores.open()
    with store.span("current", agent_id="a"):
        child = store[store.put("x", parent_event_id="evt_deadbeef")]

    assert (child.parent_event_id, child.depth, child.agent_id) == ("evt_deadbeef", 1, None)


def test_an_unknown_parent_ref_is_an_error_and_nothing_is_stored(stores):
    store = stores.open()
    ref = store.put("x")

    with pytest.raises(shmctx.ContextNotFound):
        store.put("y", parent=ref[:-1] + "z")
    with pytest.raises(shmctx.MalformedRef):
        store.put("y", parent="ctx_" + "!" * 16)
    assert len(store) == 1


def test_a_context_of_another_store_as_parent_becomes_text(stores, tmp_path):
    here, there = stores.open(), stores.open(db=tmp_path / "2.db", name=f"{stores.name}-2")
    with there.span("cause", agent_id="a", session={"id": "s", "k": 1}, _own=1) as cause:
        effect = here[here.put("effect")]
        short = here[here.put("effect", agent_id="b")]

    assert effect.store_id == here.store_id
    assert (effect.parent_event_id, effect.root_event_id) == (cause.event_id, cause.event_id)
    assert (effect.correlation_id, effect.depth, effect.agent_id) == (cause.correlation_id, 1, "a")
    assert (short.correlation_id, short.agent_id) == (cause.correlation_id, "b")
    assert effect.session == {"id": "s", "k": 1}
    assert effect.custom == {"_own": 1}
    assert here.ancestors(effect.ref) == []
    assert [context.ref for context in here.query(correlation_id=cause.correlation_id)] == [effect.ref, short.ref]


def test_the_session_is_stored_once_for_all_its_contexts(stores):
    store = stores.open()
    with store.span("a", session={"id": "s", "agent_id": "a", "n": [1]}) as first:
        refs = [store.put("b") for _ in range(20)]
    again = store.put("c", session={"n": [1], "agent_id": "a", "id": "s"})
    changed = store.put("d", session={"id": "s", "n": [2]})

    positions = {store[ref].session_position for ref in [first.ref, *refs, again]}
    assert len(positions) == 1
    assert store[changed].session_position not in positions
    assert store[changed].session == {"id": "s", "n": [2]}
    assert store[again].session == {"id": "s", "agent_id": "a", "n": [1]}
    assert [context.ref for context in store.query(session_id="s")] == [first.ref, *refs, again, changed]
    assert store[store.put("e", session="only-its-id")].session == {"id": "only-its-id"}


def test_who_changes_a_session_s_dict_changes_only_a_copy(stores):
    store = stores.open()
    given = {"id": "s", "deep": {"k": 1}}
    ref = store.put("x", session=given)
    given["id"] = given["deep"]["k"] = "changed"
    store[ref].session["id"] = "changed"

    assert store[ref].session == {"id": "s", "deep": {"k": 1}}
