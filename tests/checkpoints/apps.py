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
            self.register(name)

    def put(self, name, state):
        self.order.append(name)
        self.states[name] = state

    def register(self, name, capture=None, restore=None, **options):
        own = (lambda: self.states[name]), (lambda state: self.put(name, state))
        self.checkpoints.register(name, capture or own[0], restore or own[1], **options)

    def failing(self, name, capture=None, restore=None, **options):
        """A participant with these functions instead of its own."""
        self.checkpoints.unregister(name)
        self.register(name, capture, restore, **options)


def fail(*_):
    raise RuntimeError("it cannot")


def rows(database, sql):
    """What a statement gives, or does."""
    with contextlib.closing(sqlite3.connect(database)) as db, db:
        return db.execute(sql).fetchall()
