"""What does it cost to ask for a conversation of 20 events, from the ring and from the database?"""

import contextlib
import random
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import shmctx
from bench import stage
from bench.harness import Options, Row, call_ns, interleave, main, shown, slower_at_most, versus
from shmctx.cold import rows

SEED = 5
CONVERSATIONS = 200  # asked for in one round: short ones, so that both sides meet the same moods of the machine
COLUMNS = rows.RECORD_COLUMNS.split(", ")
NAMES = {"event_name": "n.value", "agent": "a.value", "client": "c.value"}
BY_HAND = (
    f"SELECT {', '.join(NAMES.get(column, f'r.{column}') for column in COLUMNS)} FROM record AS r "  # noqa: S608
    "JOIN text AS n ON n.id = r.event_name LEFT JOIN text AS a ON a.id = r.agent "
    "LEFT JOIN text AS c ON c.id = r.client WHERE r.correlation = ? ORDER BY r.position"
)
ANNOTATIONS = (
    "SELECT target, position, fields FROM annotation WHERE target IN "
    "(SELECT position FROM record WHERE correlation = ?) ORDER BY position"
)


def measure(options: Options) -> list[Row]:
    count, rounds = options.pick(100_000, 20_000), options.pick(45, 9)
    with stage.Site() as site:
        site.create(64 * stage.MiB).close()
        refs = stage.in_process(stage.fill, site.name, count)
        with shmctx.attach(site.name) as store:
            for ref in refs[: count // 2]:
                store.annotate(ref, _duration_ms=1.25, _handlers={"handler": 1.25})
            starts = [store[ref] for ref in refs[:: stage.CORRELATION]]
        site.lead().close()
        return [row for place in ("ring", "database") for row in _from(place, site, starts, rounds)]


def _from(place: str, site: stage.Site, starts: Sequence[shmctx.Context], rounds: int) -> list[Row]:
    if place == "database":
        shmctx.unlink(site.name)
        settings = shmctx.Settings(rehydrate=False)
        shmctx.open(site.name, db=site.database, settings=settings).close()
    half = len(starts) // 2
    plain = random.Random(SEED).sample(starts[half:], min(CONVERSATIONS, half))
    noted = random.Random(SEED).sample(starts[:half], min(CONVERSATIONS, half))
    with shmctx.attach(site.name) as store, _by_hand(site) as hand:
        _check(store, hand, [*plain, *noted])
        what = f"query(correlation_id=...) of {stage.CORRELATION} events, {place}"
        return [
            _row(what, store, (hand.rows, hand.dicts), plain, rounds),
            _row(f"{what}, each annotated", store, (hand.noted, None), noted, rounds),
        ]


def _row(what: str, store: shmctx.Store, hands: Any, starts: Sequence[shmctx.Context], rounds: int) -> Row:
    """Ours beside the SELECT whose rows come as tuples; the same rows as dicts are told in the note."""
    ids = [start.correlation_id for start in starts]
    positions = [start.position for start in starts]
    by_hand, as_dicts = hands
    runs = {
        "query": lambda: call_ns(lambda correlation: store.query(correlation_id=correlation), ids),
        "hand": lambda: call_ns(by_hand, positions),
    }
    if as_dicts:
        runs["dicts"] = lambda: call_ns(as_dicts, positions)
    took = interleave(rounds, runs)
    note = "20 Context objects beside 20 tuples of the same columns, names resolved, one open connection"
    if as_dicts:
        note += f"; as dicts, the rows by hand take {shown(took['dicts'], 'ns')}"
    else:
        note += "; the annotations by a second SELECT, their JSON not decoded"
    return versus(what, "ns", took["query"], ("the same SQL by hand", took["hand"]), slower_at_most(1.5), note=note)


class _Hand:
    """The same answers with Python's sqlite3 module alone."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._ask = connection.execute

    def rows(self, correlation: int) -> list[tuple[Any, ...]]:
        return self._ask(BY_HAND, (correlation,)).fetchall()

    def dicts(self, correlation: int) -> list[dict[str, Any]]:
        return [dict(zip(COLUMNS, row, strict=True)) for row in self._ask(BY_HAND, (correlation,))]

    def noted(self, correlation: int) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        return self.rows(correlation), self._ask(ANNOTATIONS, (correlation,)).fetchall()


@contextlib.contextmanager
def _by_hand(site: stage.Site) -> Iterator[_Hand]:
    uri = f"file:{site.database}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        yield _Hand(connection)


def _check(store: shmctx.Store, hand: _Hand, starts: Sequence[shmctx.Context]) -> None:
    """Both find the same contexts: otherwise the figures say nothing."""
    for start in starts[:: len(starts) // 10]:
        ours = [(found.position, found.event_name) for found in store.query(correlation_id=start.correlation_id)]
        theirs = [(row["position"], row["event_name"]) for row in hand.dicts(start.position)]
        if ours != theirs or len(ours) != stage.CORRELATION:
            raise AssertionError(f"{ours} is not {theirs}")


if __name__ == "__main__":
    raise SystemExit(main(["query"]))
