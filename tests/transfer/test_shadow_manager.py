"""Two context managers behind one surface: a KSI-like one of dicts, and shmctx's, in every mode."""

import asyncio

import headers_of_segments as headers
import pytest
from ksi_daemon.core.context_manager import ContextManager as DictManager

import shmctx
from shmctx.integrations.ksi import ContextManager
from shmctx.transfer.shadow import ShadowContextManager, Shadowing

PATIENT = {"shadow_patience": 20.0, "primary_patience": 20.0}
LATER = {"pause": 60.0, "longest_pause": 60.0}


@pytest.fixture
def both(stores):
    """`both(mode, new=None, **settings)`: (the pair, the old side, the new one)."""

    def pair(mode, new=None, **settings):
        old = DictManager()
        if new is None:
            new = ContextManager(stores.open()) if mode != "off" else None
        return ShadowContextManager(old, new, shadowing=Shadowing(mode=mode, **{**PATIENT, **settings})), old, new

    return pair


async def chain(manager, depth, tag=""):
    """A conversation: contexts made and events stored one under the other; their refs."""
    refs = []
    await manager.create_context(agent_id=f"agent_{tag}", _session={"id": f"s-{tag}", "n": 1}, trial=4)
    for step in range(depth):
        event = {"event_id": f"evt_{tag}_{step}", "event_name": "chain:step", "data": {"step": step}}
        if step % 2:
            event["timestamp"] = 1795331471.25 + step
        refs.append(await manager.store_event_with_context(event))
    return refs


@pytest.mark.parametrize("mode", ["off", "shadow", "primary"])
def test_the_application_sees_the_same_in_every_mode(both, mode):
    async def scenario():
        manager, old, _ = both(mode)
        await manager.initialize()
        refs = await chain(manager, 6, "a")
        current = manager.copy_current_context()
        contexts = [await manager.get_context(ref) for ref in refs]
        events = [await manager.get_event_with_context(ref.removeprefix("ctx_")) for ref in refs]
        await manager.shutdown()
        return old, refs, current, contexts, events, manager.report()

    old, refs, current, contexts, events, report = asyncio.run(scenario())

    assert refs == [f"ctx_evt_a_{step}" for step in range(6)]
    assert current == contexts[-1]
    assert contexts == [old.contexts[ref] for ref in refs]
    assert [context["_event_depth"] for context in contexts] == [1, 2, 3, 4, 5, 6]
    assert [event["data"] for event in events] == [{"step": step} for step in range(6)]
    assert [event["_ksi_context"] for event in events] == contexts
    assert not old.running
    assert (report.missing, report.mismatches) == (0, {})
    assert report.clean


def test_everything_is_compared_in_shadow_mode(both, stores):
    async def scenario():
        manager, _, new = both("shadow")
        await manager.initialize()
        refs = await chain(manager, 5, "b")
        for ref in refs:
            await manager.get_context(ref)
            await manager.get_event_with_context(ref.removeprefix("ctx_"))
        return manager.report(), [await new.get_context(ref) for ref in refs], len(manager.hot_storage.events)

    report, stored, old_events = asyncio.run(scenario())

    assert old_events == 5
    assert (report.writes.old.calls, report.writes.shmctx.calls) == (6, 6)
    assert (report.reads.old.calls, report.reads.shmctx.calls) == (10, 10)
    assert (report.compared, report.equal, report.missing) == (16, 16, 0)
    assert [context["_agent_id"] for context in stored] == ["agent_b"] * 5
    assert [context["_trial"] for context in stored] == [4] * 5
    assert len({context["_session"]["id"] for context in stored}) == 1


def test_what_the_old_side_invents_shmctx_takes_over(both):
    """Ids and times that nobody gave: a context without arguments, an event without id, an event without context."""

    async def scenario():
        manager, _, new = both("shadow")
        await manager.initialize()
        bare = await manager.store_event_with_context({"event_name": "first", "data": {}})
        made = await manager.create_context()
        within = await manager.store_event_with_context({"event_name": "second"})
        return made, within, [await new.get_context(bare), await new.get_context(within)], manager.report()

    made, within, (first, second), report = asyncio.run(scenario())

    assert within == made["_ref"]
    assert second == made
    assert second["_correlation_id"] == first["_correlation_id"]
    assert second["_parent_event_id"] == first["_event_id"]
    assert report.mismatches == {}


def test_tasks_keep_their_own_contexts(both):
    async def scenario():
        manager, _, _ = both("shadow")
        await manager.initialize()
        await manager.create_context(agent_id="root")
        await asyncio.gather(*(chain(manager, 10, f"t{number}") for number in range(20)))
        return manager.copy_current_context(), manager.report()

    current, report = asyncio.run(scenario())

    assert current["_agent_id"] == "root"
    assert report.writes.old.calls == report.writes.shmctx.calls == 1 + 20 * 11
    assert (report.compared, report.equal) == (221, 221)


def test_a_restored_context_is_the_parent_on_both_sides(both):
    async def scenario():
        manager, _, new = both("shadow")
        await manager.initialize()
        await manager.create_context(agent_id="a")
        kept = manager.copy_current_context()
        await manager.create_context(agent_id="b")
        manager.restore_context(kept)
        ref = await manager.store_event_with_context({"event_id": "evt_x", "event_name": "x"})
        return kept, await new.get_context(ref), manager.report()

    kept, stored, report = asyncio.run(scenario())

    assert (stored["_parent_event_id"], stored["_agent_id"]) == (kept["_event_id"], "a")
    assert report.clean


def test_a_manager_that_answers_otherwise_is_found_out(both):
    """The new side forgets custom fields: told by field, and the application keeps its own."""

    class Forgetful(DictManager):
        async def create_context(self, **given):
            return await super().create_context(**{name: value for name, value in given.items() if name != "trial"})

    async def scenario():
        manager, old, _ = both("shadow", Forgetful())
        await manager.initialize()
        refs = await chain(manager, 3, "c")
        return [await manager.get_context(ref) for ref in refs], old, refs, manager.report()

    contexts, old, refs, report = asyncio.run(scenario())

    assert contexts == [old.contexts[ref] for ref in refs]
    assert report.mismatches["_trial"] == report.compared - report.equal > 0
    assert (report.examples[0].old, report.examples[0].shmctx) == (4, "(absent)")


def test_in_primary_mode_shmctx_answers_and_the_old_side_what_it_cannot(both):
    async def scenario():
        manager, old, new = both("primary")
        await old.store_event_with_context({"event_id": "evt_before", "event_name": "x"})
        old.restore_context(None)
        await manager.initialize()
        (ref,) = await chain(manager, 1, "d")
        hot = manager.hot_storage
        old.contexts.pop(ref)
        answered = await manager.get_context(ref)
        before = await manager.get_context("ctx_evt_before")
        nothing = await manager.get_context("ctx_evt_never")
        return answered, before, nothing, hot is new.hot_storage, manager.report()

    answered, before, nothing, hot_is_new, report = asyncio.run(scenario())

    assert answered["_agent_id"] == "agent_d"
    assert before["_event_id"] == "evt_before"
    assert nothing is None
    assert hot_is_new
    assert (report.reads.fallbacks, report.reads.old.calls, report.reads.shmctx.calls) == (1, 2, 3)


@pytest.mark.parametrize("mode", ["shadow", "primary"])
def test_a_new_side_that_fails_stops_nobody(both, stores, mode):
    async def scenario():
        manager, old, _ = both(mode, **LATER)
        await manager.initialize()
        await chain(manager, 2, "e")
        headers.poison(stores.name)
        refs = await chain(manager, 4, "f")
        found = [await manager.get_context(ref) for ref in refs]
        await manager.shutdown()
        return found == [old.contexts[ref] for ref in refs], old.running, manager.report()

    same, running, report = asyncio.run(scenario())

    assert same
    assert not running
    assert report.writes.shmctx.errors["SegmentCorrupt"].count == 1
    assert report.writes.left_alone >= 3
    assert report.reads.fallbacks == (4 if mode == "primary" else 0)


@pytest.mark.parametrize("mode", ["shadow", "primary"])
def test_a_new_side_that_hangs_is_not_waited_for(both, mode):
    class Hanging(DictManager):
        async def get_context(self, _):
            await asyncio.Event().wait()

    async def scenario():
        manager, _, _ = both(mode, Hanging(), shadow_patience=0.05, primary_patience=0.05, **LATER, compare_every=99)
        await manager.initialize()
        (ref,) = await chain(manager, 1, "g")
        return await manager.get_context(ref), await manager.get_context(ref), manager.report()

    first, second, report = asyncio.run(scenario())

    assert first["_ref"] == second["_ref"] == "ctx_evt_g_0"
    assert report.reads.shmctx.errors["TimeoutError"].count == 1
    assert report.reads.left_alone == 1


def test_a_new_side_that_cannot_be_opened_is_opened_later(both):
    class Late(DictManager):
        tries = 0

        async def initialize(self):
            Late.tries += 1
            if Late.tries < 3:
                raise OSError("not yet")
            await super().initialize()

    async def scenario():
        manager, _, new = both("shadow", Late(), pause=0.0, longest_pause=0.0)
        await manager.initialize()
        refs = []
        while not new.contexts:
            refs += await chain(manager, 1, f"h{len(refs)}")
            await asyncio.sleep(0)
            assert len(refs) < 100
        return manager.report(), new, refs

    report, new, refs = asyncio.run(scenario())

    assert report.opening.errors["OSError"].count == 2
    assert report.writes.left_alone > 0
    assert list(new.contexts) == refs[-1:]


def test_a_new_side_whose_store_is_damaged_is_opened_again(both, stores):
    async def scenario():
        new = ContextManager(name=stores.name, db=stores.database, settings=Shadowing(**PATIENT).store_settings())
        manager, old, _ = both("shadow", new, pause=0.001, longest_pause=0.01)
        await manager.initialize()
        await chain(manager, 1, "i")
        headers.poison(stores.name)
        while not manager.report().writes.shmctx.errors:
            await chain(manager, 1, "j")
        shmctx.unlink(stores.name)
        before = manager.report().equal
        async with asyncio.timeout(30):
            while manager.report().equal == before:
                await chain(manager, 1, "k")
                await asyncio.sleep(0.001)
        await manager.shutdown()
        return old.running, manager.report()

    running, report = asyncio.run(scenario())

    assert not running
    assert list(report.writes.shmctx.errors) == ["SegmentCorrupt"]
    assert report.opening.calls > 1


def test_errors_of_the_old_side_and_cancellation_reach_the_application(both):
    class Refusing(DictManager):
        async def create_context(self, **_):
            raise ValueError("refused")

    class Hanging(DictManager):
        async def create_context(self, **_):
            await asyncio.Event().wait()

    async def refused():
        manager, _, new = both("shadow", DictManager())
        manager.old = Refusing()
        await manager.initialize()
        with pytest.raises(ValueError, match="refused"):
            await manager.create_context()
        return new.copy_current_context(), manager.report()

    async def cancelled():
        manager, _, _ = both("shadow", Hanging())
        await manager.initialize()
        task = asyncio.create_task(manager.create_context())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return manager.report()

    current, report = asyncio.run(refused())
    assert current is None
    assert report.writes.old.errors["ValueError"].count == 1
    assert report.writes.shmctx.calls == 0
    assert asyncio.run(cancelled()).writes.shmctx.errors == {}


def test_a_reference_is_made_of_the_event_id(both):
    manager, _, _ = both("off")

    assert manager.generate_ref("evt_1") == "ctx_evt_1"
    assert manager.generate_ref() != manager.generate_ref()
