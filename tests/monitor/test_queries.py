"""Store.query with all its filters: the same answers from the ring, the database, and both."""

import asyncio

import pytest
from scenes import AGENTS, NAMES

import shmctx
from shmctx.errors import ColdUnavailable

PATTERNS = ["*", "agent:*", "agent:s*", "*:?tatus", "agent:[[]x]", "agent:[!s]*", "[aÄ]*", "a", "none*", "agent:[x]"]


def refs(found):
    return [context.ref for context in found]


def random_filters(scene):
    """Any of the filters, together with any others."""
    choose, put = scene.random.choice, scene.random.choice(scene.puts)
    ways = {
        "event_name": lambda: choose([*PATTERNS, *NAMES]),
        "agent_id": lambda: choose([*AGENTS[1:], "nobody"]),
        "session_id": lambda: choose(["s-1", "Needle-session", "none"]),
        "correlation_id": lambda: scene.store[put.ref].correlation_id,
        "parent": lambda: put.ref,
        "errors": lambda: choose([True, False]),
        "since": lambda: put.fields["timestamp"],
        "until": lambda: put.fields["timestamp"],
        "limit": lambda: scene.random.randrange(8),
        "newest_first": lambda: True,
        "after": lambda: put.ref,
    }
    chosen = scene.random.sample(sorted(ways), scene.random.choice([0, 1, 1, 2, 2, 3, 4]))
    return {name: ways[name]() for name in chosen}


def test_every_answer_is_what_looking_at_each_context_finds(scene):
    scene.fill(80)

    for _ in range(150):
        filters = random_filters(scene)
        assert refs(scene.store.query(**filters)) == scene.expected(**filters), filters


def test_contexts_come_with_their_annotations_whatever_finds_them(scene):
    scene.fill(60)
    known = {put.ref: scene.store[put.ref] for put in scene.puts}
    correlations = {context.correlation_id for context in known.values()}

    assert any(context.noted for context in known.values())
    for filters in ({}, {"errors": True}, {"limit": 7}, *({"correlation_id": id_} for id_ in correlations)):
        found = scene.store.query(**filters)
        assert found == [known[context.ref] for context in found]


@pytest.mark.parametrize("newest_first", [False, True])
def test_pages_put_together_are_the_whole(scene, newest_first):
    scene.fill(50)

    for filters in ({}, {"errors": True}, {"errors": False}, {"event_name": "agent:*"}, {"agent_id": "a-1"}):
        pages = []
        while page := scene.store.query(
            **filters, limit=4, newest_first=newest_first, after=pages[-1].ref if pages else None
        ):
            pages += page
        assert refs(pages) == scene.expected(**filters, newest_first=newest_first)


def test_the_awaitable_face_finds_the_same(scene):
    scene.fill(40)

    async def ask():
        for _ in range(25):
            filters = random_filters(scene)
            assert refs(await scene.store.aio.query(**filters)) == scene.expected(**filters), filters

    asyncio.run(ask())


def test_a_cursor_may_be_an_id_and_need_not_resolve_any_more(stores):
    store = stores.leaderless()
    made = [store.put("x", event_id=f"e-{number}") for number in range(4)]

    assert refs(store.query(after="e-1")) == made[2:]
    assert refs(store.query(after="e-2", newest_first=True)) == made[1::-1]
    with pytest.raises(shmctx.ContextNotFound):
        store.query(after="e-9")


@pytest.mark.parametrize("errors", ["yes", 1, 0], ids=repr)
def test_the_error_state_is_yes_or_no(stores, errors):
    store = stores.leaderless()

    with pytest.raises(shmctx.InvalidField, match="errors"):
        store.query(errors=errors)


def test_a_conversation_in_the_ring_is_found_without_its_database(stores, db):
    """Even where it is drained: the ring has all of it from its first context on."""
    store = stores.leaderless()
    with store.span("start") as start:
        made = [start.ref, *(store.put("step", data={"n": number}) for number in range(5))]
    store.annotate(made[3], error="late")
    stores.drain()
    db.unlink()

    assert refs(store.query(correlation_id=start.correlation_id)) == made
    assert refs(store.query(parent=start.ref)) == made[1:] == refs(store.children(start.ref))
    assert refs(store.query(correlation_id=start.correlation_id, errors=True)) == [made[3]]
    assert refs(store.query(correlation_id=start.correlation_id, limit=2, newest_first=True)) == made[:-3:-1]
    with pytest.raises(ColdUnavailable):
        store.query(event_name="step")


def test_a_conversation_that_is_partly_overwritten_is_found_whole(stores):
    store = stores.leaderless(4096)
    with store.span("start") as start:
        made = [start.ref, *(store.put("step") for _ in range(3))]
    stores.evict(store, made[0])
    made += [store.put("late", parent=start.ref) for _ in range(2)]

    assert refs(store.query(correlation_id=start.correlation_id)) == made
    assert refs(store.children(start.ref)) == made[1:]
