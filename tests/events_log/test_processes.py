"""Event data of many processes: forked, spawned, recovered, over generations."""

import asyncio
import concurrent.futures
import multiprocessing
import os
from pathlib import Path

import lines
import pytest

import shmctx
from shmctx.drain.recover import recover


def data(worker, n):
    return {"worker": worker, "n": n, **({"content": f"{n % 3}" * 1500} if n % 5 == 0 else {})}


def put_some(store, worker, count):
    return [store.put("x", data=data(worker, n)) for n in range(count)]


def check_all(store, refs, count):
    expected = [data(worker, n) for worker in range(len(refs)) for n in range(count)]
    assert [event.data for event in store.events([ref for some in refs for ref in some])] == expected


def logged_once(stores, total):
    events = lines.check(stores.database)
    assert len(events) == total
    assert len({(event["data"]["worker"], event["data"]["n"]) for event in events.values()}) == total


def in_child(work):
    """Run work in a fork; returns the lines it gives."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with os.fdopen(writing, "w") as pipe:
                pipe.write("\n".join(work()))
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read().split("\n")
    assert os.waitpid(pid, 0)[1] == 0
    return said


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_children_of_the_leader_put_and_read_events_and_hold_none_of_its_files(stores):
    """A file held open by a child would keep the lock on it, and its space when it is removed."""
    store = stores.open(1 << 16)
    refs = [put_some(store, 0, 20)]
    store.flush(30)
    directory = stores.database.with_suffix(".events")
    held = [os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.exists()]
    assert any(str(directory) in path for path in held)

    def child():
        mine = put_some(store, 1, 20)
        assert [event.data for event in store.events(refs[0] + mine)] == [data(w, n) for w in (0, 1) for n in range(20)]
        found = (os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.exists())
        assert not [path for path in found if str(directory) in path]
        return mine

    refs.append(in_child(child))
    refs.append(put_some(store, 2, 20))
    check_all(store, refs, 20)
    store.close()
    logged_once(stores, 60)


def test_workers_of_a_pool_put_events(stores, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    store = stores.open(1 << 20)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        refs = list(pool.map(_in_pool, [(store, worker) for worker in range(3)]))
    check_all(store, refs, 50)
    store.close()
    logged_once(stores, 150)


def _in_pool(arguments):
    return put_some(*arguments, 50)


def test_many_event_loops_tasks_put_and_read_events(stores):
    store = stores.open(1 << 16)

    async def worker(number):
        refs = [await store.aio.put("x", data=data(number, n)) for n in range(20)]
        events = await store.aio.events(refs)
        assert [event.data for event in events] == [data(number, n) for n in range(20)]
        assert await store.aio.event(refs[0]) == events[0]
        return refs

    async def main():
        return await asyncio.gather(*map(worker, range(5)))

    refs = asyncio.run(main())
    check_all(store, refs, 20)
    store.close()
    logged_once(stores, 100)


def test_events_over_generations_are_logged_once_in_order(stores, spawn, wait_for):
    """Two processes put while the segment's name is removed again and again."""
    store = stores.open(1 << 16, put_timeout=10)
    program = """
        import sys, shmctx
        store = shmctx.attach(sys.argv[1], settings=shmctx.Settings(put_timeout=10))
        print("ready", flush=True)
        sys.stdin.readline()
        for n in range(400):
            data = {"worker": int(sys.argv[2]), "n": n, "content": f"{n % 7}" * 1500}
            store.put("x", data=data if n % 4 else {"worker": int(sys.argv[2]), "n": n})
        store.flush()
        print("done", flush=True)
        """
    writers = [spawn(program, stores.name, number) for number in range(2)]
    assert [writer.line() for writer in writers] == ["ready", "ready"]
    for writer in writers:
        writer.say()
    for _ in range(4):
        old = store.stats()["generation"]
        shmctx.unlink(stores.name)
        wait_for(lambda old=old: store.stats()["generation"] != old)
    assert [writer.line() for writer in writers] == ["done", "done"]
    for writer in writers:
        writer.finish()
    store.close()
    logged_once(stores, 800)


def test_a_replay_writes_no_line_twice(stores):
    """Of the named segment, and of one that only a process without a name for it still has."""
    store = stores.leaderless()
    first = put_some(store, 0, 30)
    assert recover(stores.name, stores.database).contexts == 30
    second = put_some(store, 1, 30)
    shmctx.unlink(stores.name)
    for stored in (30, 0):
        report = recover(stores.name, stores.database)
        assert report.contexts - report.already_stored == stored
    logged_once(stores, 60)
    with stores.open() as successor:
        third = put_some(successor, 2, 30)
        check_all(successor, [first, second, third], 30)
    logged_once(stores, 90)


def test_a_database_that_was_lost_is_made_again_with_its_log(stores):
    """The log of the lost database stays as it is; what the ring has gets lines behind it."""
    store = stores.leaderless()
    refs = put_some(store, 0, 30)
    stores.drain()
    for path in stores.database.parent.glob("contexts.db*"):
        if path.suffix != ".lock":
            path.unlink()
    stores.drain()

    assert [event.data for event in store.events(refs)] == [data(0, n) for n in range(30)]
    events = lines.written(stores.database.with_suffix(".events"))
    assert [event["data"]["n"] for event in events.values()] == [*range(30)] * 2
