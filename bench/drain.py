"""How many contexts a second does the leader move to SQLite, all indexes on, every commit synced?"""

import time

import shmctx
from bench import stage
from bench.harness import Options, Row, Target, interleave, main, versus
from bench.tables import BATCH, Bare, prepared


def measure(options: Options) -> list[Row]:
    count, single, rounds = options.pick(150_000, 40_000), options.pick(500, 200), options.pick(5, 2)
    took = interleave(
        rounds,
        {"drain": Bench(count).drain, "bare": Bench(count).bare, "single": Bench(single).single},
        warmup=0,
    )
    what = "sustained drain, contexts a second"
    return [
        versus(what, "/s", took["drain"], (f"bare executemany, {BATCH:,} rows a commit", took["bare"]),
               Target("at least", 0.8, "at least 0.8 x"), note="from opening the segment to the last commit"),
        versus(what, "/s", took["drain"], ("one autocommit INSERT per context", took["single"]),
               Target("at least", 20, "at least 20 x")),
    ]  # fmt: skip


class Bench:
    """Contexts a second for a full ring of `count` contexts. Filling it is not counted."""

    def __init__(self, count: int) -> None:
        self._count = count

    def drain(self) -> float:
        """The leader, from opening the segment on."""
        with stage.Site() as site:
            site.create(64 * stage.MiB).close()
            stage.in_process(stage.fill, site.name, self._count)
            start = time.perf_counter()
            with site.lead() as store:
                store.flush(timeout=120)
                seconds = time.perf_counter() - start
        return self._count / seconds

    def bare(self) -> float:
        """The same rows, made before, by executemany."""
        with stage.Site() as site:
            found, texts = self._rows(site)
            database = Bare(site.folder / "bare.db", texts)
            seconds = database.executemany(found)
            database.close()
        return self._count / seconds

    def single(self) -> float:
        """The same rows, made before, one transaction each."""
        with stage.Site() as site:
            found, texts = self._rows(site)
            database = Bare(site.folder / "bare.db", texts)
            seconds = database.autocommit(found)
            database.close()
        return self._count / seconds

    def _rows(self, site: stage.Site) -> tuple[list, dict[str, int]]:
        site.create(64 * stage.MiB).close()
        stage.in_process(stage.fill, site.name, self._count)
        with shmctx.attach(site.name) as store:
            return prepared(store)


if __name__ == "__main__":
    raise SystemExit(main(["drain"]))
