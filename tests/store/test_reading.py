"""Queries and lineage, with the same answers whether nothing, half or all of it is in the database."""

from datetime import UTC, datetime

import pytest

import shmctx

START = 1_795_000_000.0


@pytest.fixture(params=["hot", "half", "cold", "evicted", "rehydrated"])
def story(request, stores):
    """(store, refs): twelve contexts of two conversations, three agents and two sessions, a second apart."""
    store = stores.leaderless(8192)
    refs = []
    for number in range(12):
        if request.param == "half" and number == 6:
            stores.drain()
        with store.span("start", timestamp=START + number, agent_id="a-0") if number in (0, 6) else shmctx.bound(
            store[refs[number // 6 * 6]]
        ) as current:
            refs.append(
                current.ref
                if number in (0, 6)
                else store.put(
                    f"event:{number % 3}",
                    agent_id=f"a-{number % 3}",
                    timestamp=START + number,
                    session={"id": f"s-{number % 2}"} if number % 4 < 2 else None,
                )
            )
    if request.param in ("cold", "evicted", "rehydrated"):
        stores.drain()
    if request.param == "evicted":
        stores.evict(store, refs[-1])
    if request.param == "rehydrated":
        store.close()
        shmctx.unlink(stores.name)
        store = stores.open(8192)
    return store, refs


FILTERS = {
    "agent": ({"agent_id": "a-1"}, lambda n: n not in (0, 6) and n % 3 == 1),
    "agent and name": ({"agent_id": "a-0", "event_name": "start"}, lambda n: n in (0, 6)),
    "name": ({"event_name": "event:2"}, lambda n: n % 3 == 2),
    "session": ({"session_id": "s-1"}, lambda n: n % 4 == 1),
    "since": ({"since": START + 3}, lambda n: n >= 3),
    "until": ({"until": START + 3}, lambda n: n < 3),
    "interval": ({"since": datetime.fromtimestamp(START + 2, UTC), "until": START + 9.5}, lambda n: 2 <= n <= 9),
    "name and time": ({"event_name": "event:1", "since": START + 5}, lambda n: n % 3 == 1 and n >= 5),
    "unknown agent": ({"agent_id": "nobody"}, lambda _: False),
    "unknown name": ({"event_name": "nothing"}, lambda _: False),
    "unknown session": ({"session_id": "none"}, lambda _: False),
    "unknown correlation": ({"correlation_id": "corr_99999999"}, lambda _: False),
    "empty interval": ({"since": START + 5, "until": START + 5}, lambda _: False),
}


@pytest.mark.parametrize("filters, expected", FILTERS.values(), ids=FILTERS)
def test_every_filter_finds_the_same_wherever_contexts_are(story, filters, expected):
    store, refs = story
    wanted = [refs[number] for number in range(12) if expected(number)]
    among = {"until": START + 100, **filters}  # not what pushed them out of the ring

    assert [context.ref for context in store.query(**among)] == wanted
    assert [context.ref for context in store.query(**among, newest_first=True)] == wanted[::-1]
    assert [context.ref for context in store.query(**among, limit=2)] == wanted[:2]
    assert [context.ref for context in store.query(**among, limit=2, newest_first=True)] == wanted[::-1][:2]


def test_a_conversation_is_found_by_its_id_its_start_and_its_tree(story):
    store, refs = story
    for start in (0, 6):
        members = refs[start : start + 6]
        correlation = store[refs[start]].correlation_id
        found = store.query(correlation_id=correlation)

        assert [context.ref for context in found] == members
        assert found == [store[ref] for ref in members]
        assert [context.ref for context in store.children(members[0])] == members[1:]
        assert [context.ref for context in store.query(parent=members[0])] == members[1:]
        assert [context.ref for context in store.query(parent=store[members[0]].event_id)] == members[1:]
        assert [context.ref for context in store.descendants(members[0])] == members[1:]
        assert [[a.ref for a in store.ancestors(ref)] for ref in members] == [[]] + [[members[0]]] * 5


@pytest.mark.parametrize(
    "filters",
    [
        {"since": "yesterday"}, {"since": float("nan")}, {"until": float("inf")}, {"agent_id": 5}, {"limit": -1},
        {"session_id": b"s"}, {"correlation_id": ""}, {"event_name": 1}, {"agent_id": "\ud800"},
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("drained", [False, True])
def test_a_filter_that_makes_no_sense_is_named(stores, filters, drained):
    store = stores.leaderless()
    store.put("x")
    if drained:
        stores.drain()

    with pytest.raises(shmctx.InvalidField):
        store.query(**filters)


@pytest.mark.parametrize("drained", [False, True])
def test_times_beyond_every_clock_are_only_limits(stores, drained):
    store = stores.leaderless()
    ref = store.put("x")
    if drained:
        stores.drain()

    assert store.query(since=1e15) == []
    assert [context.ref for context in store.query(since=-1e15, until=1e15)] == [ref]
    assert store.query(limit=0) == []


def test_a_query_sees_the_ring_and_the_database_in_one_order(stores):
    store = stores.leaderless(4096)
    refs = []
    for number in range(90):  # three rings full
        try:
            refs.append(store.put("x", _n=number))
        except shmctx.RingFull:
            stores.drain()
            refs.append(store.put("x", _n=number))

    assert store.get_bytes(refs[0]) is None
    assert store.stats()["lag_bytes"] > 0
    assert [context.ref for context in store.query(event_name="x")] == refs == list(store)
    assert [context.ref for context in store.query(limit=40, newest_first=True)] == refs[:-41:-1]


def test_a_tree_by_levels(stores):
    store = stores.leaderless()
    levels = [[store.put("root")]]
    for depth in range(3):
        levels.append([store.put("child", parent=ref) for ref in levels[depth] for _ in range(2)])
        if depth == 1:
            stores.drain()
    root, leaf = levels[0][0], levels[3][-1]

    assert [context.ref for context in store.descendants(root)] == [ref for level in levels[1:] for ref in level]
    assert [context.ref for context in store.descendants(root, max_depth=2)] == levels[1] + levels[2]
    assert store.descendants(root, max_depth=0) == []
    assert [context.ref for context in store.ancestors(leaf)] == [level[-1] for level in levels[2::-1]]
    assert [context.depth for context in store.ancestors(leaf)] == [2, 1, 0]
    assert {context.root_event_id for context in store.descendants(root)} == {store[root].event_id}


@pytest.mark.parametrize(
    "event_id", ["evt_00000001", "order-17", "evt_0123456789abcdef", "4bf92f3577b34da6a3ce929d0e0e4736"]
)
def test_ids_that_were_brought_are_as_good_as_native_ones(stores, side, event_id):
    store = stores.leaderless()
    first = store.put("first", event_id=event_id)
    second = store.put("second", parent_event_id=event_id)
    third = store.put("third", parent=second)
    store = side(store)

    assert store[event_id].ref == store[f"ctx_{event_id}"].ref == first
    assert store[event_id].event_id == event_id
    assert event_id in store
    assert [context.ref for context in store.children(event_id)] == [second]
    assert [context.ref for context in store.descendants(first)] == [second, third]
    assert [context.ref for context in store.ancestors(third)] == [second, first]


def test_the_newest_of_one_id_answers(stores, side):
    store = stores.leaderless()
    store.put("old", event_id="evt_00000001")
    store.put("new", event_id="evt_00000001")
    store = side(store)

    assert store["evt_00000001"].event_name == "new"
    assert len(store) == 2


def test_parents_in_a_ring_end_somewhere(stores, side):
    store = stores.leaderless()
    ids = ["evt_0000000a", "evt_0000000b", "evt_0000000c"]
    refs = [
        store.put("x", event_id=own, parent_event_id=parent, depth=1, correlation_id="corr_1", root_event_id=ids[0])
        for own, parent in zip(ids, ids[-1:] + ids[:-1], strict=True)
    ]
    own = store.put("itself", event_id="evt_0000000d", parent_event_id="evt_0000000d")
    store = side(store)

    assert [context.ref for context in store.ancestors(refs[0])] == [refs[2], refs[1]]
    assert [context.ref for context in store.descendants(refs[0])] == [refs[1], refs[2]]
    assert store.ancestors(own) == store.descendants(own) == []


def test_an_unknown_parent_is_kept_and_ends_the_chain(stores, side):
    store = stores.leaderless()
    ref = store.put("x", parent_event_id="evt_deadbeef", correlation_id="corr_00000001")
    grandchild = store.put("y", parent=ref)
    store = side(store)

    assert store[ref].parent_event_id == "evt_deadbeef"
    assert store.ancestors(ref) == []
    assert [context.ref for context in store.ancestors(grandchild)] == [ref]
    for look in (store.children, store.ancestors, store.descendants):
        with pytest.raises(shmctx.ContextNotFound):
            look("evt_deadbeef")


def test_children_of_a_parent_that_was_never_put_can_be_asked_for(stores, side):
    store = stores.leaderless()
    ref = store.put("x", parent_event_id="evt_deadbeef")
    store = side(store)

    assert [context.ref for context in store.query(parent="evt_deadbeef")] == [ref]
    assert store.query(parent="evt_00000000") == []
