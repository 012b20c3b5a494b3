"""spawn, exec, threads and exits, with a store open."""

import itertools
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import threading
from pathlib import Path

import pytest

import shmctx
from shmctx.hot import segment as segments


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_store_goes_to_a_new_process_by_its_name(stores, method):
    store = stores.open()
    process = multiprocessing.get_context(method).Process(target=shmctx.Store.put, args=(store, "spawned"))
    process.start()
    process.join(30)

    assert process.exitcode == 0
    assert [context.event_name for context in store.values()] == ["spawned"]
    process.close()
    if method == "forkserver":
        multiprocessing.forkserver._forkserver._stop()  # it would outlive the tests


def test_many_threads_share_one_store(stores):
    store = stores.open(1 << 20)
    refs = [[] for _ in range(8)]
    errors = []

    def work(own):
        try:
            with store.span("thread") as root:
                for number in range(200):
                    own.append(store.put("step", _n=number))
                    assert store[own[number // 2]].parent_ref == root.ref
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work, args=(own,)) for own in refs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len({ref for own in refs for ref in own}) == 1600
    assert all([store[ref].custom["_n"] for ref in own] == list(range(200)) for own in refs)
    assert store.stats()["counters"]["puts"] == 1608


@pytest.mark.parametrize("ending", ["pass", "sys.exit(0)", "raise SystemExit(0)", "other = shmctx.attach(sys.argv[1])"])
def test_an_interpreter_that_ends_without_close_drains_and_ends(stores, spawn, ending):
    process = spawn(
        f"""
        import shmctx, sys
        store = shmctx.open(sys.argv[1], db=sys.argv[2], ring_size=1 << 16)
        refs = [store.put("x") for _ in range(100)]
        print(refs[-1], flush=True)
        {ending}
        """,
        stores.name,
        stores.database,
    )
    ref = process.line()
    process.finish()

    with stores.attach() as store:
        assert store.stats()["lag_bytes"] == 0
        assert stores.cold(store, ref) == store[ref]
        assert store.stats()["participants"] == 1  # its slot was given back


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_ends_the_interpreter_loses_nothing(stores, spawn, number):
    process = spawn(
        """
        import shmctx, signal, sys
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        store = shmctx.open(sys.argv[1], db=sys.argv[2], ring_size=1 << 16)
        try:
            print(store.put("x"), flush=True)
            while True:
                store.put("busy")
        except KeyboardInterrupt:
            sys.exit(130)
        """,
        stores.name,
        stores.database,
    )
    ref = process.line()
    process.send_signal(number)
    process.finish(128 + number)

    with stores.attach() as store:
        assert store[ref].event_name == "x"
        assert store.stats()["lag_bytes"] == 0


def test_exec_closes_every_descriptor(stores):
    store = stores.open(1 << 16)
    ref = store.put("x", durable=True)
    assert store.query(event_name="x")[0].ref == ref  # a database connection is open
    pid = os.fork()
    if not pid:
        show = f"ls -l /proc/self/fd | grep -E '{stores.name}|contexts' && exit 1 || exit 0"
        os.execv("/bin/sh", ["sh", "-c", show])
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_segment_s_pages_stay_out_of_core_files(stores):
    stores.open(1 << 16)
    stores.attach()
    maps = Path("/proc/self/smaps").read_text().split("VmFlags:")
    flags = [after.partition("\n")[0].split() for before, after in itertools.pairwise(maps) if stores.name in before]

    assert len(flags) >= 2
    assert all("dd" in flag for flag in flags)


def test_a_handle_whose_name_was_removed_goes_on(stores):
    store = stores.leaderless()
    ref = store.put("x")
    shmctx.unlink(stores.name)

    assert store[ref].event_name == "x"
    assert store[store.put("y")].event_name == "y"
    assert [pid for pid, _ in segments.orphans(stores.name)] == [os.getpid()]


def test_a_writer_that_holds_the_append_lock_is_named(stores, spawn):
    """Reads go on, a put gives up and names the process; when that dies, its lock is repaired."""
    store = stores.open(lock_timeout=0.3)
    ref = store.put("x")
    holder = spawn(HOLDER, stores.name)
    assert holder.line() == "held"

    with pytest.raises(shmctx.WriterStalled, match=f"pid {holder.pid} ") as caught:
        store.put("y")
    assert "shmctx doctor" in caught.value.hint
    assert store[ref].event_name == "x"
    holder.kill()
    holder.wait(30)
    assert store[store.put("z")].event_name == "z"
    assert store.stats()["counters"]["repairs"] == 1
    assert next(iter(store)) == ref


HOLDER = """
import ctypes, mmap, shmctx, sys
libc = ctypes.CDLL(None)
file = open(f"/dev/shm/shmctx.{sys.argv[1]}", "r+b")
control = mmap.mmap(file.fileno(), 4096, offset=4096)  # the append lock is the first thing in it
lock = ctypes.c_char.from_buffer(control)
assert libc.pthread_mutex_lock(ctypes.byref(lock)) == 0
print("held", flush=True)
sys.stdin.read()
"""
