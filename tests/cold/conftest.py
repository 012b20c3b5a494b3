import sqlite3
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))

from stores import side, stores  # noqa: F401


@pytest.fixture
def shell(db):
    """`shell()`: what the sqlite3 shell would see; a connection with named columns."""
    connections = []

    def connect():
        connection = sqlite3.connect(db, isolation_level=None, timeout=5)
        connection.row_factory = sqlite3.Row
        connections.append(connection)
        return connection

    yield connect
    for connection in connections:
        connection.close()
