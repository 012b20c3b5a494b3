import sqlite3
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "store")]

from stores import side, stores  # noqa: E402, F401

from shmctx import Retention  # noqa: E402


@pytest.fixture
def rows(stores):  # noqa: F811
    """`rows(sql, *values)`: what the database answers, asked from outside."""

    def ask(sql, *values):
        connection = sqlite3.connect(f"file:{stores.database}?mode=ro", uri=True, timeout=5)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    return ask


@pytest.fixture
def quiet(stores, rows, wait_for):  # noqa: F811
    """`quiet(**settings)` opens the store with the classes that everybody has; its leader has done its first round, and
    the next one comes in an hour."""

    def open_store(*arguments, **settings):
        store = stores.open(*arguments, **{"retention": Retention(), **settings})
        wait_for(lambda: rows("SELECT 1 FROM pruning WHERE position = 0"))
        return store

    return open_store
