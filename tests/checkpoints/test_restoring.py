"""Restoring: order, failures, and which checkpoint a start uses."""

import asyncio

import pytest
from apps import fail, rows, started, takes
from running import run

import shmctx
from shmctx.checkpoints import Checkpoints, Stage, choose
from shmctx.checkpoints.stored import correlation_of
from shmctx.errors import CheckpointDamaged, ContextNotFound, InvalidField


def test_states_come_back_in_the_order_of_stages(store):
    order = []
    checkpoints = Checkpoints(store)
    stages = {
        "work": Stage.QUEUED_WORK,
        "late": 10_000,
        "plans": Stage.ORCHESTRATIONS,
        "sessions": Stage.SESSIONS,
        "between": Stage.SESSIONS + 1,
        "first": -5,
        "one": Stage.STATE,
        "two": Stage.STATE,
    }
    for name, stage in stages.items():
        checkpoints.register(name, lambda: 0, lambda _, name=name: order.append(name), stage=stage)

    async def both():
        await checkpoints.take()
        return await checkpoints.restore()

    report = run(both())
    assert order == ["first", "one", "two", "sessions", "between", "plans", "work", "late"]
    assert list(report.durations_ms) == order


async def hang(_state):
    await asyncio.Event().wait()


@pytest.mark.parametrize("restore,error", [(fail, "RuntimeError"), (hang, "EventTimeout")])
def test_one_that_fails_is_told_and_the_others_are_restored(application, router, store, restore, error):
    told = []
    router.on("event:error")(lambda data: told.append((data["event"], data["handler"])))
    run(application(before=1, bad=2, after=3).checkpoints.take())
    app = application(router, before=0, bad=0, after=0)
    app.failing("bad", restore=restore, timeout=0.05)
    report = run(app.checkpoints.restore())

    assert app.states == {"before": 1, "bad": 0, "after": 3}
    assert report.errors["bad"].error_type == error
    assert told == [("checkpoint:restored", "bad")]
    event = store.events(store.query(event_name="checkpoint:restored"))[0]
    assert (list(event.data["errors"]), sorted(event.data["durations_ms"])) == (["bad"], ["after", "before"])


def test_a_state_that_was_not_restored_is_not_captured_over(application):
    """However often the application starts without being able to take it back."""
    first = run(application(good=1, bad={"precious": True}).checkpoints.take())
    for good in (2, 3):
        app = application(good=0, bad={})
        app.failing("bad", restore=fail)
        run(app.checkpoints.restore())
        app.states["good"] = good
        made = run(app.checkpoints.take())
        assert made.states["bad"].captured == first.ref
        assert made.errors["bad"].error_type == "RuntimeError"

    app = application(good=0, bad={})
    run(app.checkpoints.restore())
    assert app.states == {"good": 3, "bad": {"precious": True}}
    app.states["bad"] = {"precious": False}
    made = run(app.checkpoints.take())
    assert (made.states["bad"].captured, made.errors) == (None, {})


def test_the_state_of_who_is_not_there_goes_on_until_it_is_unregistered(application):
    run(application(here=1, away=2).checkpoints.take())
    app = application(here=0, new=0)
    report = run(app.checkpoints.restore())
    assert (report.unclaimed, report.fresh, app.states) == (("away",), ("new",), {"here": 1, "new": 0})
    assert sorted(run(app.checkpoints.take()).states) == ["away", "here", "new"]

    app = application(away=0)
    run(app.checkpoints.restore())
    assert app.states == {"away": 2}
    app.checkpoints.unregister("away")
    assert sorted(run(app.checkpoints.take()).states) == ["here", "new"]


def test_the_first_start_has_nothing_to_restore(application):
    app = application(n=1)

    async def first():
        async with app.checkpoints as checkpoints:
            return checkpoints.restored, [event async for event in checkpoints.since_last()]

    report, since = run(first())
    assert (report.checkpoint, report.fresh, since) == (None, ("n",), [])
    assert [made.reason for made in run(app.checkpoints.list())] == ["shutdown", "start"]


def test_applications_on_one_store_do_not_meet(store, application):
    run(application(n="shop").checkpoints.take())
    other = Checkpoints(store, "other")
    given = []
    other.register("n", lambda: "other", given.append)

    async def both():
        assert (await other.restore()).checkpoint is None
        made = await other.take()
        await other.restore()
        return made

    made = run(both())
    assert given == ["other"]
    app = application(n=0)
    with pytest.raises(InvalidField, match="of 'other', not of 'shop'"):
        run(app.checkpoints.restore(made.ref))
    with pytest.raises(InvalidField, match="of 'other', not of 'shop'"):
        run(app.checkpoints.choose(made.ref))
    assert run(application(n=0).checkpoints.restore()).checkpoint.application == "shop"


# ---- which one ----


def test_the_next_start_uses_the_chosen_one_once_whatever_is_taken_meanwhile(application, store):
    app = application(n=0)
    old, _, _ = takes(app, 1, 2, 3)
    run(app.checkpoints.choose(old.ref))
    takes(app, 4)

    app, report = started(application)
    assert (app.states, report.checkpoint.reason) == ({"n": 1}, "restored")
    assert report.checkpoint.states["n"].captured == old.ref
    again, _ = started(application)  # as after a crash: nothing was taken since
    assert again.states == {"n": 1}
    takes(again, 5)
    assert started(application)[0].states == {"n": 5}


def test_a_chosen_one_is_kept_until_it_is_used_and_no_longer(application, store):
    app = application(settings={"keep": 1}, n=0)
    old, _ = takes(app, 1, 2)
    assert choose(store, old.ref).ref == old.ref
    takes(app, 3)
    store.prune(older_than=0)
    assert old.ref in [one.ref for one in run(app.checkpoints.list())]
    app, report = started(lambda **states: application(settings={"keep": 1}, **states))
    assert app.states == {"n": 1}

    store.prune(older_than=0)
    assert [one.ref for one in run(app.checkpoints.list())] == [report.checkpoint.ref]
    assert store.query(event_name="checkpoint:chosen") == []
    assert started(application)[0].states == {"n": 1}


def test_the_last_choice_counts_and_those_before_keep_nothing(application, store):
    app = application(settings={"keep": 1}, n=0)
    first, second, _ = takes(app, 1, 2, 3)
    for chosen in (first, second, second):
        run(app.checkpoints.choose(chosen.ref))
    store.prune(older_than=0)

    left = [event.data["checkpoint"] for event in store.events(store.query(event_name="checkpoint:chosen"))]
    assert left == [second.ref]
    assert first.ref not in [one.ref for one in run(app.checkpoints.list())]
    assert started(application)[0].states == {"n": 2}


def test_another_one_can_be_restored_at_any_time(application):
    app = application(n=0)
    old, newer = takes(app, 1, 2)
    report = run(app.checkpoints.restore(old.ref))
    assert (app.states, report.checkpoint.ref not in (old.ref, newer.ref)) == ({"n": 1}, True)
    assert started(application)[0].states == {"n": 1}


def test_what_is_no_checkpoint_is_refused(application, store):
    checkpoints = application(n=1).checkpoints
    other = store.put("something", data={"states": {}})
    for refused in (checkpoints.restore, checkpoints.choose):
        with pytest.raises(InvalidField, match="something, not a checkpoint"):
            run(refused(other))
        with pytest.raises(ContextNotFound):
            run(refused("ctx_nothing"))


def test_a_checkpoint_whose_event_says_nothing_is_passed_over(application, store):
    app = application(n=0)
    made = takes(app, 1)[-1]
    correlation = correlation_of("shop")
    good = store.event(made.ref).data
    for wrong in (
        None,
        {},
        {**good, "states": {"n": 7}},
        {**good, "position": "here"},
        {**good, "kept": [1]},
    ):
        store.put("checkpoint:taken", data=wrong, correlation_id=correlation)

    app, report = started(application)
    assert (app.states, report.checkpoint.ref) == ({"n": 1}, made.ref)


def test_a_checkpoint_whose_line_in_the_log_is_damaged_is_passed_over(application, stores, store):
    app = application(n=0)
    takes(app, 1, 2)
    store.close()
    shmctx.unlink(stores.name)
    log = stores.database.with_suffix(".events") / "current.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:-1], lines[-1].replace(b'"states"', b"#states#")]))

    app = application(stores.open(rehydrate=False), n=0)
    run(app.checkpoints.restore())
    assert app.states == {"n": 1}


def test_an_application_whose_checkpoints_are_all_unreadable_does_not_begin_anew(application, store):
    """It would soon have released all of them."""
    for _ in range(3):
        store.put("checkpoint:taken", data={"states": "lost"}, correlation_id=correlation_of("shop"))

    async def live():
        async with application(n=1).checkpoints:
            raise AssertionError

    with pytest.raises(CheckpointDamaged, match="None of the newest 3"):
        run(live())
    assert len(store.query(event_name="checkpoint:*")) == 3


@pytest.mark.parametrize("damage", ["DELETE FROM payload WHERE id = 1", "UPDATE payload SET data = x'00' WHERE id = 1"])
def test_a_damaged_state_harms_no_other(stores, application, store, damage):
    app = application(store, bad="x" * 5000, good="y" * 5000)
    made = run(app.checkpoints.take())
    store.close()
    shmctx.unlink(stores.name)
    rows(stores.database, damage)
    store = stores.open(rehydrate=False)
    app = application(store, bad=None, good=None)
    report = run(app.checkpoints.restore())

    assert (app.states["good"], app.states["bad"]) == ("y" * 5000, None)
    assert report.errors["bad"].error_type == "CheckpointDamaged"
    with pytest.raises(CheckpointDamaged, match="'bad'"):
        choose(store, made.ref)


def test_a_state_that_is_not_what_its_checkpoint_says_is_damaged(application, store):
    app = application(n=0)
    made = takes(app, 1)[-1]
    good = store.event(made.ref).data
    pieces = good["states"]["n"]["pieces"]
    for wrong in ({"pieces": ["no hash"]}, {"pieces": []}, {"pieces": pieces * 2}, {"size": 1}):
        states = {"n": {**good["states"]["n"], **wrong}}
        store.put("checkpoint:taken", data={**good, "states": states}, correlation_id=correlation_of("shop"))
        app, report = started(application)
        assert report.errors["n"].error_type == "CheckpointDamaged"


def test_it_is_there_after_a_reboot(stores, application, store):
    run(application(n="x" * 5000).checkpoints.take())
    store.close()
    shmctx.unlink(stores.name)

    app = application(stores.open(), n=0)
    run(app.checkpoints.restore())
    assert app.states == {"n": "x" * 5000}


def test_it_is_there_after_the_ring_has_overwritten_it(stores):
    store = stores.leaderless(1 << 16)
    leader = stores.open(1 << 16)
    checkpoints = Checkpoints(store)
    given = []
    checkpoints.register("n", lambda: "x" * 5000, given.append)
    made = run(checkpoints.take())
    leader.close()
    stores.evict(store, made.ref)
    stores.open(1 << 16)

    run(checkpoints.restore())
    assert given == ["x" * 5000]
