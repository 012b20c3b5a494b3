"""How many contexts a second does the leader move to SQLite, all indexes on, every commit synced?"""

import itertools
import statistics
import time
from collections.abc import Sequence

import shmctx
from bench import stage
from bench.harness import Options, Row, Target, interleave, main, versus
from bench.tables import BATCH, Bare, prepared
from shmctx.cold import rows

RING = 64 * stage.MiB


def measure(options: Options) -> list[Row]:
    count, single, rounds = options.pick(150_000, 40_000), options.pick(500, 200), options.pick(7, 3)
    with stage.Site() as site:
        site.create(RING).close()
        stage.in_process(stage.fill, site.name, count)
        with shmctx.attach(site.name) as store:
            found, texts = prepared(store)
        bare = Peer(site, found, texts)
        took = interleave(
            rounds,
            {"drain": lambda: drain(count), "bare": bare.executemany, "single": lambda: bare.autocommit(single)},
            warmup=0,
        )
    ceiling = statistics.median(many / one for many, one in zip(took["bare"], took["single"], strict=True))
    what = "sustained drain, contexts a second"
    return [
        versus(what, "/s", took["drain"], (f"bare executemany, {BATCH:,} rows a commit", took["bare"]),
               Target("at least", 0.8, "at least 0.8 x"), note="from opening the segment to the last commit"),
        versus(what, "/s", took["drain"], ("one autocommit INSERT per context", took["single"]),
               Target("at least", 20, "at least 20 x"),
               note=f"bare executemany makes {ceiling:.1f} x of it on this disk"),
    ]  # fmt: skip


def drain(count: int) -> float:
    """Contexts a second that the leader stores of a full ring. Filling it is not counted."""
    with stage.Site() as site:
        site.create(RING).close()
        stage.in_process(stage.fill, site.name, count)
        start = time.perf_counter()
        with site.lead() as store:
            store.flush(timeout=120)
            return count / (time.perf_counter() - start)


class Peer:
    """The same rows, made before, into a new database each time. Rows a second."""

    def __init__(self, site: stage.Site, found: Sequence[rows.Row], texts: dict[str, int]) -> None:
        self._paths = (site.folder / f"bare-{turn}.db" for turn in itertools.count())
        self._found = found
        self._texts = texts

    def executemany(self) -> float:
        """Many rows in a transaction."""
        with Bare(next(self._paths), self._texts) as database:
            return len(self._found) / database.executemany(self._found)

    def autocommit(self, count: int) -> float:
        """A transaction for each of the first rows."""
        with Bare(next(self._paths), self._texts) as database:
            return count / database.autocommit(self._found[:count])


if __name__ == "__main__":
    raise SystemExit(main(["drain"]))
