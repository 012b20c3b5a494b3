"""Pools and processes of multiprocessing: the ref travels with each task, whatever the start method."""

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pooled
import pytest

import shmctx

LIMIT = 60  # seconds
METHODS = ("fork", "spawn", "forkserver")


@pytest.fixture(scope="module", params=METHODS)
def method(request):
    """A start method, with its helper process stopped at the end."""
    yield multiprocessing.get_context(request.param)
    if request.param == "forkserver":
        from multiprocessing import forkserver

        forkserver._forkserver._stop()


def test_each_task_runs_in_the_context_of_its_submission(store, method):
    """Two workers, more contexts than workers: what a worker was started in decides nothing."""
    with shmctx.propagating(ProcessPoolExecutor(2, mp_context=method)) as pool:
        futures = {}
        with store.span("before"):
            assert pool.submit(pooled.work).result(LIMIT)[2] == shmctx.current().ref
        for number in range(6):
            with store.span("job") as job:
                futures[job.ref] = pool.submit(pooled.work, number)
        results = {ref: future.result(LIMIT) for ref, future in futures.items()}
        assert pool.submit(pooled.current).result(LIMIT) is None

    for number, (ref, (_, same, current, put)) in enumerate(results.items()):
        assert (same, current, store[put].parent_ref) == (number, ref, ref)
        assert store.event(put).data == {"number": number}


def test_a_worker_attaches_once(store, method):
    with shmctx.propagating(ProcessPoolExecutor(1, mp_context=method)) as pool:
        seen = set()
        for _ in range(4):
            with store.span("job"):
                seen.add(pool.submit(pooled.attached).result(LIMIT))
        with store.span("jobs"):
            seen |= set(pool.map(pooled.attached, range(6), chunksize=2, timeout=LIMIT))

    assert len(seen) == 1


def test_map_and_failures_keep_the_context(store, method):
    with shmctx.propagating(ProcessPoolExecutor(1, mp_context=method)) as pool:
        with store.span("jobs") as jobs:
            results = list(pool.map(pooled.work, range(5), chunksize=2, timeout=LIMIT))
            failing = pool.submit(pooled.fail)
        with pytest.raises(ZeroDivisionError, match=jobs.ref):
            failing.result(LIMIT)

    assert [(number, ref) for _, number, ref, _ in results] == [(number, jobs.ref) for number in range(5)]
    assert len(store.children(jobs.ref)) == 5


def test_a_process_of_multiprocessing(store, method):
    ours, theirs = method.Pipe(duplex=False)
    with store.span("job") as job:
        process = method.Process(target=shmctx.task(pooled.tell), args=(theirs,))
    process.start()
    theirs.close()
    assert ours.poll(LIMIT)
    pid, _, current, _ = ours.recv()
    process.join(LIMIT)

    assert (process.exitcode, pid, current) == (0, process.pid, job.ref)


def test_a_pool_of_multiprocessing(store, method):
    with method.Pool(1) as pool:
        found = []
        for number in range(3):
            with store.span("job") as job:
                found.append((job.ref, pool.apply_async(shmctx.task(pooled.work), (number,))))
        assert [pending.get(LIMIT)[1:3] for _, pending in found] == [(n, ref) for n, (ref, _) in enumerate(found)]
        pool.close()
        pool.join()


def test_a_pool_that_was_forked_inside_of_a_span_does_not_keep_it(store):
    with store.span("outer"), ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as inner:
        pool = shmctx.propagating(inner)
        assert pool.submit(pooled.current).result(LIMIT) == shmctx.current()
        with shmctx.bound(store[store.put("other")]) as other:
            assert pool.submit(pooled.current).result(LIMIT) == other
        shmctx.propagation.set_scope(None)
        assert pool.submit(pooled.current).result(LIMIT) is None


def test_a_task_takes_the_ref_with_it_and_not_the_context(store):
    with store.span("job", session={"id": "s", "large": "x" * 10_000}):
        assert len(pickle.dumps(shmctx.task(pooled.work))) < 2000


def test_a_task_runs_in_this_process_as_well(store):
    with store.span("job") as job:
        task = shmctx.task(pooled.work)
    with store.span("other"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(task).result(LIMIT)[2] == task()[2] == pickle.loads(pickle.dumps(task))()[2] == job.ref
        assert shmctx.current().event_name == "other"
    assert task.__name__ == "work"


def test_a_context_whose_store_is_closed_cannot_be_sent(stores):
    store = stores.open()
    with store.span("job"):
        store.close()
        with pytest.raises(shmctx.StoreClosed, match="not open in this process"):
            shmctx.task(pooled.work)
        with pytest.raises(shmctx.StoreClosed):
            shmctx.current_store()


def test_a_context_that_has_expired_fails_the_task(store):
    with shmctx.bound(store[store.put("job")]) as job:
        task = shmctx.task(pooled.work)
    store.forget(job.ref)

    with pytest.raises(shmctx.ContextNotFound):
        task()
    assert shmctx.current() is None


def test_without_a_context_there_is_no_store_of_it():
    with pytest.raises(shmctx.errors.ContextRequired):
        shmctx.current_store()
