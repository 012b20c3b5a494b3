"""The surface of KSI's context manager: what its event router calls, and what it gets."""

import asyncio
import re
import time

import pytest

import shmctx
from shmctx.integrations import ksi as adapter
from shmctx.integrations.ksi import ContextManager, get_context_manager, ksi_context

NOW = round(time.time()) - 60.46  # what is older than the retention is pruned
EVENT = {"event_id": "evt_0000beef", "event_name": "agent:spawn", "timestamp": NOW, "data": {"step": 1}}


def test_one_manager_per_process():
    assert get_context_manager() is get_context_manager()
    assert isinstance(get_context_manager(), ContextManager)
    assert ksi_context.name == "ksi_context"
    assert ksi_context.get() is None


def test_it_stands_in_for_the_module_of_ksi(spawn):
    """What KSI's router does: import the names from the module that it knows."""
    process = spawn("""
        import sys, shmctx.integrations.ksi
        sys.modules["ksi_daemon.core.context_manager"] = shmctx.integrations.ksi
        from ksi_daemon.core.context_manager import ContextManager, get_context_manager, ksi_context
        print(get_context_manager().generate_ref("evt_1"))
    """)
    assert process.finish() == ["ctx_evt_1"]


def test_refs_are_made_of_event_ids():
    manager = ContextManager()

    assert manager.generate_ref("evt_0000beef") == "ctx_evt_0000beef"
    assert re.fullmatch(r"ctx_evt_[0-9a-f]{8}", manager.generate_ref())
    assert manager.generate_ref() != manager.generate_ref()


def test_a_first_context_begins_a_chain(ksi):
    async def work(manager):
        return await manager.create_context(
            event_id="evt_1", timestamp=5.5, agent_id="a-7", session={"id": "s"}, _trial=4
        )

    context = ksi(work)
    assert re.fullmatch(r"corr_[0-9a-f]{8}", context.pop("_correlation_id"))
    assert context == {
        "_event_id": "evt_1",
        "_event_timestamp": 5.5,
        "_ref": "ctx_evt_1",
        "_event_depth": 0,
        "_agent_id": "a-7",
        "_session": {"id": "s"},
        "_trial": 4,
    }


def test_a_child_inherits_and_says_whose_child_it_is(ksi):
    async def work(manager):
        root = await manager.create_context(correlation_id="corr_1", agent_id="a-7", session={"id": "s"}, trial=4)
        child = await manager.create_context(trial=5)
        grandchild = await manager.create_context(event_id="evt_3", correlation_id="corr_2")
        assert ksi_context.get() is grandchild
        return root, child, grandchild

    root, child, grandchild = ksi(work)
    assert child["_parent_event_id"] == child["_root_event_id"] == root["_event_id"] != child["_event_id"]
    assert (child["_event_depth"], child["_correlation_id"], child["_trial"]) == (1, "corr_1", 5)
    assert grandchild["_parent_event_id"] == child["_event_id"]
    assert grandchild["_root_event_id"] == root["_event_id"]
    assert (grandchild["_event_depth"], grandchild["_correlation_id"], grandchild["_trial"]) == (2, "corr_2", 5)
    for context in (child, grandchild):
        assert context["_ref"] == f"ctx_{context['_event_id']}"
        assert (context["_agent_id"], context["_session"]) == ("a-7", {"id": "s"})


def test_what_no_child_inherits_is_not_taken_over_from_a_restored_context(ksi):
    async def work(manager):
        manager.restore_context({"_event_id": "evt_1", "_event_depth": 4, "router": object(), "_trial": None})
        return await manager.create_context(event_id="evt_2")

    context = ksi(work)
    assert "router" not in context
    assert context["_trial"] is None
    assert (context["_parent_event_id"], context["_root_event_id"], context["_event_depth"]) == ("evt_1", "evt_1", 5)


def test_a_context_is_stored_with_its_event_and_not_before(ksi):
    async def work(manager):
        context = await manager.create_context(event_id=EVENT["event_id"], timestamp=EVENT["timestamp"], agent_id="a")
        assert await manager.get_context(context["_ref"]) is None
        ref = await manager.store_event_with_context(EVENT)
        assert ref == context["_ref"] == "ctx_evt_0000beef"
        assert ksi_context.get() is context
        assert await manager.get_context(ref) == context
        event = await manager.get_event_with_context("evt_0000beef")
        assert event == {**EVENT, "_ksi_context": context, "context_ref": ref}

    ksi(work)


def test_an_event_with_another_id_gets_a_child_context(ksi):
    async def work(manager):
        outer = await manager.create_context(agent_id="a-7")
        ref = await manager.store_event_with_context(EVENT)
        inner = ksi_context.get()
        assert inner["_ref"] == ref == "ctx_evt_0000beef"
        assert inner["_parent_event_id"] == outer["_event_id"]
        assert (inner["_agent_id"], inner["_event_depth"]) == ("a-7", 1)
        assert inner["_event_timestamp"] == EVENT["timestamp"]
        assert await manager.get_context(ref) == inner
        assert await manager.get_context(outer["_ref"]) is None

    ksi(work)


def test_an_event_outside_of_every_context_begins_one(ksi):
    async def work(manager):
        ref = await manager.store_event_with_context({"test": True})
        context = await manager.get_context(ref)
        assert context == ksi_context.get()
        assert context["_event_depth"] == 0
        event = await manager.get_event_with_context(context["_event_id"])
        assert event["test"] is True

    ksi(work)


def test_an_event_stored_again_replaces_the_former(ksi):
    async def work(manager):
        await manager.create_context(event_id="evt_1", agent_id="before")
        await manager.store_event_with_context({"event_id": "evt_1", "event_name": "x", "data": {"n": 1}})
        ksi_context.get()["_agent_id"] = "after"
        ref = await manager.store_event_with_context({"event_id": "evt_1", "event_name": "x", "data": {"n": 2}})
        for _ in range(2):  # hot, then drained as well
            assert (await manager.get_context(ref))["_agent_id"] == "after"
            assert (await manager.get_event_with_context("evt_1"))["data"] == {"n": 2}
            rows = manager.cold_storage.conn.execute("SELECT agent_id FROM contexts WHERE ref = ?", (ref,)).fetchall()
            assert [row["agent_id"] for row in rows] == ["after"]
        assert list(manager.hot_storage.events) == ["evt_1"]

    ksi(work)


def test_what_nobody_knows_is_none(ksi):
    async def work(manager):
        for ref in ("ctx_evt_ffffffff", "", "ctx_", "ctx_0000000000000000", "x" * 1000, "\ud800", None):
            assert await manager.get_context(ref) is None
        assert await manager.get_event_with_context("evt_ffffffff") is None

    ksi(work)


def test_a_copy_is_a_copy_and_can_be_restored(ksi):
    async def work(manager):
        assert manager.copy_current_context() is None
        context = await manager.create_context(agent_id="a-7")
        copy = manager.copy_current_context()
        assert copy == context
        copy["_agent_id"] = "other"
        assert context["_agent_id"] == "a-7"
        manager.restore_context(copy)
        assert ksi_context.get() is copy
        assert (await manager.create_context())["_agent_id"] == "other"

    ksi(work)


def test_contexts_of_the_store_itself_are_read_and_continued(stores, ksi):
    """A process that uses shmctx beside one that uses KSI's surface: each finds what the other stored."""
    store = stores.open()
    native = store.put("agent:status", agent_id="a-7", data={"n": 1})

    async def work(manager):
        context = await manager.get_context(native)
        assert context["_ref"] == native
        assert (await manager.get_event_with_context(context["_event_id"]))["data"] == {"n": 1}
        manager.restore_context(context)
        child = await manager.store_event_with_context({"event_id": "evt_1", "event_name": "x", "data": {}})
        again = await manager.store_event_with_context({"event_name": "y"})
        manager.restore_context(context)
        under = await manager.store_event_with_context({"event_name": "z"})
        assert len({native, child, again, under}) == 3  # `y` was put under evt_1's own ref
        return child, under

    child, under = ksi(work, store=store)
    assert store["evt_1"] == store["ctx_evt_1"] == store[child]
    assert store["evt_1"].parent_ref == native
    assert {context.event_name for context in store.children(native)} == {"x", "y", "z"}
    assert store[under].parent_ref == native
    assert store.event(child).event_name == "y"


def test_a_store_that_was_given_stays_open(stores, ksi):
    store = stores.open()

    async def work(manager):
        assert manager.store is store
        return await manager.store_event_with_context(EVENT)

    assert store[ksi(work, store=store)].event_name == "agent:spawn"
    assert store.put("still:open")


def test_before_and_after_there_is_no_store(segment_name, db):
    async def work():
        manager = ContextManager(name=segment_name, db=db)
        await manager.create_context(agent_id="a-7")
        assert manager.cold_storage.conn is None
        with pytest.raises(shmctx.StoreClosed, match="initialize"):
            await manager.store_event_with_context(EVENT)
        await manager.initialize()
        await manager.initialize()
        ref = await manager.store_event_with_context(EVENT)
        assert manager.cold_storage.db_path == db
        await manager.shutdown()
        await manager.shutdown()
        with pytest.raises(shmctx.StoreClosed):
            await manager.get_context(ref)
        assert manager.cold_storage.conn is None
        await manager.initialize()
        assert (await manager.get_context(ref))["_agent_id"] == "a-7"
        await manager.shutdown()

    asyncio.run(work())


def test_the_environment_names_the_store(spawn, segment_name, tmp_path):
    script = """
        import asyncio
        from shmctx.integrations.ksi import get_context_manager
        async def work():
            manager = get_context_manager()
            await manager.initialize()
            print(manager.store.name, manager.cold_storage.db_path)
            await manager.shutdown()
        asyncio.run(work())
    """
    database = tmp_path / "named.db"
    process = spawn(script, env={"SHMCTX_SEGMENT": segment_name, "SHMCTX_DB": str(database)})
    assert process.finish() == [f"{segment_name} {database}"]


def test_an_event_that_cannot_have_its_id_is_refused_and_costs_nothing(ksi):
    async def work(manager):
        for event_id in ("x" * 1000, 7, "\ud800"):
            with pytest.raises(shmctx.InvalidField, match="Nothing was stored"):
                await manager.store_event_with_context({"event_id": event_id, "event_name": "x"})
        assert len(manager.hot_storage.events) == 0

    ksi(work)


def test_everything_public_is_named():
    assert set(adapter.__all__) == {"ColdStorage", "ContextManager", "HotStorage", "get_context_manager", "ksi_context"}
