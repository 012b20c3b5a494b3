"""Agents in processes of their own: started in a context, watched, restarted where their chain ends, ended together."""

import asyncio
import contextlib
import os
import signal
import textwrap

import psutil
import pytest
from supervised import DIES, IDLES, LIMIT, STUBBORN, WORKS, heard, python, run

import shmctx
from shmctx.agents import Agents
from shmctx.errors import AgentsClosed


def test_an_agent_continues_the_context_it_was_spawned_in(store):
    async def main():
        with store.span("user:request", session={"id": "s"}) as request:
            async with Agents(store) as agents:
                agent = agents.spawn("a-7", python(WORKS), _trial=4)
                assert agents["a-7"] is agent
                pid = agent.pid
                exited = await agent.wait()
                assert not agents
        return request, agent, pid, exited

    request, agent, pid, exited = run(main)
    spawned, work, done, end = store.descendants(request.ref)
    assert [one.event_name for one in (spawned, work, done, end)] == [
        "agent:spawn", "agent:work", "agent:done", "agent:exit",
    ]  # fmt: skip
    assert {one.agent_id for one in (spawned, work, done, end)} == {"a-7"}
    assert {one.session_id for one in (spawned, work, done, end)} == {"s"}
    assert (work.parent_ref, done.parent_ref, end.parent_ref) == (spawned.ref, work.ref, agent.context.ref)
    assert spawned.custom == {"_trial": 4, "_pid": pid}
    assert (exited.code, exited.signal, exited.last_ref, exited.ref) == (0, None, done.ref, end.ref)
    assert end.error is None


def test_an_exit_is_an_event_that_other_processes_see(store):
    async def main():
        async with Agents(store) as agents:
            return await agents.spawn("a", python("raise SystemExit(3)")).wait()

    with store.follow(event_name="agent:exit", timeout=LIMIT) as exits:
        exited = run(main)
        event = next(exits)
    assert event.ref == exited.ref
    data = event.data
    assert (data["code"], data["signal"], data["stopped"], data["restarts"]) == (3, None, False, 0)
    assert data["seconds"] > 0
    context = store[event.ref]
    assert (context.error_type, context.error_message) == ("AgentExit", "a: exit code 3")
    assert data["last_ref"] == store.query(event_name="agent:spawn")[0].ref


def test_a_killed_agent_s_chain_is_complete_up_to_its_last_put(store):
    async def main():
        async with Agents(store) as agents:
            return await agents.spawn("a", python(DIES)).wait()

    exited = run(main)
    spawned, first, second, end = store.query(agent_id="a")
    assert (exited.code, exited.signal, exited.last_ref) == (None, signal.SIGKILL, second.ref)
    assert [one.event_name for one in store.ancestors(second.ref)] == ["agent:step", "agent:spawn"]
    assert first.parent_ref == spawned.ref
    assert store.event(end.ref).data["signal"] == "SIGKILL"
    assert end.error_message == "a: killed by SIGKILL"


def test_shutdown_ends_all_and_kills_those_that_do_not_listen(store):
    """With what they started themselves."""

    async def main():
        agents = Agents(store, grace=0.5)
        gentle = agents.spawn("gentle", python(IDLES))
        stubborn = agents.spawn("stubborn", python(STUBBORN))
        ready = await heard(store, "agent:ready", 2)
        await agents.shutdown()
        await agents.shutdown()
        assert not agents
        with pytest.raises(AgentsClosed):
            agents.spawn("late", python(WORKS))
        return ready, [await gentle.wait(), await stubborn.wait()]

    ready, exits = run(main)
    assert [one.signal for one in exits] == [signal.SIGTERM, signal.SIGKILL]
    assert all(one.stopped for one in exits)
    assert [one.error for one in store.query(event_name="agent:exit")] == [None, None]
    (child,) = [store.event(one.ref).data["child"] for one in ready if one.agent_id == "stubborn"]
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(child).wait(LIMIT)
    assert not store.query(agent_id="late")


def test_what_an_agent_leaves_running_ends_with_it(store):
    script = """
        import subprocess, sys, shmctx
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        shmctx.from_env().put("agent:left", data={"child": child.pid})
    """

    async def main():
        async with Agents(store) as agents:
            await agents.spawn("a", python(script)).wait()

    run(main)
    (left,) = store.query(event_name="agent:left")
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(store.event(left.ref).data["child"]).wait(LIMIT)


def test_an_exit_waits_for_room_in_a_full_ring(stores, wait_for):
    """Nobody drains, and the agent fills the ring before it ends."""
    store = stores.leaderless(ring_size=4096)
    script = """
        import shmctx
        store = shmctx.from_env(settings=shmctx.Settings(put_timeout=0.01))
        try:
            while True:
                store.put("agent:filler")
        except shmctx.RingFull:
            pass
    """

    async def main():
        async with Agents(store) as agents:
            agent = agents.spawn("a", python(script))
            await asyncio.to_thread(wait_for, lambda: agent.pid is None)
            assert "a" in agents
            await asyncio.to_thread(stores.drain)
            return await agent.wait()

    exited = run(main)
    assert store[exited.ref].event_name == "agent:exit"
    assert store[exited.last_ref].event_name == "agent:filler"


def test_a_cancelled_supervisor_leaves_no_process(store):
    async def main():
        agent = Agents(store).spawn("a", python(IDLES))
        await heard(store, "agent:ready")
        return agent.pid

    pid = run(main)
    assert not psutil.pid_exists(pid)


def test_a_program_that_is_not_there_is_an_error_of_its_spawn_event(store):
    async def main():
        async with Agents(store) as agents:
            with pytest.raises(FileNotFoundError):
                agents.spawn("a", ["/no/such/program"])
            with pytest.raises(ValueError, match="null byte"):
                agents.spawn("a", ["true\0"])
            assert not agents

    run(main)
    spawned = store.query(errors=True)
    assert [one.error_type for one in spawned] == ["FileNotFoundError", "ValueError"]
    assert {one.event_name for one in spawned} == {"agent:spawn"}


def test_what_cannot_be_an_agent_is_refused_and_nothing_stored(store):
    async def main():
        async with Agents(store) as agents:
            for agent_id, command in (("", ["true"]), ("a", "true"), ("a", []), ("a", [1])):
                with pytest.raises(shmctx.InvalidField):
                    agents.spawn(agent_id, command)
            with pytest.raises(shmctx.InvalidField):
                agents.spawn("a", ["true"], restart="sometimes")
            assert len(store) == 0
            agent = agents.spawn("a", python(IDLES))
            with pytest.raises(shmctx.InvalidField, match="runs here"):
                agents.spawn("a", python(IDLES))
            await agent.stop()

    run(main)
    with pytest.raises(RuntimeError):
        Agents(store).spawn("b", ["true"])
    assert not store.query(agent_id="b")


def test_agents_of_agents_are_one_chain(store):
    """An agent attaches, and spawns one of its own."""
    script = f"""
        import asyncio, sys, shmctx
        from shmctx.agents import Agents
        async def main():
            with shmctx.from_env() as store:
                async with Agents(store) as agents:
                    await agents.spawn("inner", [sys.executable, "-c", {textwrap.dedent(WORKS)!r}]).wait()
        asyncio.run(main())
    """

    async def main():
        async with Agents(store) as agents:
            return await agents.spawn("outer", python(script)).wait()

    assert run(main).code == 0
    (done,) = store.query(event_name="agent:done")
    assert [(one.event_name, one.agent_id) for one in store.ancestors(done.ref)] == [
        ("agent:work", "inner"), ("agent:spawn", "inner"), ("agent:spawn", "outer"),
    ]  # fmt: skip


def test_output_and_directory_are_the_caller_s_choice(store, tmp_path):
    async def main(output):
        async with Agents(store) as agents:
            given = {"cwd": tmp_path, "stdout": output, "env": {**os.environ, "MARK": "7"}, "data": {"why": "test"}}
            script = "import os, sys; print(os.getcwd(), os.environ['MARK'], sys.stdin.read())"
            await agents.spawn("a", python(script), **given).wait()

    with (tmp_path / "output").open("w") as output:
        run(lambda: main(output))
    assert (tmp_path / "output").read_text() == f"{tmp_path} 7 \n"
    assert store.event(store.query(event_name="agent:spawn")[0].ref).data == {"why": "test"}
