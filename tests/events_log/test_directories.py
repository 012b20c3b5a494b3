"""A directory of the event log that vanishes, fills up, cannot be written, or is another one: puts go on until the ring
is full, `stats` says what to do, and once that is done everything is stored and logged."""

import contextlib
import shutil
import sqlite3

import lines
import pytest

import shmctx
from shmctx.drain.recover import recover
from shmctx.errors import ColdMismatch, LogUnavailable

QUICK = {"retry_limit": 0.05, "durable_timeout": 0.3}


@pytest.fixture
def directory(db):
    return db.with_suffix(".events")


def put(store, numbers):
    return {store.put("x", data={"n": n}): n for n in numbers}


def fill(store):
    """Put until the ring takes no more."""
    refs = {}

    def more():
        while len(refs) < 10_000:
            refs.update(put(store, [len(refs)]))

    with pytest.raises(shmctx.RingFull) as caught:
        more()
    return refs, str(caught.value)


def numbers(store, refs):
    return [event.data and event.data["n"] for event in store.events(refs)]


def reopened(stores, store):
    """The store with nothing in its ring."""
    store.close()
    shmctx.unlink(stores.name)
    return stores.open(1 << 16, rehydrate=False)


@contextlib.contextmanager
def a_file_in_its_place(directory):
    aside = directory.rename(directory.with_suffix(".aside"))
    directory.write_text("no directory")
    yield
    directory.unlink()
    aside.rename(directory)


@contextlib.contextmanager
def a_dead_link_in_its_place(directory):
    aside = directory.rename(directory.with_suffix(".aside"))
    directory.symlink_to("nowhere/at/all")
    yield
    directory.unlink()
    aside.rename(directory)


@pytest.mark.parametrize("broken", [a_file_in_its_place, a_dead_link_in_its_place], ids=lambda how: how.__name__)
def test_until_it_is_mended_records_stay_in_the_ring(broken, stores, directory, wait_for):
    store = stores.open(1 << 14, **QUICK)
    before = put(store, range(5))
    store.flush(30)
    with broken(directory):
        refs, message = fill(store)
        assert len(refs) > 20
        assert str(directory) in message
        error = wait_for(lambda: store.stats()["leader"]["error"])
        assert str(directory) in error
        assert error.count(". ") >= 1  # what is wrong, and what to do
        with pytest.raises(shmctx.NotDurable):
            store.flush(0.1)
        assert numbers(store, refs) == list(refs.values())
    store.flush(30)

    assert wait_for(lambda: store.stats()["leader"]["error"] == "")
    refs = before | refs | put(store, range(1000, 1010))
    store = reopened(stores, store)
    assert numbers(store, refs) == list(refs.values())
    store.close()
    assert len(lines.check(stores.database)) == len(refs)


def test_a_directory_that_vanishes_is_made_again_and_contexts_are_all_there(stores, directory, caplog, wait_for):
    store = stores.open(1 << 16)
    lost = put(store, range(50))
    store.flush(30)
    shutil.rmtree(directory)
    kept = put(store, range(50, 100))
    store.flush(30)

    wait_for(lambda: f"{directory}" in caplog.text and "removed" in caplog.text)
    store = reopened(stores, store)
    assert numbers(store, lost) == [None] * 50
    assert numbers(store, kept) == list(kept.values())
    assert [store[ref].event_name for ref in lost] == ["x"] * 50
    assert (directory / "current.jsonl").exists()


FULL_AND_READ_ONLY = """
import subprocess, sys, time
from pathlib import Path
import lines, shmctx
name, disk, database = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
quick = shmctx.Settings(put_timeout=0.3, retry_limit=0.05)
store = shmctx.open(name, db=database, log=disk / "log", ring_size=1 << 16, settings=quick)
refs = {}

def fill():
    try:
        while True:
            refs[store.put("x", data={"n": len(refs), "text": "t" * 200})] = len(refs)
    except shmctx.RingFull as error:
        return str(error)

def told(word):
    deadline = time.monotonic() + 30
    while word not in store.stats()["leader"]["error"]:
        assert time.monotonic() < deadline, store.stats()["leader"]
        time.sleep(0.001)

def mount(options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)

(disk / "ballast").write_bytes(bytes(128 << 10))
assert "No space left" in fill()
told("Free space on the disk of the event log")
assert len(refs) > 500
mount("size=16m")
store.flush(30)
store.close()
mount("ro")
with shmctx.attach(name, settings=quick) as store:
    fill()
try:
    shmctx.open(name, db=database)
except shmctx.ShmctxError as error:
    assert "Read-only" in str(error) and "Make the directory writable" in str(error)
    mount("rw")
store = shmctx.open(name, db=database)
store.flush(30)
assert [event.data["n"] for event in store.events(refs)] == list(refs.values())
store.close()
logged = lines.check(Path(database), disk / "log").values()
assert [event["data"]["n"] for event in logged] == list(refs.values())
print("done")
"""


def test_a_disk_that_is_full_or_read_only(own_disk, tmp_path, segment_name):
    """A file system of the log's own, in a program of its own."""
    disk, run = own_disk
    program = ("-c", FULL_AND_READ_ONLY, segment_name, disk, tmp_path / "contexts.db")
    path = {"PYTHONPATH": lines.__file__.rpartition("/")[0], "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    assert run("256k", *program, env=path) == "done\n"


def test_a_directory_that_cannot_be_used_is_an_error_at_the_start(stores, directory):
    directory.write_text("no directory")

    with pytest.raises(LogUnavailable, match=str(directory)) as caught:
        stores.open()
    assert caught.value.hint
    with pytest.raises(shmctx.SegmentMissing):
        stores.attach()
    directory.unlink()
    assert stores.open().put("x", data={}, durable=True)


def test_a_recovery_that_cannot_write_the_log_stores_nothing_and_the_next_stores_all(stores, directory):
    store = stores.leaderless()
    refs = put(store, range(20))
    with a_file_in_its_place(directory):
        with pytest.raises(LogUnavailable):
            recover(stores.name, stores.database)
        with contextlib.closing(sqlite3.connect(stores.database)) as db:
            assert db.execute("SELECT count(*) FROM record").fetchone() == (0,)
    for contexts in (20, 0):
        assert recover(stores.name, stores.database).contexts == contexts

    assert [event["data"]["n"] for event in lines.check(stores.database).values()] == list(refs.values())


def test_the_log_is_moved_with_its_files_or_not_at_all(stores, directory, tmp_path):
    """Whoever is attached finds it at its new place; the database remembers it."""
    store = stores.leaderless(1 << 14)
    refs = put(store, range(10))
    stores.evict(store, list(refs)[-1])
    assert numbers(store, refs) == list(refs.values())  # it has read the log where it was
    elsewhere = tmp_path / "elsewhere"

    def move():
        shmctx.open(stores.name, db=stores.database, log=elsewhere).close()

    with pytest.raises(ColdMismatch, match=str(directory)) as caught:
        move()
    assert "move" in caught.value.hint
    assert numbers(store, refs) == list(refs.values())
    directory.rename(elsewhere)
    move()
    assert numbers(store, refs) == list(refs.values())
    refs |= put(store, range(10, 20))
    stores.drain()
    assert not directory.exists()
    assert len(lines.check(stores.database, elsewhere)) == 20


def test_two_stores_do_not_cut_each_other_s_log(stores, tmp_path):
    """The second one goes behind the first one's files; the first one does not take them for its own leftovers."""
    shared = tmp_path / "shared"

    def opened(number):
        return shmctx.open(f"{stores.name}-{number}", db=tmp_path / f"{number}.db", log=shared, ring_size=1 << 14)

    with opened(1) as first:
        put(first, range(10))
    with opened(2) as second:
        refs = put(second, range(10))
    files = {path.name: path.read_bytes() for path in shared.glob("*.jsonl")}
    with pytest.raises(ColdMismatch, match="store"):
        opened(1)
    with opened(2) as second:
        assert numbers(second, refs) == list(refs.values())
    assert {path.name: path.read_bytes() for path in shared.glob("*.jsonl")} == files


def test_what_cannot_be_compressed_holds_up_no_drain(stores, directory, caplog, wait_for):
    store = stores.open(1 << 20, log_rotate_bytes=2000, batch_window=0.0)
    refs = put(store, range(10))
    store.flush(30)
    first = directory / (directory / "current.jsonl").readlink()
    (directory / f"{first.name}.zst").mkdir()
    for n in range(10, 60):
        refs |= put(store, [n])
        store.flush(30)
    assert wait_for(lambda: f"{first.name}" in caplog.text)

    assert caplog.text.count("cannot be used") == 1
    (directory / f"{first.name}.zst").rmdir()
    store = reopened(stores, store)
    wait_for(lambda: not first.exists())
    assert numbers(store, refs) == list(refs.values())
    store.close()
    lines.check(stores.database)
