"""fork, with a store open, of processes that lead, read and write."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import threading

import shmctx


def in_child(work, limit=30):
    """The exit code of a forked child that runs `work`: 0 if it returned true, 1 if not, 3 for an exception."""
    pid = os.fork()
    if not pid:
        code = 3
        try:
            signal.alarm(limit)
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_forked_child_puts_and_reads_at_once(stores):
    store = stores.open(1 << 16)
    hot = store.put("parent", agent_id="a")
    store.flush()

    def child():
        mine = store.put("child", agent_id="a")
        return store[hot].event_name == "parent" and store[mine] and len(store.query(agent_id="a")) == 2

    assert in_child(child) == 0
    assert [context.event_name for context in store.query(agent_id="a")] == ["parent", "child"]
    assert store.put("after", durable=True)


def test_a_forked_child_reads_what_is_only_in_the_database(stores):
    store = stores.open(4096)
    ref = store.put("x", session={"id": "s"})
    stores.evict(store, ref)
    assert store[ref].session == {"id": "s"}  # the parent has a connection open

    assert in_child(lambda: store[ref].session == {"id": "s"} and store.query(session_id="s")[0].ref == ref) == 0
    assert store[ref].event_name == "x"


def test_a_forked_child_has_a_slot_of_its_own_and_does_not_lead(stores):
    store = stores.open()
    store.put("x", durable=True)

    def child():
        slots = {pid for pid, *_ in store._attachment.ring.participants()}
        return {os.getpid(), os.getppid()} <= slots and not store._attachment.candidate.leads

    assert in_child(child) == 0
    assert store.stats()["leader"]["pid"] == os.getpid()
    assert store.put("y", durable=True)


def test_a_forked_child_that_closes_leaves_the_parent_alone(stores):
    store = stores.open()
    ref = store.put("x")

    assert in_child(lambda: store.close() is None) == 0
    assert store[ref]
    assert store.put("y", durable=True)
    assert store.stats()["participants"] == 1


def test_the_parent_s_death_frees_its_leadership_though_its_child_lives(stores, spawn):
    parent = spawn(
        """
        import os, shmctx, sys
        store = shmctx.open(sys.argv[1], db=sys.argv[2], ring_size=1 << 16)
        store.put("x", durable=True)
        pid = os.fork()
        if pid:
            print(pid, flush=True)
            os.kill(os.getpid(), 9)
        store._attachment.candidate.stop(10)  # the child does not want to lead
        print("child", flush=True)
        sys.stdin.read()
        os._exit(0)
        """,
        stores.name,
        stores.database,
    )
    assert sorted([parent.line().isdigit(), parent.line().isdigit()]) == [False, True]
    store = stores.attach(standby=True)

    assert store.put("y", durable=True)
    assert store.stats()["leader"]["pid"] == os.getpid()
    parent.stdin.close()
    parent.wait(30)


def test_a_forked_child_of_a_leader_takes_over_when_it_dies(stores, spawn, wait_for):
    parent = spawn(
        """
        import os, shmctx, sys
        store = shmctx.open(sys.argv[1], db=sys.argv[2], ring_size=1 << 16)
        store.put("x", durable=True)
        if os.fork():
            print(os.getpid(), flush=True)
            os.kill(os.getpid(), 9)
        ref = store.put("from the child", durable=True)
        print(ref, flush=True)
        sys.stdin.read()
        store.close()
        os._exit(0)
        """,
        stores.name,
        stores.database,
    )
    lines = [parent.line(), parent.line()]
    ref = next(line for line in lines if line.startswith("ctx_"))

    with stores.attach() as agent:
        assert agent.stats()["leader"]["pid"] != int(next(line for line in lines if line.isdigit()))
        assert agent[ref].event_name == "from the child"
        assert agent.stats()["counters"]["failovers"] == 1
        parent.stdin.close()
        wait_for(lambda: not agent.stats()["leader"])  # it left in order, and says so


def test_no_database_connection_outlives_a_fork(stores, spawn):
    """A child that went on with its parent's tables of locks would hold none: the first to open the database then
    takes it for unused, cuts the index of its log, and the child ends of SIGBUS."""
    parent = spawn(
        """
        import os, shmctx, sys
        store = shmctx.open(sys.argv[1], db=sys.argv[2], ring_size=1 << 16)
        store.put("from the parent", durable=True)
        if os.fork():
            os.kill(os.getpid(), 9)
        print(store.put("from the child", durable=True), flush=True)
        sys.stdin.readline()
        print(store.put("and again", durable=True), flush=True)
        sys.stdin.readline()
        store.close()
        print("closed", flush=True)
        os._exit(0)
        """,
        stores.name,
        stores.database,
    )
    parent.line()

    with contextlib.closing(sqlite3.connect(stores.database)) as other:  # may write: so it looks whether it is alone
        names = [row[0] for row in other.execute("SELECT event_name FROM context ORDER BY position")]
    parent.say()
    ref = parent.line()
    with stores.attach() as agent:
        assert agent[ref].event_name == "and again"
    parent.say()

    assert names == ["from the parent", "from the child"]
    assert parent.line() == "closed"


def test_a_fork_under_reads_of_an_event_loop_changes_no_answer(stores):
    """The loop's own thread forks, so nothing can wait until the reads are done: they are asked again."""

    async def read_and_fork(store):
        reads = [asyncio.create_task(store.aio.query(correlation_id=root.correlation_id)) for _ in range(8)]
        children = []
        while not all(read.done() for read in reads):
            await asyncio.sleep(0)
            if len(children) < 20:
                child = os.fork()
                if not child:
                    os._exit(0 if len(store.query(correlation_id=root.correlation_id)) == 3 else 1)
                children.append(child)
        return [len(await read) for read in reads], children

    store = stores.open(1 << 16)
    root = store[store.put("root", durable=True)]
    with shmctx.bound(root):
        store.put("one"), store.put("two", durable=True)

    found, children = asyncio.run(read_and_fork(store))
    codes = [os.waitpid(child, 0)[1] for child in children]

    assert found == [3] * 8
    assert codes
    assert set(codes) == {0}


def test_forking_while_threads_put_and_drain(stores):
    """The child's copy of SQLite and of the append lock must be usable, whatever the parent's threads were doing."""
    store = stores.open(1 << 20)
    cold = store.put("first")
    done = threading.Event()

    def work():
        while not done.is_set():
            store.put("busy", _data="y" * 100)
            store.query(event_name="first", limit=1)

    def child():
        return store[cold] and store[store.put("child")] and store.query(limit=1)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        codes = [in_child(child) for _ in range(40)]
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert codes == [0] * 40
    assert len(store.query(event_name="child")) == 40
