"""Hot storage: mappings over the ring, which hold nothing themselves."""

import asyncio

import pytest

from shmctx.integrations.ksi import ksi_context

VIEWS = ("events", "contexts_by_ref", "events_by_correlation", "events_by_agent", "event_chains")


async def chain(manager, *names, agent="a-7"):
    """Events, each the child of the one before; returns their ids."""
    ids = []
    for name in names:
        context = await manager.create_context(agent_id=agent)
        event = {"event_id": context["_event_id"], "event_name": name, "timestamp": context["_event_timestamp"]}
        await manager.store_event_with_context({**event, "data": {"name": name}})
        ids.append(context["_event_id"])
    return ids


def test_views_show_what_was_stored(ksi):
    async def work(manager):
        hot = manager.hot_storage
        one, two, three = await chain(manager, "one", "two", "three")
        correlation = ksi_context.get()["_correlation_id"]
        ksi_context.set(None)
        (other,) = await chain(manager, "other", agent="a-8")

        assert list(hot.events) == [one, two, three, other]
        assert list(hot.contexts_by_ref) == [f"ctx_{event_id}" for event_id in (one, two, three, other)]
        assert hot.events_by_correlation[correlation] == [one, two, three]
        assert dict(hot.events_by_agent) == {"a-7": [one, two, three], "a-8": [other]}
        assert dict(hot.event_chains) == {one: [two], two: [three]}
        assert {name: len(getattr(hot, name)) for name in VIEWS} == dict(zip(VIEWS, (4, 4, 2, 2, 2), strict=True))
        event = hot.events[two]
        assert (event["event_name"], event["data"]) == ("two", {"name": "two"})
        assert event["_ksi_context"] == hot.contexts_by_ref[f"ctx_{two}"] == hot.get_context(f"ctx_{two}")
        assert hot.get_event(two) == event

    ksi(work)


def test_look_ups_of_what_is_not_there(ksi):
    async def work(manager):
        hot = manager.hot_storage
        await chain(manager, "one")
        for name in VIEWS:
            view = getattr(hot, name)
            for key in ("evt_ffffffff", "ctx_evt_ffffffff", "", "x" * 1000, "\ud800", None, 7):
                assert key not in view
                assert view.get(key) is None
                with pytest.raises(KeyError):
                    view[key]
        assert hot.get_event("evt_ffffffff") is None
        assert hot.get_context("ctx_evt_ffffffff") is None
        assert hot.get_events_by_correlation("corr_ffffffff") == []
        assert hot.get_event_chain("evt_ffffffff") == []

    ksi(work)


def test_chains_and_conversations_come_with_their_events(ksi):
    async def work(manager):
        hot = manager.hot_storage
        (root,) = await chain(manager, "root")
        at_root = ksi_context.get()
        left = await chain(manager, "left", "left below")
        ksi_context.set(at_root)
        (right,) = await chain(manager, "right")

        found = hot.get_event_chain(root)
        assert [event["event_name"] for event in found] == ["root", "left", "right", "left below"]
        assert [event["event_id"] for event in hot.get_event_chain(left[0])] == left
        conversation = hot.get_events_by_correlation(at_root["_correlation_id"])
        assert [event["event_id"] for event in conversation] == [root, *left, right]

    ksi(work)


def test_a_chain_that_bites_its_tail_ends(ksi):
    """KSI emits an event again under the id that its reference named: it is then its own parent."""

    async def work(manager):
        await manager.create_context(event_id="evt_1")
        await manager.store_event_with_context({"event_id": "evt_1", "event_name": "a", "data": {}})
        await manager.create_context(event_id="evt_2")
        await manager.store_event_with_context({"event_id": "evt_2", "event_name": "b", "data": {}})
        await manager.create_context(event_id="evt_1")
        await manager.store_event_with_context({"event_id": "evt_1", "event_name": "c", "data": {}})
        await manager.create_context(event_id="evt_1")
        await manager.store_event_with_context({"event_id": "evt_1", "event_name": "d", "data": {}})

        assert [event["event_name"] for event in manager.hot_storage.get_event_chain("evt_1")] == ["d", "b"]
        assert manager.hot_storage.event_chains["evt_1"] == ["evt_2", "evt_1"]
        assert len(manager.store.ancestors("evt_1")) <= 2

    ksi(work)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_that_was_cleared_shows_what_comes_and_loses_nothing(ksi, name):
    async def work(manager):
        view = getattr(manager.hot_storage, name)
        first = await chain(manager, "one", "two")
        snapshot = dict(view)
        assert snapshot
        view.clear()
        assert len(view) == 0
        assert list(view) == []
        assert all(key not in view for key in snapshot)
        assert await manager.get_context(f"ctx_{first[0]}")
        assert await manager.get_event_with_context(first[1])

        ksi_context.set(None)
        later = await chain(manager, "three", "four", agent="a-8")
        refs = [f"ctx_{event_id}" for event_id in later]
        seen = {"events": later, "contexts_by_ref": refs, "event_chains": later[:1], "events_by_agent": ["a-8"]}
        assert list(view) == seen.get(name, [ksi_context.get()["_correlation_id"]])
        assert len(view) == len(list(view)) > 0

        view.update(snapshot)
        assert {key: view[key] for key in snapshot} == snapshot

    ksi(work)


def test_a_snapshot_of_another_store_is_stored(ksi, tmp_path, segment_name):
    """KSI's checkpoints give back to hot storage what they found there; here the store itself is gone."""

    async def take(manager):
        await chain(manager, "one", "two")
        return {name: dict(getattr(manager.hot_storage, name)) for name in VIEWS}

    async def give(manager):
        for name in VIEWS:
            getattr(manager.hot_storage, name).clear()
        for name in VIEWS:
            getattr(manager.hot_storage, name).update(snapshot[name])
        for name in VIEWS:
            assert dict(getattr(manager.hot_storage, name)) == snapshot[name]
        count = len(manager.store)
        manager.hot_storage.events.update(snapshot["events"])
        assert len(manager.store) == count  # nothing twice

    snapshot = ksi(take)
    ksi(give, name=f"{segment_name}-b", db=tmp_path / "other.db")


def test_views_follow_the_ring_and_look_ups_go_on_behind_it(stores, ksi):
    """What the ring has overwritten is not hot any more; it is found all the same."""
    store = stores.open(ring_size=1 << 14)

    async def work(manager):
        ids = []
        for number in range(600):
            ksi_context.set(None)
            ids += await chain(manager, f"e{number}")
        view = manager.hot_storage.events
        hot = list(view)
        assert 0 < len(hot) == len(view) < len(ids)
        assert hot == ids[-len(hot) :]
        assert ids[0] not in view
        await manager.store.aio.flush()
        context = await manager.get_context(f"ctx_{ids[0]}")
        assert context["_event_id"] == ids[0]
        assert (await manager.get_event_with_context(ids[0]))["data"] == {"name": "e0"}

    ksi(work, store=store)


def test_another_process_sees_and_is_seen(ksi, spawn, segment_name):
    script = """
        import asyncio, sys
        import shmctx
        from shmctx.integrations.ksi import ContextManager
        async def work(store):
            manager = ContextManager(store)
            await manager.initialize()
            hot = manager.hot_storage
            print(*hot.events)
            manager.restore_context(await manager.get_context(sys.argv[2]))
            print(await manager.store_event_with_context({"event_id": "evt_0000cafe", "event_name": "b", "data": {}}))
        with shmctx.attach(sys.argv[1]) as store:
            asyncio.run(work(store))
    """

    async def work(manager):
        (first,) = await chain(manager, "one")
        process = spawn(script, segment_name, f"ctx_{first}")
        lines = await asyncio.to_thread(process.finish)
        assert lines == [first, "ctx_evt_0000cafe"]
        assert list(manager.hot_storage.events) == [first, "evt_0000cafe"]
        assert manager.hot_storage.event_chains[first] == ["evt_0000cafe"]

    ksi(work)
