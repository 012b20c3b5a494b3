"""Queued work: emitted in the context in which it was queued, in this run or in the next one."""

import asyncio
import contextlib

import msgspec
import pytest
from running import run

import shmctx
from shmctx.checkpoints import Checkpoints, Stage, WorkQueue
from shmctx.errors import InvalidField, RouterClosed
from shmctx.events import EventRouter


class Run:
    """One run of a program with a queue: handlers note in which context they were called."""

    def __init__(self, store):
        self.router = EventRouter(store)
        self.queue = WorkQueue(self.router)
        self.checkpoints = Checkpoints(self.router)
        self.checkpoints.register("work", self.queue.capture, self.queue.restore, stage=Stage.QUEUED_WORK)
        self.handled = []
        self.router.on("work:*")(self.handle)

    async def handle(self, data, context):
        self.handled.append((data.get("n"), context.parent_ref, context.correlation_id))

    async def until_done(self, workers=1):
        tasks = [asyncio.ensure_future(self.queue.run()) for _ in range(workers)]
        await self.queue.join()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def queue_some(store, queue, *numbers):
    """Queue work in a context of its own each; returns the contexts."""
    contexts = []
    for n in numbers:
        with store.span("request", _n=n) as context:
            queue.put("work:do", {"n": n})
            contexts.append(context)
    return contexts


def expected(contexts):
    return [(context.custom["_n"], context.ref, context.correlation_id) for context in contexts]


@pytest.mark.parametrize("workers", [1, 3])
def test_work_is_emitted_in_the_context_in_which_it_was_queued(store, workers):
    async def live():
        one = Run(store)
        contexts = queue_some(store, one.queue, 1, 2, 3)
        one.queue.put("work:do", {"n": 4})
        assert len(one.queue) == 4
        await one.until_done(workers)
        return one, contexts

    one, contexts = run(live())
    assert sorted(one.handled[:3]) == expected(contexts)
    assert (one.handled[3][:2], len(one.queue)) == ((4, None), 0)


def test_what_is_left_is_emitted_by_the_next_run_in_its_original_context(store):
    async def first():
        one = Run(store)
        async with one.checkpoints, one.router:
            return queue_some(store, one.queue, 1, 2, 3)

    async def second():
        one = Run(store)
        async with one.checkpoints, one.router:
            queue_some(store, one.queue, 4)
            await one.until_done()
        return one.handled

    contexts = run(first())
    assert run(second())[:3] == expected(contexts)
    assert [n for n, _, _ in run(second())] == [4]


def test_work_that_is_being_done_is_not_done(store):
    """Neither for a checkpoint, nor when its worker is cancelled."""

    async def live():
        one = Run(store)
        begun = asyncio.Event()

        @one.router.on("work:do")
        async def never(data):
            begun.set()
            await asyncio.Event().wait()

        queue_some(store, one.queue, 1, 2)
        task = asyncio.ensure_future(one.queue.run())
        await begun.wait()
        during = one.queue.capture()
        task.cancel()
        await asyncio.wait({task})
        return during, one.queue.capture()

    during, after = run(live())
    assert [work["data"]["n"] for work in during] == [1, 2]
    assert after == during


def test_the_queue_goes_on_where_a_router_was_shut_down(store):
    async def live():
        one = Run(store)
        queue_some(store, one.queue, 1)
        await one.router.shutdown()
        with pytest.raises(RouterClosed):
            await one.queue.run()
        return one.queue.capture()

    assert [work["data"]["n"] for work in run(live())] == [1]


def test_work_whose_handler_fails_is_done(store):
    async def live():
        one = Run(store)
        one.router.on("work:do")(lambda: 1 / 0)
        queue_some(store, one.queue, 1)
        await one.until_done()
        return len(one.queue)

    assert run(live()) == 0
    assert [event.data["error_type"] for event in store.events(store.query(event_name="event:error"))] == [
        "ZeroDivisionError"
    ]


def test_work_whose_context_is_gone_is_done_all_the_same(store):
    async def live():
        one = Run(store)
        (context,) = queue_some(store, one.queue, 1)
        await store.aio.forget(context.ref)
        await one.until_done()
        return context.ref

    ref = run(live())
    (made,) = store.query(event_name="work:do")
    assert (made.parent_event_id, made.custom["_queued_in"]) == (None, ref)


def test_data_is_the_queue_s_own(store):
    async def live():
        one = Run(store)
        data = {"n": [1]}
        one.queue.put("work:do", data)
        data["n"].append(2)
        with pytest.raises(InvalidField, match=r"data\.n"):
            one.queue.put("work:do", {"n": object()})
        await one.until_done()
        return one.handled

    assert [n for n, _, _ in run(live())] == [[1]]


def test_a_worker_waits_for_work(store):
    async def live():
        one = Run(store)
        worker = asyncio.ensure_future(one.queue.run())
        for n in range(3):
            one.queue.put("work:do", {"n": n})
            await one.queue.join()
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker
        return [n for n, _, _ in one.handled]

    assert run(live()) == [0, 1, 2]


@pytest.mark.parametrize("state", [None, {"n": 1}, [1], [{"event_name": 1, "data": None, "ref": None}]])
def test_a_state_that_is_none_is_refused_and_changes_nothing(store, state):
    queue = WorkQueue(EventRouter(store))
    queue.put("work:do")
    with pytest.raises(msgspec.ValidationError):
        queue.restore(state)

    assert [work["event_name"] for work in queue.capture()] == ["work:do"]


def test_a_ref_that_is_none_counts_as_gone(store):
    async def live():
        one = Run(store)
        one.queue.restore([{"event_name": "work:do", "data": {"n": 1}, "ref": "no ref"}])
        await one.until_done()
        return one.handled

    assert [n for n, _, _ in run(live())] == [1]
    assert isinstance(store.query(event_name="work:do")[0], shmctx.Context)
