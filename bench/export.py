"""How fast do events leave a store as JSON lines with their contexts inside?"""

import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench import stage
from bench.harness import Options, Row, Target, interleave, main, versus
from shmctx.transfer.export import export, from_database

RING = 32 * stage.MiB


def measure(options: Options) -> list[Row]:
    count, rounds = options.pick(60_000, 20_000), options.pick(9, 3)
    with stage.Site() as site:
        source = site.folder / "source.jsonl"
        events = list(itertools.islice(itertools.cycle(stage.events_of(options.events)), count))
        source.write_bytes(b"".join(event.line for event in events))
        fill(site, events)
        took = interleave(
            rounds, {"export": lambda: count / exported(site), "again": lambda: count / written_again(source)}
        )
    note = f"{count:,} events of the database and its log; ours syncs the file, too"
    return [
        versus("export to JSON lines, events a second", "/s", took["export"],
               ("msgspec: decode each line of that file, encode it into another", took["again"]),
               Target("at least", 0.3, "at least 0.3 x"), note=note),
    ]  # fmt: skip


def fill(site: stage.Site, events: Sequence[stage.Logged]) -> None:
    """Store events with their contexts, and wait until all are drained."""
    site.create(RING).close()
    with site.lead() as store:
        for event in events:
            store.put(event.name, data=event.data, **event.context)
        store.flush(timeout=120)


def exported(site: stage.Site) -> float:
    """Seconds to export all of it. Raises RuntimeError if that was not all."""
    start = time.perf_counter()
    leaving = from_database(site.database)
    report = export(leaving, site.folder / "out.jsonl", "jsonl", replace=True)
    leaving.close()
    seconds = time.perf_counter() - start
    if not report.whole or report.without_data:
        raise RuntimeError(f"not whole: {report}")
    return seconds


def written_again(source: Path) -> float:
    """Seconds to read, decode, encode and write each line."""
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    start = time.perf_counter()
    with source.open("rb") as lines, source.with_suffix(".again").open("wb") as out:
        for line in lines:
            out.write(encode(decode(line)))
            out.write(b"\n")
    return time.perf_counter() - start


if __name__ == "__main__":
    raise SystemExit(main(["export"]))
