"""Following: from where, which events, until when."""

import contextlib
import functools
import itertools
import os
import signal
import threading

import pytest

import shmctx
from shmctx.hot._core import make_ref

LIMIT = 30  # seconds


def there(follower):
    """What a follower with timeout=0 finds without waiting."""
    return [event.ref for event in follower]


def take(follower, count):
    return list(itertools.islice(follower, count))


# ---- from where ----


def test_from_now_on(stores):
    store = stores.open()
    store.put("before")
    follower = store.follow(timeout=0)
    refs = store.put_many(["a", "b"])

    assert there(follower) == refs
    assert there(follower) == []
    refs = [store.put("c", data={"n": 1})]
    assert there(follower) == refs


def test_an_event_comes_with_its_context_its_data_and_what_was_annotated(stores):
    store = stores.open()
    follower = store.follow(timeout=LIMIT)
    large = {"response": "x" * 5000, "n": [1, {"deep": None}]}
    plain, small, big = store.put("plain"), store.put("small", data={"k": "ö"}), store.put("big", data=large)
    store.annotate(small, _duration_ms=1.5)
    events = take(follower, 3)

    assert [event.context for event in events] == [store[plain], store[small], store[big]]
    assert [event.data for event in events] == [None, {"k": "ö"}, large]
    assert events[1].context.custom == {"_duration_ms": 1.5}
    assert events[2].to_dict() == {
        "ref": big, "timestamp": store[big].timestamp, "event_name": "big", "data": large,
    }  # fmt: skip


@pytest.mark.timeout(60)
def test_the_events_of_other_processes_in_one_order(stores, spawn):
    store = stores.open()
    follower = store.follow(event_name="work:*", timeout=LIMIT)
    script = """
    import shmctx, sys
    with shmctx.attach(sys.argv[1]) as store:
        for number in range(300):
            store.put(f"work:{sys.argv[2]}", data={"n": number})
            store.put("noise")
    """
    agents = [spawn(script, stores.name, who) for who in "abc"]
    events = take(follower, 900)
    for agent in agents:
        agent.finish()

    assert [event.ref for event in events] == [context.ref for context in store.query(event_name="work:*")]
    for who in "abc":
        assert [event.data["n"] for event in events if event.event_name == f"work:{who}"] == list(range(300))
    assert (follower.missed, follower.damaged) == ([], [])


@pytest.mark.parametrize("since", ["begin", 0, 1])
def test_from_the_beginning_wherever_it_is(stores, side, since):
    store = stores.leaderless()
    refs = [store.put("x", data={"n": n}) if n % 2 else store.put("y", session={"id": f"s{n}"}) for n in range(20)]
    store = side(store)
    follower = store.follow(since=since, timeout=0)
    events = list(follower)

    assert [event.ref for event in events] == refs
    assert [event.data for event in events] == [{"n": n} if n % 2 else None for n in range(20)]
    assert (follower.missed, follower.damaged) == ([], [])  # history was asked for, not missed


def test_after_a_ref_an_alias_or_an_event_id(stores, side):
    store = stores.leaderless()
    refs = [store.put("x", event_id=f"evt_0000000{n}", _fill="x" * 40 * n) for n in range(6)]
    store = side(store)

    for number, ref in enumerate(refs):
        for since in (ref, f"evt_0000000{number}", f"ctx_evt_0000000{number}"):
            assert there(store.follow(since=since, timeout=0)) == refs[number + 1 :]


def test_a_position_goes_on_after_the_last_event_that_was_delivered(stores, side):
    store = stores.leaderless()
    refs = [store.put("x", _fill="x" * 30 * n) for n in range(12)]
    store = side(store)

    for count in range(13):
        first = store.follow(since="begin", timeout=0)
        delivered = [event.ref for event in take(first, count)]
        assert delivered + there(store.follow(since=first.position, timeout=0)) == refs


def test_a_position_is_good_in_another_process_and_after_a_reboot(stores, spawn):
    with stores.open() as store:
        follower = store.follow(timeout=0)
        store.put_many(["a", "b"])
        assert len(take(follower, 1)) == 1
        position = follower.position
    shmctx.unlink(stores.name)  # as a reboot does
    store = stores.open()
    store.put("c")
    other = spawn(
        """
        import shmctx, sys
        with shmctx.attach(sys.argv[1]) as store:
            print(*(event.event_name for event in store.follow(since=int(sys.argv[2]), timeout=0)))
        """,
        stores.name,
        position,
    )

    assert other.line() == "b c"
    other.finish()


@pytest.mark.parametrize(
    "since, error, text",
    [
        (-1, shmctx.InvalidField, "nothing has been put"),
        (1 << 40, shmctx.InvalidField, "nothing has been put"),
        (True, shmctx.InvalidField, "nothing has been put"),
        (1.5, shmctx.InvalidField, "nothing has been put"),
        ("", shmctx.MalformedRef, "not a ref"),
        ("nobody's", shmctx.ContextNotFound, "resolves neither"),
        ("foreign", shmctx.ForeignRef, "belongs to store"),
        ("future", shmctx.InvalidField, "nothing has been put"),
    ],
)
def test_a_beginning_that_cannot_be_is_refused(stores, since, error, text):
    store = stores.open()
    store.put("x")
    special = {"foreign": make_ref(store.store_id ^ 1, 3), "future": make_ref(store.store_id, 1 << 30)}

    with pytest.raises(error, match=text):
        store.follow(since=special.get(since, since))


# ---- which ----


@pytest.mark.parametrize(
    "wanted",
    [
        {"event_name": "a:*"},
        {"event_name": "a:x"},
        {"agent_id": "p"},
        {"session_id": "s"},
        {"correlation_id": "corr_own"},
        {"event_name": "[ab]:y", "agent_id": "q", "session_id": "t"},
        {"agent_id": "nobody"},
    ],
    ids=str,
)
@pytest.mark.parametrize("since", [None, "begin"])
def test_a_follower_and_a_query_agree_on_what_fits(stores, wanted, since):
    """Half of it is in the database alone when it is read."""
    store = stores.open(1 << 15, rehydrate=False)
    follower = store.follow(since=since, timeout=0, **wanted)
    sessions = itertools.cycle([{"id": "s"}, {"id": "t", "k": 1}, None])
    for name, agent in itertools.product(("a:x", "a:y", "b:y"), ("p", "q", "r")):
        for _ in range(20):
            store.put(name, agent_id=agent, session=next(sessions), correlation_id="corr_own" if agent == "p" else None)
            store.put("filler", _fill="x" * 60)
    store.flush()
    expected = [context.ref for context in store.query(**wanted)]

    assert there(follower) == expected
    assert bool(expected) == (wanted != {"agent_id": "nobody"})


@pytest.mark.parametrize("wanted", [{"event_name": 1}, {"agent_id": b"x"}, {"session_id": 2}, {"correlation_id": ""}])
def test_a_filter_that_is_no_text_is_refused(stores, wanted):
    with pytest.raises(shmctx.InvalidField):
        stores.open().follow(**wanted)


def test_what_there_is_is_read_to_its_end_however_little_of_it_fits(stores):
    store = stores.open()
    follower = store.follow(event_name="rare", timeout=0)
    store.put_many(["noise"] * 2000)
    ref = store.put("rare")
    store.put_many(["noise"] * 2000)

    assert there(follower) == [ref]
    assert follower.position == store._ring.positions()[1]


# ---- until when ----


def in_thread(function):
    """Run a function in a thread; returns (thread, what it returned as a list)."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    return thread, found


def asleep(follower):
    return lambda: follower._sleeper


def test_a_waiting_follower_wakes_for_each_event(stores, wait_for):
    store = stores.open()
    follower = store.follow()
    for number in range(20):
        thread, found = in_thread(lambda: next(follower))
        wait_for(asleep(follower))
        ref = store.put("x", data={"n": number})
        thread.join(LIMIT)

        assert [(event.ref, event.data) for event in found] == [(ref, {"n": number})]


def test_a_quiet_follower_ends_at_its_timeout_and_can_be_taken_up_again(stores):
    store = stores.open()
    follower = store.follow(timeout=0.05)

    assert there(follower) == []
    ref = store.put("x")
    assert there(follower) == [ref]


def test_close_ends_an_iteration_that_waits_in_another_thread(stores, wait_for):
    follower = stores.open().follow()
    thread, found = in_thread(lambda: list(follower))
    wait_for(asleep(follower))
    follower.close()
    thread.join(LIMIT)

    assert found == [[]]


def test_close_in_a_signal_handler_ends_the_iteration_it_interrupts(stores, wait_for):
    follower = stores.open().follow()
    former = signal.signal(signal.SIGUSR1, lambda *_: follower.close())

    def interrupt():
        wait_for(asleep(follower))
        os.kill(os.getpid(), signal.SIGUSR1)

    try:
        thread, _ = in_thread(interrupt)
        assert list(follower) == []
        thread.join(LIMIT)
    finally:
        signal.signal(signal.SIGUSR1, former)


def test_a_closed_follower_is_at_its_end_and_its_position_is_what_it_delivered(stores):
    store = stores.open()
    with store.follow(timeout=0) as follower:
        refs = store.put_many(["a", "b", "c"])
        assert next(follower).ref == refs[0]
    follower.close()

    assert list(follower) == []
    assert there(store.follow(since=follower.position, timeout=0)) == refs[1:]


def test_following_a_store_that_is_closed_says_so(stores):
    store = stores.open()
    follower = store.follow(timeout=0)
    store.close()

    with pytest.raises(shmctx.StoreClosed):
        next(follower)
    with pytest.raises(shmctx.StoreClosed):
        store.follow()


def test_a_read_only_store_is_followed_too(stores, wait_for):
    store = stores.open()
    reader = stores.attach(readonly=True)
    with reader.follow() as follower:
        thread, found = in_thread(lambda: [event.ref for event in take(follower, 2)])
        wait_for(asleep(follower))
        refs = store.put_many(["a", "b"])
        thread.join(LIMIT)
        assert found == [refs]
        thread, found = in_thread(lambda: list(follower))
        wait_for(asleep(follower))
        follower.close()
        thread.join(LIMIT)
    assert found == [[]]


def test_many_followers_each_get_everything(stores):
    store = stores.open()
    with contextlib.ExitStack() as stack:
        followers = [stack.enter_context(store.follow(timeout=LIMIT)) for _ in range(8)]
        reading = [in_thread(functools.partial(take, follower, 200)) for follower in followers]
        refs = [store.put("x") for _ in range(200)]
        for thread, _ in reading:
            thread.join(LIMIT)
    assert [[event.ref for event in found[0]] for _, found in reading] == [refs] * 8


def test_a_forked_child_follows_on_by_itself(stores, spawn):
    stores.open()
    parent = spawn(
        """
        import os, shmctx, sys
        with shmctx.attach(sys.argv[1]) as store:
            follower = store.follow(timeout=30)
            refs = store.put_many(["a", "b"])
            assert next(follower).ref == refs[0]
            child = os.fork()
            assert next(follower).ref == refs[1]
            refs.append(store.put("c") if child else next(follower).ref)
            if not child:
                os._exit(int(store[refs[2]].event_name != "c"))
            assert next(follower).ref == refs[2]
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        print("done")
        """,
        stores.name,
    )
    assert parent.line() == "done"
    parent.finish()
