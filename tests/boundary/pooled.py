"""What workers of other processes run: they are given no store and no ref."""

import os

import shmctx


def work(number=0):
    """(pid, number, ref of the current context, ref of what was put in it)."""
    ref = shmctx.current_store().put("worked", data={"number": number})
    return os.getpid(), number, shmctx.current().ref, ref


def current():
    return shmctx.current()


def attached(_=None):
    """Which stores this process has open, by their identity."""
    return os.getpid(), id(shmctx.current_store())


def fail(_=None):
    raise ZeroDivisionError(shmctx.current().ref)


def tell(connection):
    """For a Process, whose results nobody collects."""
    connection.send(work())
    connection.close()
