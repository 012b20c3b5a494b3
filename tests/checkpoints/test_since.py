"""What happened since a checkpoint is in the log, and can be replayed."""

import asyncio

from apps import fail, rows, started, takes
from running import run


def since(app, participant=None, **filters):
    async def collected():
        return [event.data["n"] async for event in app.checkpoints.since_last(participant, **filters)]

    return run(collected())


def test_what_happened_since_is_in_the_log(application, store):
    app = application(n=0)
    store.put("order:new", data={"n": 0})
    takes(app, 1)
    for n in (1, 2, 3):
        store.put("order:new" if n < 3 else "other", data={"n": n})

    app, _ = started(application)
    store.put("order:new", data={"n": 4})  # of this run, as what a replay puts
    assert since(app) == [1, 2, 3]
    assert since(app, event_name="order:*") == [1, 2]
    takes(app, 5)
    assert since(app) == [1, 2, 3]
    assert since(started(application)[0]) == []


def test_without_a_restore_it_is_what_came_after_the_newest(application, store):
    takes(application(n=0), 1)
    store.put("order:new", data={"n": 1})

    assert since(application(n=0)) == [1]


def test_a_participant_that_was_not_captured_begins_earlier(application, store):
    app = application(n=0, late=0)
    takes(app, 1)
    store.put("order:new", data={"n": 1})
    app.failing("late", fail)
    takes(app, 2)
    store.put("order:new", data={"n": 2})

    app = application(n=0, late=0)
    run(app.checkpoints.restore())
    assert (since(app, "n"), since(app, "late"), since(app, "unknown")) == ([2], [1, 2], [2])


def test_an_event_whose_handlers_have_not_ended_is_not_in_the_state(application, router, store):
    """It was put before the checkpoint, and its handler changes the state after it."""
    app = application(router, n=0)
    begun, go_on = asyncio.Event(), asyncio.Event()

    @router.on("order:*")
    async def handler(data):
        if data["n"] == 2:
            begun.set()
            await go_on.wait()
        app.states["n"] = data["n"]

    async def live():
        await router.emit("order:new", {"n": 1})
        task = asyncio.ensure_future(router.emit("order:new", {"n": 2}))
        await begun.wait()
        await app.checkpoints.take()
        go_on.set()
        await task

    run(live())
    app, _ = started(application)
    assert (app.states, since(app)) == ({"n": 1}, [2])


def test_events_put_while_states_are_captured_are_replayed(application, store):
    app = application(n=0)

    async def capture():
        store.put("order:new", data={"n": 1})
        return 0

    app.failing("n", capture)
    run(app.checkpoints.take())
    assert since(application(n=0)) == [1]


def test_the_database_of_a_checkpoint_names_its_payloads(application, stores, store):
    """So that retention knows that they are needed, and by whom."""
    made = run(application(a="x" * 5000, b=1).checkpoints.take())
    sql = "SELECT hex(hash), u.position FROM payload JOIN payload_use u ON u.payload = id"
    found = {hash_.lower(): position for hash_, position in rows(stores.database, sql)}

    assert found == {piece: store[made.ref].position for state in made.states.values() for piece in state.pieces}
