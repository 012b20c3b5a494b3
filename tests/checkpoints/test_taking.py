"""Taking checkpoints: what is in them, what they cost, and what a participant that fails does to the others."""

import asyncio
import threading
from enum import Enum

import pytest
from apps import fail, restarted, rows
from running import run

from shmctx.checkpoints import Checkpoints
from shmctx.errors import EventTimeout, InvalidField

VALUES = [{"a": [1, 2.5, None, True]}, [], "täxt ✓", None, 0, {"$payload": "00" * 20, "size": 3}, {"deep": [[[{}]]]}]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_state_comes_back_as_it_was(application, value):
    run(application(one=value).checkpoints.take())

    assert restarted(application, one="another") == {"one": value}


class Kind(Enum):
    B = "b"


def test_a_tuple_and_an_enumeration_come_back_as_json_has_them(application):
    run(application(one=(1, Kind.B)).checkpoints.take())

    assert restarted(application, one=0) == {"one": [1, "b"]}


@pytest.mark.parametrize("kind", ["function", "coroutine", "thread"])
def test_functions_of_every_kind_are_participants(store, kind):
    calls = []

    def capture():
        calls.append(threading.current_thread() is threading.main_thread())
        return {"n": 1}

    async def capture_async():
        await asyncio.sleep(0)
        return capture()

    async def restore_async(state):
        await asyncio.sleep(0)
        calls.append(state)

    async def both():
        checkpoints = Checkpoints(store)
        functions = (capture_async, restore_async) if kind == "coroutine" else (capture, calls.append)
        checkpoints.register("one", *functions, thread=kind == "thread")
        await checkpoints.take()
        await checkpoints.restore()

    run(both())
    assert calls == [kind != "thread", {"n": 1}]


def test_a_checkpoint_is_a_durable_event_of_the_store(application, store, stores):
    app = application(one={"n": 1}, two=2)
    made = run(app.checkpoints.take())

    event = store.event(made.ref)
    assert rows(stores.database, "SELECT event_name FROM context") == [("checkpoint:taken",)]
    assert (event.event_name, event.data["reason"], sorted(event.data["states"])) == (
        "checkpoint:taken",
        "demand",
        ["one", "two"],
    )
    assert event.data["states"]["one"]["size"] == len('{"state":{"n":1}}')
    assert event.context.error is None
    assert [found.ref for found in run(app.checkpoints.list())] == [made.ref]


def test_it_is_the_child_of_what_it_is_taken_in(application, store):
    async def inside():
        with store.span("admin:asked") as asked:
            made = await application(one=1).checkpoints.take()
        return asked, made

    asked, made = run(inside())
    assert [context.ref for context in store.children(asked.ref)] == [made.ref]


def test_unchanged_states_are_stored_once(application, stores, store):
    app = application(large="x" * 200_000, counter=0)
    made = run(app.checkpoints.take())
    for app.states["counter"] in range(1, 6):
        latest = run(app.checkpoints.take())
    store.flush()

    assert latest.states["large"].pieces == made.states["large"].pieces
    assert rows(stores.database, "SELECT count(*) FROM payload") == [(2 + 6,)]  # 200 kB are two pieces in 1 MiB of ring
    used = store.stats()["positions"]["head"] * 64
    assert used < 2 * 200_000


def test_a_state_larger_than_the_ring_is_stored_in_pieces(stores, seed):
    store = stores.open(1 << 16)
    state = [f"{seed}-{number}" for number in range(30_000)]
    checkpoints = Checkpoints(store)
    given = []
    checkpoints.register("large", lambda: state, given.append)

    async def both():
        made = await checkpoints.take()
        await checkpoints.restore()
        return made

    made = run(both())
    assert made.size > 4 * (1 << 16)
    assert given == [state]


async def hang():
    await asyncio.Event().wait()


async def hang_on(released=None):
    """Does not end when it is cancelled, until the test lets it."""
    while True:
        try:
            await asyncio.wait_for(RELEASED.wait(), 20)
        except asyncio.CancelledError:
            continue
        return


RELEASED = asyncio.Event()


@pytest.mark.parametrize("capture,error", [
    (fail, "RuntimeError"),
    (lambda: {1, 2}, "InvalidField"),
    (lambda: {"at": object()}, "InvalidField"),
    (lambda: float("nan"), "InvalidField"),
    (lambda: {1: 2}, "InvalidField"),
    (lambda: b"bytes", "InvalidField"),
    (lambda: [1 << 64], "InvalidField"),
    (lambda: "\ud800", "InvalidField"),
    (hang, "EventTimeout"),
])  # fmt: skip
def test_one_that_fails_is_told_and_the_others_are_captured(application, router, store, capture, error):
    told = []

    @router.on("event:error")
    def note(data):
        told.append(data)

    app = application(router, good={"n": 1}, bad={"n": 1})
    before = run(app.checkpoints.take())
    app.failing("bad", capture, timeout=0.05)
    app.states["good"] = {"n": 2}
    made = run(app.checkpoints.take())

    assert made.errors["bad"].error_type == error
    assert [data["handler"] for data in told] == ["bad"]
    assert told[0]["chain"] == [made.ref]
    assert [context.ref for context in store.query(event_name="checkpoint:taken", errors=True)] == [made.ref]
    assert made.states["bad"].captured == before.ref
    assert restarted(application, good=None, bad=None) == {"good": {"n": 2}, "bad": {"n": 1}}


def test_one_that_cannot_be_cancelled_holds_nobody_up(application, monkeypatch):
    monkeypatch.setattr("shmctx.checkpoints.bounded.UNWIND", 0.05)
    app = application(good=1)

    async def take():
        RELEASED.clear()
        app.failing("stubborn", hang_on, timeout=0.05)
        made = await app.checkpoints.take()
        RELEASED.set()
        await asyncio.wait({task for task in asyncio.all_tasks() if task is not asyncio.current_task()}, timeout=5)
        return made

    made = run(take())
    assert (list(made.states), list(made.errors)) == (["good"], ["stubborn"])


def test_one_that_blocks_its_thread_holds_nobody_up(application):
    app = application(good=1)
    released = threading.Event()
    app.failing("blocked", lambda: released.wait(20), timeout=0.05, thread=True)
    made = run(app.checkpoints.take())
    released.set()

    assert (list(made.states), made.errors["blocked"].error_type) == (["good"], EventTimeout.__name__)


def test_a_participant_s_own_timeout_error_is_its_own(application):
    def late():
        raise TimeoutError("the disk")

    app = application()
    app.failing("one", late)

    assert run(app.checkpoints.take()).errors["one"].error_message == "the disk"


def test_a_state_is_encoded_before_anybody_can_change_it(store):
    """Also while others are still capturing."""
    shared, given = [1], []

    async def slow():
        await asyncio.sleep(0)
        shared.append(2)
        return "slow"

    async def both():
        checkpoints = Checkpoints(store)
        checkpoints.register("fast", lambda: shared, given.append)
        checkpoints.register("slow", slow, lambda _: None)
        await checkpoints.take()
        await checkpoints.restore()

    run(both())
    assert given == [[1]]


@pytest.mark.parametrize("keep", [1, 3])
def test_the_newest_are_pinned_and_the_others_age(application, store, keep):
    """Over a restart and with another number to keep."""
    for _ in range(2):
        app = application(settings={"keep": 4}, n=0)
        for app.states["n"] in range(3):
            run(app.checkpoints.take())
    app = application(settings={"keep": keep}, n=0)
    for app.states["n"] in range(10, 14):
        made = run(app.checkpoints.take())
    assert len(made.kept) == keep - 1

    store.prune(older_than=0)

    left = [context.ref for context in store.query(event_name="checkpoint:taken", newest_first=True)]
    assert left == [made.ref, *made.kept]
    assert restarted(application, n=0) == {"n": 13}


def test_the_next_run_makes_up_for_pins_that_a_kill_left_undone(application, store):
    """Killed when the last checkpoint was stored, and neither pinned nor the oldest released."""
    app = application(settings={"keep": 2}, n=0)
    first, _, third = [run(app.checkpoints.take()) for _ in range(3)]
    store.unpin(third.ref)
    store.pin(first.ref)
    fourth = run(application(settings={"keep": 2}, n=0).checkpoints.take())
    store.prune(older_than=0)

    left = [context.ref for context in store.query(event_name="checkpoint:taken", newest_first=True)]
    assert left == [fourth.ref, third.ref]


def test_what_is_no_participant_is_refused(application):
    checkpoints = application(one=1).checkpoints
    for wrong in (
        ("one", fail, fail, {}),
        (7, fail, fail, {}),
        ("two", None, fail, {}),
        ("two", fail, "restore", {}),
        ("two", fail, fail, {"stage": "late"}),
        ("two", hang, fail, {"thread": True}),
    ):
        with pytest.raises(InvalidField):
            checkpoints.register(*wrong[:3], **wrong[3])


@pytest.mark.parametrize("wrong", [{"keep": 0}, {"keep": 1.5}, {"interval": 0}, {"name": ""}, {"name": "x" * 300}])
def test_settings_that_are_none_are_refused(store, wrong):
    with pytest.raises(InvalidField):
        Checkpoints(store, **wrong)
