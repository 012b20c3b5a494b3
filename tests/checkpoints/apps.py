"""What the tests restart: an application whose participants hold values."""

import contextlib
import sqlite3

from running import run

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


def takes(app, *values):
    """A checkpoint for each value of the participant `n`."""
    made = []
    for app.states["n"] in values:
        made.append(run(app.checkpoints.take()))
    return made


def started(application):
    app = application(n=0)
    report = run(app.checkpoints.restore())
    return app, report


def restarted(application, **states):
    """What a new run of the application has after its restore."""
    app = application(**states)
    run(app.checkpoints.restore())
    return app.states
