"""What the tests restart: an application whose participants hold values."""

import contextlib
import sqlite3

from shmctx.checkpoints import Checkpoints


class Application:
    """Participants by name, each of which holds one value."""

    def __init__(self, checkpoints: Checkpoints, states: dict) -> None:
        self.checkpoints = checkpoints
        self.states = states
        self.order = []
        for name in states:
            checkpoints.register(name, lambda name=name: self.states[name], lambda state, name=name: self.put(name, state))

    def put(self, name, state):
        self.order.append(name)
        self.states[name] = state

    def failing(self, name, capture=None, restore=None, **options):
        """A participant with these functions instead of its own."""
        self.checkpoints.unregister(name)
        self.checkpoints.register(
            name,
            capture or (lambda: self.states[name]),
            restore or (lambda state: self.put(name, state)),
            **options,
        )


def fail(*_):
    raise RuntimeError("it cannot")


def rows(database, sql):
    with contextlib.closing(sqlite3.connect(database)) as db:
        return db.execute(sql).fetchall()
