"""forget(): wherever an event is, nothing of it can be found afterwards, and nothing else is missing."""

import asyncio
import signal
import threading

import pytest
from traces import holding

import shmctx
from shmctx.drain.recover import recover
from shmctx.errors import ContextNotFound, ForeignRef, NotDurable
from shmctx.hot._core import MARK
from shmctx.marks import Action, Mark, encode_mark

SECRETS = ["plainsecret", "largesecret", "fieldsecret", "notedsecret", "aliassecret"]


def put_secret(store, **more):
    """An event with secrets in its data, in a large field, in a custom field and in its id."""
    return store.put(
        "secret:event",
        data={"a": "plainsecret", "content": "largesecret" * 300},
        event_id="evt-aliassecret",
        _field="fieldsecret",
        **more,
    )


def traces(store, stores):
    return {secret: found for secret in SECRETS if (found := holding(store, stores.database, secret))}


def assert_gone(store, stores, ref):
    assert traces(store, stores) == {}
    assert store.get(ref) is None
    assert store.get("evt-aliassecret") is None
    assert store.event(ref) is None
    assert store.query(event_name="secret:event") == []


def test_an_event_that_is_in_the_ring_and_the_database(stores):
    store = stores.open()
    ref = put_secret(store, durable=True)
    store.annotate(ref, _note="notedsecret")
    store.flush()
    assert set(traces(store, stores)) == set(SECRETS), "the secrets cannot be found: this would test nothing"

    store.forget(ref)

    assert_gone(store, stores, ref)


def test_an_event_that_is_not_drained_yet_never_reaches_the_disk(stores):
    store = stores.leaderless()
    ref = put_secret(store)
    store.annotate(ref, _note="notedsecret")
    store.forget(ref, durable=False)
    kept = store.put("other", data={"b": 1})

    stores.drain()

    assert_gone(store, stores, ref)
    assert store.event(kept).data == {"b": 1}


def test_an_event_that_only_the_database_and_a_compressed_log_have(stores, wait_for):
    store = stores.open(1 << 16, log_rotate_bytes=1 << 14, hot_ttl=None)
    before = store.put("neighbour", data={"n": "before"})
    ref = put_secret(store)
    store.annotate(ref, _note="notedsecret")
    after = store.put("neighbour", data={"n": "after"})
    for n in range(1200):
        store.put("filler", data={"n": n, "fill": "x" * 40})
    store.flush()
    directory = stores.database.with_suffix(".events")
    wait_for(lambda: (found := sorted(directory.glob("00000001.*"))) and found[0].suffix == ".zst")
    assert store.get_bytes(ref) is None
    assert set(traces(store, stores)) == set(SECRETS)

    store.forget(ref)

    assert_gone(store, stores, ref)
    assert [store.event(other).data["n"] for other in (before, after)] == ["before", "after"]


def test_what_others_share_stays(stores):
    store = stores.open()
    ref = put_secret(store, session={"id": "s-1"}, agent_id="a-7")
    child = store.put("child", parent=ref, data={"content": "largesecret" * 300})
    store.flush()

    store.forget(ref)

    assert store.event(child).data == {"content": "largesecret" * 300}
    assert store[child].parent_event_id == "evt-aliassecret"
    assert store[child].session["id"] == "s-1"
    assert [context.ref for context in store.query(agent_id="a-7")] == [child]
    store.forget(child)
    assert holding(store, stores.database, "largesecret") == []


def test_the_chains_of_the_ring_go_on_behind_it(stores):
    store = stores.leaderless()
    refs = [store.put("event", agent_id="a-7") for _ in range(3)]
    store.forget(refs[1], durable=False)
    stores.drain()

    more = [store.put("event", agent_id="a-7") for _ in range(2)]

    assert [context.ref for context in store.query(agent_id="a-7")] == [refs[0], refs[2], *more]


def test_again_and_by_alias_and_what_never_was(stores, segment_name):
    store = stores.open()
    ref = put_secret(store)
    store.forget("evt-aliassecret")
    store.forget(ref)

    with pytest.raises(ContextNotFound):
        store.forget("evt-aliassecret")
    with pytest.raises(ContextNotFound):
        store.forget(shmctx.refs.make_ref(store.store_id, 10_000))
    with pytest.raises(ForeignRef):
        store.forget(shmctx.refs.make_ref(store.store_id ^ 1, 1))
    assert_gone(store, stores, ref)


def test_from_an_event_loop(stores):
    store = stores.open()
    ref = put_secret(store)

    asyncio.run(store.aio.forget(ref))

    assert_gone(store, stores, ref)


def test_it_does_not_come_back_with_a_new_ring(stores):
    """After a reboot the ring is filled from the database."""
    store = stores.open()
    ref = put_secret(store)
    other = store.put("other", data={"x": 1})
    store.forget(ref)
    store.close()
    shmctx.unlink(stores.name)

    again = stores.open()

    assert_gone(again, stores, ref)
    assert again.get_bytes(other) is not None


def test_what_is_annotated_afterwards_is_not_stored(stores, rows):
    store = stores.leaderless()
    ref = put_secret(store)
    context = store[ref]
    store.forget(ref, durable=False)
    store.note(context, {"_note": "notedsecret"})

    stores.drain()

    assert rows("SELECT count(*) FROM annotation") == [(0,)]


def test_without_a_leader_it_is_done_when_one_comes(stores):
    store = stores.leaderless(durable_timeout=0.2)
    ref = put_secret(store)

    with pytest.raises(NotDurable):
        store.forget(ref)
    stores.drain()

    assert_gone(store, stores, ref)


def test_a_recovery_forgets_and_the_next_leader_clears_the_ring(stores):
    """shmctx-recover changes the database only."""
    store = stores.leaderless()
    ref = put_secret(store, agent_id="a-7")
    store.annotate(ref, _note="notedsecret")
    store.forget(ref, durable=False)
    store.put("other")

    report = recover(stores.name, stores.database)
    assert report.contexts == 2
    assert [found for secret in SECRETS for found in holding(store, stores.database, secret)
            if not found.startswith("shmctx.")] == []  # fmt: skip
    leader = stores.open()
    leader.put("more", durable=True)

    assert set(traces(store, stores)) <= {"largesecret"}
    assert store.get(ref) is None is store.get("evt-aliassecret")
    assert store.query(agent_id="a-7") == []


LEADER = """
    import sys, shmctx
    from shmctx.log import erase
    import os, signal
    name, db, step = sys.argv[1:]
    from shmctx.cold import marking
    from shmctx.cold.sqlite import SqliteWriter
    from shmctx.hot._core import Ring
    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)
    def dies_after(owner, attribute):
        kept = getattr(owner, attribute)
        def call(*arguments, **named):
            kept(*arguments, **named)
            die()
        setattr(owner, attribute, call)
    if step == "erased":
        from shmctx.drain import ageing
        dies_after(ageing, "erase")
    elif step == "blanked":
        dies_after(erase, "blank")
    elif step == "removed":
        dies_after(marking, "remove")
    elif step == "committed":
        SqliteWriter.maintain = die
    store = shmctx.open(name, db=db)
    print("leads", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("step", ["erased", "blanked", "removed", "committed"])
def test_a_leader_that_dies_within_is_followed_by_one_that_ends_it(stores, spawn, step, wait_for):
    agent = stores.leaderless(durable_timeout=20)
    ref = put_secret(agent)
    agent.annotate(ref, _note="notedsecret")
    other = agent.put("other", data={"x": 1})
    stores.drain()
    agent.forget(ref, durable=False)

    leader = spawn(LEADER, stores.name, stores.database, step)
    assert leader.wait(30) == -signal.SIGKILL
    stores.open()
    agent.forget(ref)

    assert_gone(agent, stores, ref)
    assert agent.event(other).data == {"x": 1}


def test_readers_and_followers_never_meet_damage(stores):
    """Meanwhile, others read, query and follow: what is forgotten is whole, or is not there."""
    store = stores.open(1 << 18)
    stop, failures, met = threading.Event(), [], [0]

    def read():
        try:
            while not stop.is_set():
                for context in store.query(event_name="short", newest_first=True, limit=20):
                    found = store.get(context.ref)
                    assert found is None or found.custom["_n"] == context.custom["_n"]
                    met[0] += found is None
        except BaseException as error:  # noqa: BLE001  (told to the test)
            failures.append(error)

    follower = store.follow(event_name="short", timeout=1.0)
    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    refs = [store.put("short", data={"n": n}, _n=n, _fill="f" * (n % 300)) for n in range(300)]
    for ref in refs[::2]:
        store.forget(ref, durable=False)
    store.flush()
    seen = [event.ref for event in follower]
    stop.set()
    for reader in readers:
        reader.join(30)

    assert failures == []
    assert follower.damaged == []
    assert set(refs[1::2]) <= set(seen)
    assert [context.ref for context in store.query(event_name="short")] == refs[1::2]


def test_a_field_that_is_put_again_at_that_moment_is_kept(stores, side):
    """Who puts an event that refers to a large field of the ring, while that is forgotten with the only other event
    that has it, has stored the field again when put returns."""
    store = stores.open(1 << 18)
    field = "largesecret" * 300
    for _ in range(60):
        first = store.put("first", data={"content": field})
        eraser = threading.Thread(target=store.forget, args=(first,))
        eraser.start()
        refs = [store.put("second", data={"content": field}) for _ in range(5)]
        eraser.join(30)
        store.flush()
        assert [event.data for event in store.events(refs)] == [{"content": field}] * 5
        for ref in refs:
            store.forget(ref, durable=False)
    store.flush()
    assert holding(store, stores.database, "largesecret") == []


@pytest.mark.parametrize("payload", [b"", b"\xc1", encode_mark((9, 1)), encode_mark(Mark(Action.FORGET, 1 << 40))])
def test_a_mark_that_makes_no_sense_is_put_aside(stores, rows, payload):
    """Nothing that is put later is forgotten because of it."""
    store = stores.open()
    store._ring.append(MARK, payload, 0, None, None, None, None, None)
    ref = store.put("event", durable=True)

    assert rows("SELECT kind FROM quarantine") == [(MARK,)]
    assert rows("SELECT count(*) FROM forgotten") == [(0,)]
    assert store[ref].event_name == "event"


def test_an_annotation_or_session_is_no_context_to_forget(stores):
    """A ref that is made up and leads to another kind of record takes nothing away."""
    store = stores.open()
    ref = store.put("event", session={"id": "s-1", "why": "kept"}, durable=True)
    session = store[ref].session_position

    store.forget(shmctx.refs.make_ref(store.store_id, session))

    assert store[ref].session["why"] == "kept"
