"""Looking into a database beside the store: what is there, and how often."""

import json
from collections import Counter
from pathlib import Path

import oracle


def numbers(database: Path) -> Counter[int]:
    """How often each `_n` is stored."""
    with oracle.reading(database) as db:
        return Counter(json.loads(extra)["_n"] for (extra,) in db.execute("SELECT extra FROM record") if extra)


def cursor(database: Path) -> tuple[int, int]:
    """(epoch, drain position)."""
    with oracle.reading(database) as db:
        return db.execute("SELECT epoch, position FROM store").fetchone()


def once(database: Path, count: int) -> None:
    """Assert that the contexts with `_n` below `count`, and no others, are in the database, each once."""
    oracle.whole(database)
    found = numbers(database)
    assert set(found.values()) <= {1}
    assert sorted(found) == list(range(count))
