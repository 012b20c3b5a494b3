"""How long until a follower in another process has an event, when nothing had happened before?"""

import functools
import os
import time
from pathlib import Path

import shmctx
from bench import stage
from bench.harness import Options, Row, main, shown, slower_at_most, versus
from bench.latency import lead

SHARES = (0.5, 0.99)
PAUSE = 0.02  # seconds between events: the last one is committed, and everybody sleeps
RECEIVER, LEADER = 0, 1


def measure(options: Options) -> list[Row]:
    count, rounds = options.pick(300, 100), options.pick(5, 2)
    ours: list[list[float]] = []
    pipes: list[list[float]] = []
    with stage.Site() as site, stage.Crew(2) as crew:
        site.create(8 * stage.MiB).close()
        crew.start(LEADER, (lead, site.name, str(site.database)))
        crew.result(LEADER)
        fifo = site.folder / "pipe"
        os.mkfifo(fifo)
        with shmctx.attach(site.name) as store:
            put = functools.partial(store.put, stage.EVENT, agent_id=stage.AGENT)
            for turn in range(rounds + 1):
                crew.start(RECEIVER, (read_pipe, fifo, count))
                with fifo.open("wb", buffering=0) as pipe:
                    through_pipe = quantiles(send(functools.partial(pipe.write, bytes(8)), count), crew)
                crew.start(RECEIVER, (follow, site.name, count))
                through_store = quantiles(send(put, count), crew)
                if turn:  # the first one warms up
                    pipes.append(through_pipe)
                    ours.append(through_store)
    pipe_half, pipe_p99 = map(list, zip(*pipes, strict=True))
    half, p99 = map(list, zip(*ours, strict=True))
    note = (
        f"from before the put until the Event is there; {count:,} events, {PAUSE * 1e3:.0f} ms apart, a leader drains; "
        f"half took {shown(half, 'ns')} or less, through the pipe {shown(pipe_half, 'ns')}"
    )
    what = "wake-up of a follower in another process, p99"
    return [versus(what, "ns", p99, ("pipe, 8 bytes", pipe_p99), slower_at_most(3), note=note)]


def send(one: functools.partial[object], count: int) -> list[int]:
    """Call `one` now and then; the monotonic ns before every call."""
    times = []
    time.sleep(0.5)  # until the receiver waits
    for _ in range(count):
        time.sleep(PAUSE)
        times.append(time.monotonic_ns())
        one()
    return times


def quantiles(sent: list[int], crew: stage.Crew) -> list[float]:
    """SHARES of the ns from each sending to its receipt."""
    took = sorted(there - here for here, there in zip(sent, crew.result(RECEIVER), strict=True))
    return [float(took[int(share * (len(took) - 1))]) for share in SHARES]


# ---- in the receiver: when each arrived, in monotonic ns ----


def follow(name: str, count: int) -> list[int]:
    with stage.attached(name).follow() as follower:
        return [time.monotonic_ns() for _, _ in zip(range(count), follower, strict=False)]


def read_pipe(fifo: Path, count: int) -> list[int]:
    with fifo.open("rb", buffering=0) as pipe:
        return [time.monotonic_ns() for _ in range(count) if pipe.read(8)]


if __name__ == "__main__":
    raise SystemExit(main(["follow"]))
