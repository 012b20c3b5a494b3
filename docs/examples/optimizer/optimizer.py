"""The optimizer: one trial after the other, each caused by the one before. May be killed at any moment."""

import multiprocessing
from concurrent.futures import Executor, ProcessPoolExecutor
from typing import Any

import model

import shmctx


def measure(candidate: list[float], readings: list[str]) -> str:
    """One candidate against the readings of the sensors, in a worker process; returns the ref of the result."""
    store = shmctx.current_store()
    read = [(event.data["second"], event.data["degrees"]) for event in store.events(readings)]
    return store.put("trial:measured", data={"loss": model.loss(candidate, read)})


def where_it_was(store: shmctx.Store) -> tuple[dict[str, Any], dict[str, Any], shmctx.Context]:
    """(the task, the state after the last trial that was done, what the next one is a child of)."""
    newest = shmctx.current()
    assert newest is not None
    task, state = None, None
    for context in (newest, *store.ancestors(newest.ref)):
        if state is None and context.event_name == "trial:done":
            state = store.event(context.ref).data
        if context.event_name == "agent:spawn":
            task = store.event(context.ref).data
            break
    assert task is not None
    return task, state or model.FIRST_TRIAL, newest


def run(store: shmctx.Store, pool: Executor) -> None:
    """All trials that are not done yet."""
    task, state, last = where_it_was(store)
    while state["trial"] < task["trials"]:
        candidate = model.propose(state, task["seed"])
        with store.span("trial:start", data={"trial": state["trial"] + 1, "candidate": candidate}, parent=last):
            measured = pool.submit(measure, candidate, task["readings"]).result()
        state = model.judge(state, candidate, store.event(measured).data["loss"])
        last = store.put("trial:done", data=state, parent=measured)


if __name__ == "__main__":
    workers = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    with shmctx.from_env() as the_store, shmctx.propagating(workers) as the_pool:
        run(the_store, the_pool)
