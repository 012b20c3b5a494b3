"""How fast do logs with contexts inside become a store, and does memory grow with them?"""

import re
import resource
import shutil
import time
from pathlib import Path

from bench import stage
from bench.export import written_again
from bench.harness import Options, Row, Target, interleave, main, versus
from shmctx.transfer.migrate import migrate

SHORT, LONGER = 20_000, 10
"""Events of the shorter log at least, and how many times longer the other is."""


def measure(options: Options) -> list[Row]:
    times, rounds = options.pick(LONGER, 2), options.pick(5, 3)
    with stage.Site() as site:
        events = stage.events_of(options.events)
        turns = -(-SHORT // len(events))
        short, long = site.folder / "short.jsonl", site.folder / "long.jsonl"
        for log, repeated in ((short, turns), (long, turns * times)):
            with log.open("wb") as file:
                file.writelines(others(event.line, turn) for turn in range(repeated) for event in events)
        count = len(events) * turns * times
        took = interleave(
            rounds, {"migrate": lambda: count / moved(site, long), "again": lambda: count / written_again(long)}
        )
        peaks = [
            [float(stage.in_process(peak, str(site.folder), str(log))) for _ in range(rounds)] for log in (long, short)
        ]
    note = f"{count:,} events of a real log, each with ids of its own; ours syncs what it writes"
    return [
        versus("migrate, events a second", "/s", took["migrate"],
               ("msgspec: decode each line of that file, encode it into another", took["again"]),
               Target("at least", 0.25, "at least 0.25 x"), note=note),
        versus(f"memory while migrating a log {times} times longer", "bytes", peaks[0],
               ("the shorter log", peaks[1]), Target("at most", 1.1, "the same, within 10 %"),
               note="most that was resident, of the process that reads and the one that writes"),
    ]  # fmt: skip


def others(line: bytes, turn: int) -> bytes:
    """The line with other event ids of the same form, so that the log has no duplicates."""
    mask = turn * 0x1999_999A & 0xFFFF_FFFF
    return re.sub(rb"evt_([0-9a-f]{8})", lambda found: b"evt_%08x" % (int(found[1], 16) ^ mask), line)


def moved(site: stage.Site, log: Path) -> float:
    """Seconds to move all of it into a new database. Raises RuntimeError if that was not all."""
    folder = site.folder / "moved"
    shutil.rmtree(folder, ignore_errors=True)
    start = time.perf_counter()
    report = migrate([log], folder / "contexts.db")
    seconds = time.perf_counter() - start
    if report.counts.bad or report.counts.stored + report.counts.duplicates != report.counts.lines:
        raise RuntimeError(f"not whole: {report}")
    return seconds


def peak(folder: str, log: str) -> int:
    """Bytes that a migration had resident at most, here and in the process that it starts."""
    target = Path(folder) / "measured"
    shutil.rmtree(target, ignore_errors=True)
    migrate([Path(log)], target / "contexts.db")
    mine = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return (int(mine[1]) if mine else 0) * 1024 + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


if __name__ == "__main__":
    raise SystemExit(main(["migrate"]))
