"""Many tasks, several processes, a kill at any moment, a restart."""

import asyncio
import signal

import pytest

from shmctx.integrations.ksi import ksi_context

TASKS = 200
WRITER = """
    import asyncio, sys
    from shmctx.integrations.ksi import ContextManager, ksi_context
    async def work():
        manager = ContextManager(name=sys.argv[1], db=sys.argv[2])
        await manager.initialize()
        number = 0
        while True:
            ksi_context.set(None)
            for _ in range(3):
                context = await manager.create_context(agent_id="a-7", session={"id": "s-1"}, number=number)
                event = {"event_id": context["_event_id"], "event_name": "x", "timestamp": context["_event_timestamp"]}
                ref = await manager.store_event_with_context({**event, "data": {"number": number}})
                print(ref, context["_correlation_id"], context.get("_parent_event_id"), number)
                number += 1
    asyncio.run(work())
"""


async def handle(manager, number, steps):
    """One request of a daemon: a root event, and events that cause each other, with pauses in between."""
    ksi_context.set(None)
    refs = []
    for step in range(steps):
        context = await manager.create_context(agent_id=f"a-{number % 7}", request=number)
        await asyncio.sleep(0)
        event = {"event_id": context["_event_id"], "event_name": f"step:{step}", "data": {"request": number}}
        refs.append(await manager.store_event_with_context({**event, "timestamp": context["_event_timestamp"]}))
        await asyncio.sleep(0)
        assert ksi_context.get() is context
    return context["_correlation_id"], refs


def test_many_tasks_have_a_chain_each(ksi):
    async def work(manager):
        chains = await asyncio.gather(*(handle(manager, number, 4) for number in range(TASKS)))
        assert len({correlation for correlation, _ in chains}) == TASKS
        assert len({ref for _, refs in chains for ref in refs}) == 4 * TASKS
        for number, (correlation, refs) in enumerate(chains):
            contexts = [await manager.get_context(ref) for ref in refs]
            assert {context["_correlation_id"] for context in contexts} == {correlation}
            assert {context["_request"] for context in contexts} == {number}
            assert [context["_event_depth"] for context in contexts] == [0, 1, 2, 3]
            assert [f"ctx_{context['_parent_event_id']}" for context in contexts[1:]] == refs[:-1]
            assert [f"ctx_{event_id}" for event_id in manager.hot_storage.events_by_correlation[correlation]] == refs
        assert len(manager.hot_storage.events) == 4 * TASKS
        counted = manager.cold_storage.conn.execute("SELECT count(*) FROM contexts").fetchone()[0]
        assert counted == 4 * TASKS

    ksi(work)


def test_a_task_begins_in_the_context_that_started_it_and_keeps_its_own(ksi):
    async def work(manager):
        root = await manager.create_context(agent_id="a-7")
        children = await asyncio.gather(*(manager.create_context(number=number) for number in range(50)))
        assert {child["_parent_event_id"] for child in children} == {root["_event_id"]}
        assert ksi_context.get() is root

    ksi(work)


def test_what_was_stored_outlives_a_killed_process(spawn, ksi, segment_name, db):
    """Every ref that the killed process told of resolves afterwards, with its event; nothing is there twice."""
    process = spawn(WRITER, segment_name, db)
    lines = [process.line().split() for _ in range(500)]
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    lines += [line.split() for line in process_rest(process)]

    async def work(manager):
        for ref, correlation, parent, number in lines:
            context = await manager.get_context(ref)
            assert (context["_correlation_id"], context["_number"]) == (correlation, int(number))
            assert context.get("_parent_event_id", "None") == parent
            assert context["_session"] == {"id": "s-1"}
            event = await manager.get_event_with_context(context["_event_id"])
            assert event["data"] == {"number": int(number)}
        refs = [line[0] for line in lines]
        assert [ref for ref in manager.hot_storage.contexts_by_ref if ref in set(refs)] == refs
        rows = manager.cold_storage.conn.execute("SELECT context_ref FROM events").fetchall()
        assert len(rows) == len(set(rows)) >= len(refs)
        assert {row["context_ref"] for row in rows} >= set(refs)

    ksi(work)


def process_rest(process):
    """The whole lines that a process wrote before it died."""
    found = []
    while (line := process.lines.get(timeout=30)) is not None:
        found.append(line)
    return [line for line in found if line.endswith("\n")]


def test_a_chain_goes_on_after_a_restart(ksi):
    async def before(manager):
        await manager.create_context(agent_id="a-7", session={"id": "s"})
        return await manager.store_event_with_context({"event_name": "before", "data": {}})

    async def after(manager):
        manager.restore_context(await manager.get_context(ref))
        context = await manager.create_context()
        await manager.store_event_with_context({"event_name": "after", "data": {}})
        assert context["_session"] == {"id": "s"}
        chain = manager.hot_storage.get_event_chain(ref.removeprefix("ctx_"))
        assert [event["event_name"] for event in chain] == ["before", "after"]

    ref = ksi(before)
    ksi(after)


@pytest.mark.parametrize("agents", [3])
def test_agents_in_processes_of_their_own(spawn, ksi, segment_name, agents):
    """The daemon's ref travels; each agent continues its context, and the daemon sees what they did."""
    script = """
        import asyncio, sys, shmctx
        from shmctx.integrations.ksi import ContextManager
        async def work(store):
            manager = ContextManager(store)
            await manager.initialize()
            for ref in map(str.strip, sys.stdin):
                manager.restore_context(await manager.get_context(ref))
                await manager.create_context(agent_id=sys.argv[2])
                print(await manager.store_event_with_context({"event_name": "done", "data": {}}))
        with shmctx.attach(sys.argv[1]) as store:
            asyncio.run(work(store))
    """

    async def work(manager):
        context = await manager.create_context(agent_id="daemon")
        ref = await manager.store_event_with_context({"event_name": "ask", "data": {}})
        processes = [spawn(script, segment_name, f"a-{number}") for number in range(agents)]
        for process in processes:
            for _ in range(20):
                process.say(ref)
        refs = []
        for process in processes:
            refs += await asyncio.to_thread(process.finish)
        assert len(set(refs)) == len(refs) == 20 * agents
        caused = manager.hot_storage.event_chains[context["_event_id"]]
        assert sorted(f"ctx_{event_id}" for event_id in caused) == sorted(refs)
        assert len(manager.hot_storage.events_by_agent["a-1"]) == 20
        assert len(manager.hot_storage.get_events_by_correlation(context["_correlation_id"])) == 20 * agents + 1

    ksi(work)
