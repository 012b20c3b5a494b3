"""Measures in turn, takes medians, and shows figures beside their peers.

A round measures every contender once, one after the other (A B A B ...), so that what the machine does meanwhile
falls on all of them. A figure is the median over rounds, its spread the smallest and the largest; a ratio is the median
of the rounds' own ratios. In loops over calls, the empty loop is timed just before and taken off, on both sides.
"""

import argparse
import gc
import importlib
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

ROOT = Path(__file__).parents[1]
SAMPLE = Path(__file__).parent / "data" / "ksi-events.jsonl.gz"

Unit = Literal["ns", "/s", "bytes", "s"]
Sense = Literal["at most", "at least"]

_loops: list[float] = []  # ns per turn of every empty loop that was taken off


class Options(msgspec.Struct, frozen=True):
    """How much to measure, and the event log for what is measured on real contexts."""

    quick: bool = False
    events: Path = SAMPLE

    def pick(self, full: int, quick: int) -> int:
        """The number that fits `--quick` or its absence."""
        return quick if self.quick else full


class Target(msgspec.Struct, frozen=True):
    """What is to be reached: a bound on the ratio to the peer, or without a peer on the figure itself."""

    sense: Sense
    bound: float
    text: str

    def reached(self, value: float) -> bool:
        """Whether the value keeps the bound."""
        return value <= self.bound if self.sense == "at most" else value >= self.bound


class Row(msgspec.Struct, kw_only=True):
    """One line of the table. Samples are one number a round: ns per call, contexts a second, bytes or seconds."""

    what: str
    unit: Unit
    samples: list[float]
    peer: str = ""
    peer_samples: list[float] = []
    ratio: float | None = None
    target: str = ""
    reached: bool | None = None
    note: str = ""


def slower_at_most(bound: float) -> Target:
    """Our time in peer's times."""
    return Target("at most", bound, f"at most {bound:g} x")


def faster_at_least(bound: float) -> Target:
    """Peer's time in our times."""
    return Target("at least", bound, f"at least {bound:g} x faster")


def versus(
    what: str, unit: Unit, ours: list[float], beside: tuple[str, list[float]], target: Target | None, *, note: str = ""
) -> Row:
    """A row with a peer: its name and samples. The ratio is ours to theirs; for `faster_at_least` theirs to ours.

    Without a target the row only reports.
    """
    peer, theirs = beside
    faster = target is not None and target.text.endswith("faster")
    ratio = statistics.median(b / a if faster else a / b for a, b in zip(ours, theirs, strict=True))
    return Row(
        what=what,
        unit=unit,
        samples=ours,
        peer=peer,
        peer_samples=theirs,
        ratio=ratio,
        target="" if target is None else target.text,
        reached=None if target is None else target.reached(ratio),
        note=note,
    )


def alone(what: str, unit: Unit, ours: list[float], target: Target, *, note: str = "") -> Row:
    """A row without a peer: the target is about the median itself."""
    reached = target.reached(statistics.median(ours))
    return Row(what=what, unit=unit, samples=ours, target=target.text, reached=reached, note=note)


def missing(what: str, unit: Unit, ours: list[float], peer: str, target: Target) -> Row:
    """A row whose peer is not on this machine."""
    return Row(what=what, unit=unit, samples=ours, peer=peer, target=target.text, note=f"{peer}: peer not installed")


def interleave(rounds: int, runs: Mapping[str, Callable[[], float]], *, warmup: int = 1) -> dict[str, list[float]]:
    """The results of all runs in turn, `rounds` times, after `warmup` rounds that do not count."""
    results: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(warmup + rounds):
        for name, run in runs.items():
            gc.collect()
            gc.disable()
            try:
                value = run()
            finally:
                gc.enable()
            if turn >= warmup:
                results[name].append(value)
    return results


def net_ns(loop_ns: int, empty_ns: int, turns: int) -> float:
    """Ns per turn of a loop, without those of the empty loop."""
    _loops.append(empty_ns / turns)
    return max(loop_ns - empty_ns, 0) / turns


def call_ns(function: Callable[[Any], object], arguments: Sequence[Any]) -> float:
    """Ns per call of `function` with each argument in turn."""
    clock = time.perf_counter_ns
    start = clock()
    for _ in arguments:
        pass
    empty = clock() - start
    start = clock()
    for argument in arguments:
        function(argument)
    return net_ns(clock() - start, empty, len(arguments))


def lookup_ns(mapping: Mapping[Any, Any], keys: Sequence[Any]) -> float:
    """Ns per `mapping[key]`, the form without a call."""
    clock = time.perf_counter_ns
    start = clock()
    for _ in keys:
        pass
    empty = clock() - start
    start = clock()
    for key in keys:
        mapping[key]
    return net_ns(clock() - start, empty, len(keys))


def loop_overhead() -> str:
    """One sentence on the empty loops that were taken off."""
    if not _loops:
        return "No loop overhead to take off."
    low, middle, high = min(_loops), statistics.median(_loops), max(_loops)
    spread = f"{low:.0f}-{high:.0f}"
    return f"Loop overhead of figures per call: {middle:.0f} ns a turn ({spread}), taken off on both sides."


# ---- showing ----

_SCALES: dict[str, list[tuple[float, str]]] = {
    "ns": [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns")],
    "/s": [(1e6, "M/s"), (1e3, "k/s"), (1, "/s")],
    "s": [(1, "s"), (1e-3, "ms"), (1e-6, "µs")],
    "bytes": [(1, "B")],
}
HEADINGS = ("what", "shmctx", "peer", "peer's", "ratio", "target", "reached")


def shown(values: Iterable[float], unit: Unit) -> str:
    """`312 ns (290-340)`: the median and the spread, in one scale."""
    values = sorted(values)
    if not values:
        return "-"
    middle = statistics.median(values)
    scales = _SCALES[unit]
    factor, name = next((scale for scale in scales if middle >= scale[0]), scales[-1])
    text = f"{_digits(middle / factor)} {name}"
    return text if len(values) == 1 else f"{text} ({_digits(values[0] / factor)}-{_digits(values[-1] / factor)})"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def table(rows: Sequence[Row]) -> str:
    """All rows under HEADINGS, and their notes."""
    verdicts = {True: "yes", False: "NO", None: "-"}
    lines = [HEADINGS] + [
        (
            row.what,
            shown(row.samples, row.unit),
            row.peer or "-",
            shown(row.peer_samples, row.unit),
            "-" if row.ratio is None else f"{row.ratio:.2f} x",
            row.target or "-",
            verdicts[row.reached],
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    lines.insert(1, tuple("-" * width for width in widths))
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    notes = [f"  {row.what}: {row.note}" for row in rows if row.note]
    return "\n".join([*text, *(["", "notes", *notes] if notes else [])])


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import os
    import sqlite3

    return {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "sqlite": sqlite3.sqlite_version,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


# ---- running ----


def main(names: Sequence[str], arguments: Sequence[str] | None = None) -> int:
    """Run the named scripts of this package and print one table. Exits 0 whatever was reached: figures are no tests."""
    parser = argparse.ArgumentParser(description="Figures of shmctx, each beside its peer.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too; - for stdout alone")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller numbers: under a minute")
    parser.add_argument("--events", type=Path, default=SAMPLE, metavar="FILE", help="event log, JSON lines, gzip")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(names)} (default: all)")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.names) - set(names))
    if unknown:
        parser.error(f"there is no script named {', '.join(unknown)}")
    options = Options(quick=given.quick, events=given.events)
    rows: list[Row] = []
    for name in given.names or names:
        started = time.monotonic()
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"bench.{name}").measure(options)
        print(f"{time.monotonic() - started:.1f} s", file=sys.stderr)
    _report(rows, given.json)
    return 0


def _report(rows: list[Row], file: Path | None) -> None:
    facts = machine()
    if file is not None:
        document = {"machine": facts, "loop_ns": statistics.median(_loops) if _loops else None, "rows": rows}
        text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
        if str(file) == "-":
            print(text, end="")
            return
        file.write_text(text)
    print(f"\n{table(rows)}\n\n{loop_overhead()}")
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
