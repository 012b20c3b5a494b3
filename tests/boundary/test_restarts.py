"""Restarts: which policy leads to them, and where the chain of a dead process goes on."""

import itertools
import sys
import textwrap

import pytest
from supervised import DIES, IDLES, WORKS, heard, python, run

import shmctx
from shmctx.agents import Agents, Restart


def test_a_restarted_agent_continues_the_chain_of_the_killed_one(store):
    async def main():
        async with Agents(store) as agents:
            agent = agents.spawn("a", python(DIES), restart=Restart(limit=2, delay=0.01))
            return await agent.wait(), agent

    exited, agent = run(main)
    steps = [one for one in store.query(agent_id="a") if one.event_name == "agent:step"]
    assert len(steps) == 6
    for former, step in itertools.pairwise(steps):
        assert step.parent_ref == former.ref
    assert [one.ref for one in store.ancestors(steps[-1].ref)][-1] == agent.context.ref
    assert agent.restarts == 2
    assert exited.last_ref == steps[-1].ref
    exits = store.query(event_name="agent:exit")
    restarts = store.query(event_name="agent:restart")
    assert [one.parent_ref for one in exits] == [agent.context.ref] * 3
    assert [one.parent_ref for one in restarts] == [one.ref for one in exits[:2]]
    assert [store.event(one.ref).data["continues"] for one in restarts] == [steps[1].ref, steps[3].ref]
    assert len({one.custom["_pid"] for one in restarts}) == 2


def test_one_that_dies_before_it_puts_anything_continues_where_the_last_one_was(store):
    script = f"""
        import sys
        if len(sys.argv) > 1:
            sys.exit(1)
        {textwrap.indent(textwrap.dedent(WORKS), " " * 8).strip()}
        sys.argv.append("again")
        sys.exit(1)
    """
    quick = "raise SystemExit(1)"

    async def main(script):
        async with Agents(store) as agents:
            return await agents.spawn("a", python(script), restart=Restart(limit=3, delay=0)).wait()

    exited = run(lambda: main(quick))
    (spawned,) = store.query(event_name="agent:spawn")
    assert exited.last_ref == spawned.ref
    assert len(store.query(event_name="agent:restart")) == 3
    run(lambda: main(script))
    *_, last = store.query(event_name="agent:done")
    assert len([one for one in store.ancestors(last.ref) if one.event_name == "agent:done"]) == 3


@pytest.mark.parametrize(
    "when,script,runs",
    [
        ("never", "raise SystemExit(1)", 1),
        ("on-failure", "raise SystemExit(0)", 1),
        ("always", "raise SystemExit(0)", 3),
    ],
)
def test_the_policy_decides_over_restarts(store, when, script, runs):
    async def main():
        async with Agents(store) as agents:
            await agents.spawn("a", python(script), restart=Restart(when=when, limit=2, delay=0)).wait()

    run(main)
    assert len(store.query(event_name="agent:exit")) == runs


def test_pauses_grow_up_to_the_longest():
    policy = Restart(delay=0.5, longest=3, limit=None)

    assert [policy.pause(failed=True, in_a_row=count) for count in (0, 1, 2, 3, 10_000)] == [0.5, 1, 2, 3, 3]
    assert policy.pause(failed=False, in_a_row=0) is None
    assert Restart(limit=2).pause(failed=True, in_a_row=2) is None


def test_a_long_run_is_none_of_those_in_a_row(store):
    """Every run counts as long: one restart after another, though the limit is one."""

    async def main():
        async with Agents(store) as agents:
            agents.spawn("a", python("raise SystemExit(1)"), restart=Restart(limit=1, delay=0, steady=0))
            await heard(store, "agent:exit", 4)

    run(main)


@pytest.mark.parametrize(
    "policy",
    [{"when": "sometimes"}, {"limit": -1}, {"limit": 1.5}, {"delay": -1}, {"longest": float("inf")}, {"delay": "1"}],
)
def test_a_policy_that_cannot_be_meant_is_refused(policy):
    with pytest.raises(shmctx.InvalidField):
        Restart(**policy)


def test_a_stopped_agent_is_not_restarted(store):
    async def main():
        async with Agents(store) as agents:
            agent = agents.spawn("a", python(IDLES), restart="always")
            await heard(store, "agent:ready")
            exited = await agent.stop()
            assert await agent.stop() == exited
            assert agent.pid is None
        return exited

    assert run(main).stopped
    assert store.query(event_name="agent:restart") == []


def test_an_agent_that_is_between_two_processes_can_be_stopped(store):
    async def main():
        async with Agents(store) as agents:
            agents.spawn("a", python("raise SystemExit(1)"), restart=Restart(delay=600, longest=600))
            await heard(store, "agent:exit")

    run(main)
    assert store.query(event_name="agent:restart") == []


def test_a_program_that_is_gone_when_it_is_started_again_is_a_failed_run(store, tmp_path):
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\nimport os, sys\nos.unlink(sys.argv[0])\nsys.exit(1)\n")
    program.chmod(0o755)

    async def main():
        async with Agents(store) as agents:
            return await agents.spawn("a", [str(program)], restart=Restart(limit=1, delay=0)).wait()

    exited = run(main)
    assert (exited.code, exited.end.pid) == (127, None)
    assert "No such file" in store[exited.ref].error_message
