"""kill -9 at any moment: the last whole checkpoint holds, and the log has what came after it."""

import asyncio
import random
import signal

import pytest
from running import run

from shmctx.checkpoints import Checkpoints

# Its state is two numbers that are equal whenever it is captured; every event tells the first.
PROGRAM = """
    import asyncio, sys, shmctx
    from shmctx.checkpoints import Checkpoints
    from shmctx.events import EventRouter

    async def main():
        store = shmctx.open(sys.argv[1], db=sys.argv[2], ring_size=1 << 20)
        router = EventRouter(store)
        checkpoints = Checkpoints(router, "shop", keep=3, interval=None)
        state = {"n": 0, "again": 0, "fill": ["x" * 1000] * 100}

        @router.on("count")
        async def count(data):
            state["n"] = data["n"]
            await asyncio.sleep(0)
            state["again"] = data["n"]

        def restore(stored):
            state.update(stored)

        async def capture():
            if sys.argv[3] == "hang":
                print("capturing", flush=True)
                await asyncio.sleep(60)
            return state

        checkpoints.register("counter", lambda: state, restore)
        async with checkpoints:
            async for event in checkpoints.since_last(event_name="count"):
                state["n"] = state["again"] = event.data["n"]
            if sys.argv[3] == "hang":
                checkpoints.register("slow", capture, print)
            print(state["n"], state["again"], flush=True)
            while True:
                await router.emit("count", {"n": state["n"] + 1})
                print(state["n"], flush=True)
                if state["n"] % 3 == 0:
                    await checkpoints.take()
    asyncio.run(main())
"""


def counted(process):
    """The last number that a program said before it ended."""
    lines = process.finish(-signal.SIGKILL)
    return int(lines[-1]) if lines else None


def test_killed_at_any_moment_it_goes_on_where_it_was(spawn, segment_name, db, seed):
    """What was acknowledged is in the state after the restart: from the checkpoint, or from the events since."""
    chance = random.Random(seed)
    reached = 0
    for _ in range(6):
        process = spawn(PROGRAM, segment_name, db, "go")
        n, again = map(int, process.line().split())
        assert n == again
        assert n in (reached, reached + 1)  # the last event may have been stored and not told
        reached = n
        for _ in range(chance.randint(1, 12)):
            reached = int(process.line())
        process.send_signal(signal.SIGSTOP)
        process.kill()
        reached = counted(process) or reached
    assert reached > 6


def test_killed_while_capturing_the_former_checkpoint_holds(spawn, stores):
    store = stores.open()
    former = Checkpoints(store, "shop")
    former.register("counter", lambda: {"n": 41, "again": 41}, lambda _: None)
    made = run(former.take())
    process = spawn(PROGRAM, stores.name, stores.database, "hang")
    assert process.line() == "41 41"
    while (line := process.line()) != "capturing":
        assert int(line) > 41
    process.kill()
    process.wait(30)

    again = Checkpoints(store, "shop")
    given = []
    again.register("counter", lambda: 0, given.append)
    report = run(again.restore())

    async def since():
        return [event.data["n"] async for event in again.since_last(event_name="count")]

    assert (report.checkpoint.ref, given) == (made.ref, [{"n": 41, "again": 41}])
    assert run(since()) == [42]


@pytest.mark.parametrize("moment", range(8))
def test_killed_while_storing_a_checkpoint_is_whole_or_not_there(spawn, stores, moment, seed):
    """Of states that are large, and every time others."""
    store = stores.open(1 << 20)
    process = spawn(
        """
        import asyncio, sys, shmctx
        from shmctx.checkpoints import Checkpoints

        async def main():
            checkpoints = Checkpoints(shmctx.attach(sys.argv[1]), "shop", keep=2)
            n = 0
            for name in ("one", "two"):
                checkpoints.register(name, lambda: [str(n)] * 20_000, print)
            while True:
                n += 1
                print(n, flush=True)
                await checkpoints.take()
        asyncio.run(main())
        """,
        stores.name,
    )
    process.line()
    asyncio.run(asyncio.sleep(random.Random(seed).random() * 0.3))  # what is tested is that no moment matters
    process.kill()
    told = counted(process) or 1

    given = []
    checkpoints = Checkpoints(store, "shop")
    for name in ("one", "two"):
        checkpoints.register(name, lambda: 0, given.append)
    report = run(checkpoints.restore())
    if report.checkpoint is None:
        assert told == 1
        return
    assert report.errors == {}
    assert given[0] == given[1] == [given[0][0]] * 20_000
    assert int(given[0][0]) in (told - 1, told)
    assert run(checkpoints.take()).kept[0] == report.checkpoint.ref
