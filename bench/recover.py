"""How long does recovery take when every process died with a full ring?"""

import time
from pathlib import Path

import shmctx
from bench import stage
from bench.harness import Options, Row, interleave, main, slower_at_most, versus
from bench.tables import Bare, prepared
from shmctx.drain.recover import recover


def measure(options: Options) -> list[Row]:
    count, rounds = options.pick(1_000_000, 100_000), options.pick(2, 2)
    with stage.Site() as site:
        site.create(count * 160).close()
        stage.in_process(stage.fill, site.name, count)
        bench = Bench(site, count)
        took = interleave(rounds, {"recover": bench.recover, "bare": bench.bare}, warmup=0)
    what = f"recover {count:,} undrained contexts"
    peer = "bare executemany of their rows"
    return [
        versus(what, "s", took["recover"], (peer, took["bare"]), slower_at_most(1.5),
               note="recovery reads, checks and decodes what the peer gets as rows made before")
    ]  # fmt: skip


class Bench:
    """Recovers the same segment again and again, each time into a new database."""

    def __init__(self, site: stage.Site, count: int) -> None:
        self._site = site
        self._count = count
        self._turn = 0

    def recover(self) -> float:
        """Seconds to recover all of it. Raises RuntimeError if that was not all."""
        self._turn += 1
        database = self._site.folder / f"recovered-{self._turn}.db"
        start = time.perf_counter()
        report = recover(self._site.name, database)
        seconds = time.perf_counter() - start
        if report.contexts != self._count:
            raise RuntimeError(f"{self._count} contexts were put, recovered: {report.message}")
        _remove(database)
        return seconds

    def bare(self) -> float:
        """Seconds to insert the same rows, made before."""
        with shmctx.attach(self._site.name) as store:
            found, texts = prepared(store)
        path = self._site.folder / "bare.db"
        with Bare(path, texts) as database:
            seconds = database.executemany(found)
        _remove(path)
        return seconds


def _remove(database: Path) -> None:
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()


if __name__ == "__main__":
    raise SystemExit(main(["recover"]))
