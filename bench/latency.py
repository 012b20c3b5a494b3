"""How long can one put take while eight processes put, four read and one drains?"""

import random
import statistics
import time

import shmctx
from bench import stage
from bench.harness import Options, Row, Target, alone, main, shown
from bench.stage import AGENT, EVENT

PRODUCERS, READERS = 8, 4
SEED = 22
LEAST = 2  # granules of a record: its header and its payload
SHARES = (0.5, 0.99, 0.999)


def measure(options: Options) -> list[Row]:
    count, rounds = options.pick(25_000, 10_000), options.pick(5, 2)
    samples: list[list[float]] = []
    with stage.Site() as site, stage.Crew(1 + PRODUCERS + READERS) as crew:
        site.create(128 * stage.MiB).close()
        refs = stage.in_process(stage.fill, site.name, 10_000)
        crew.run([(lead, site.name, str(site.database))])
        for _ in range(rounds):
            samples.append(crowd(crew, site.name, count, refs))
            with shmctx.attach(site.name) as store:
                store.flush(timeout=120)
    median, p99, p999, worst = (list(column) for column in zip(*samples, strict=True))
    note = (
        f"half of the puts took {shown(median, 'ns')} or less, 99% {shown(p99, 'ns')}, the slowest "
        f"{shown(worst, 'ns')}; each producer put {count:,} contexts without a pause; the clock's own cost is included"
    )
    what = f"put, p99.9 of {PRODUCERS} producers + {READERS} readers + leader"
    return [alone(what, "ns", p999, Target("at most", 1e6, "under 1 ms"), note=note)]


def crowd(crew: stage.Crew, name: str, count: int, refs: list[str]) -> list[float]:
    """Quantiles SHARES and the maximum of all puts' times, in ns. Readers read until the producers are through."""
    start_at = stage.soon(0.2)
    with shmctx.attach(name) as store:
        end = stage.head(store) + LEAST * PRODUCERS * count
    producers, readers = range(1, 1 + PRODUCERS), range(1 + PRODUCERS, 1 + PRODUCERS + READERS)
    for worker in readers:
        crew.start(worker, (read, name, refs, start_at, end))
    for worker in producers:
        crew.start(worker, (timed_puts, name, count, start_at))
    times = sorted(took for worker in producers for took in crew.result(worker))
    for worker in readers:
        crew.result(worker)
    return [float(times[int(share * (len(times) - 1))]) for share in SHARES] + [float(times[-1])]


_led: list[shmctx.Store] = []  # keeps the leader's store open between tasks


def lead(name: str, database: str) -> int:
    """Drain the store in this process from now on."""
    _led.append(shmctx.open(name, db=database))
    return len(_led)


def timed_puts(name: str, count: int, start_at: int) -> list[int]:
    """Ns of every put."""
    clock = time.perf_counter_ns
    store = stage.attached(name)
    with store.span("agent:spawn", agent_id=AGENT):
        put, times = store.put, []
        time.sleep(max(start_at - time.monotonic_ns(), 0) / 1e9)
        for _ in range(count):
            before = clock()
            put(EVENT, agent_id=AGENT)
            times.append(clock() - before)
        return times


def read(name: str, refs: list[str], start_at: int, end: int) -> float:
    """Read at random until the ring's head reaches `end`; returns the median ns of a read."""
    chosen = random.Random(SEED).choices(refs, k=1_000)
    times = []
    with shmctx.attach(name) as store:
        time.sleep(max(start_at - time.monotonic_ns(), 0) / 1e9)
        deadline = time.monotonic() + 60
        while stage.head(store) < end and time.monotonic() < deadline:
            before = time.perf_counter_ns()
            for ref in chosen:
                store.get(ref)
            times.append((time.perf_counter_ns() - before) / len(chosen))
    return statistics.median(times) if times else 0.0


if __name__ == "__main__":
    raise SystemExit(main(["latency"]))
