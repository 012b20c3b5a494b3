"""What does a daemon cost that nobody talks to?"""

import os
import time
from pathlib import Path

from bench import stage
from bench.failover import lead
from bench.harness import Options, Row, Target, alone, main

TICK = 1 / os.sysconf("SC_CLK_TCK")


def measure(options: Options) -> list[Row]:
    seconds = options.pick(10, 4)
    with stage.Site() as site, stage.Crew(1) as crew:
        crew.run([(lead, site.name, str(site.database))])
        time.sleep(1.5)  # start-up work is no idling
        before = cpu_ticks(crew.pid(0))
        precise = run_ns(crew.pid(0))
        time.sleep(seconds)
        used = (cpu_ticks(crew.pid(0)) - before) * TICK
        precise = run_ns(crew.pid(0)) - precise
    note = (
        f"utime + stime over {seconds} s, in ticks of {TICK * 1000:.0f} ms; "
        f"the scheduler counted {precise / 1e6:.2f} ms, {precise / seconds / 1e7:.3f}% of a core"
    )
    target = Target("at most", TICK, "at most one tick")
    return [alone(f"CPU of an idle daemon in {seconds} s", "s", [used], target, note=note)]


def cpu_ticks(pid: int) -> int:
    """User and system time of a process, from /proc/PID/stat, in ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def run_ns(pid: int) -> int:
    """Time on a core of all threads, in ns, as the scheduler counts it."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)


if __name__ == "__main__":
    raise SystemExit(main(["idle"]))
