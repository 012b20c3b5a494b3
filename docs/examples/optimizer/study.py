"""A study: has sensors read, starts the optimizer, looks after it, and tells how it goes.

python study.py STORE [--trials N] [--seed N]
"""

import argparse
import asyncio
import subprocess
import sys
from pathlib import Path

import shmctx
from shmctx.agents import Agents, Restart

HERE = Path(__file__).parent


def read(store: shmctx.Store, sensor: str) -> list[str]:
    """The refs of what a sensor, a process of its own, has read."""
    command = [sys.executable, HERE / "sensor.py", sensor]
    return subprocess.run(command, env=store.child_env(), stdout=subprocess.PIPE, text=True, check=True).stdout.split()


async def tell(follower: shmctx.Follower) -> None:
    """Print what becomes of the study, until its end."""
    async for event in follower:
        data = event.data or {}
        if event.event_name == "trial:done" and data["trial"] % 10 == 0:
            print(f"trial {data['trial']}, loss {data['loss']:.4f}", flush=True)
        elif event.event_name == "agent:exit":
            print(f"the optimizer ended: {event.context.error_message or 'done'}", flush=True)
        elif event.event_name == "study:end":
            return


async def main(name: str, trials: int, seed: int) -> int:
    """Run a study to its end; returns the exit code."""
    with shmctx.attach(name) as store, store.span("study:start", data={"trials": trials, "seed": seed}) as study:
        readings = [ref for sensor in ("north", "south") for ref in read(store, sensor)]
        with store.follow(correlation_id=study.correlation_id) as follower:
            telling = asyncio.create_task(tell(follower))
            async with Agents(store) as agents:
                command = [sys.executable, str(HERE / "optimizer.py")]
                task = {"trials": trials, "seed": seed, "readings": readings}
                optimizer = agents.spawn("optimizer", command, data=task, restart=Restart(delay=0.1))
                print("the optimizer is process", optimizer.pid, flush=True)
                ended = await optimizer.wait()
            end = store.put("study:end", parent=ended.last_ref)
            await telling
        print("the study ended:", end)
        return 1 if ended.end.failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--trials", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.store, given.trials, given.seed)))
