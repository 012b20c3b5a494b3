"""Making, finding and removing segments: races, leftovers, permissions, room, leaks."""

import gc
import os
import resource
import secrets
import stat
from pathlib import Path

import pytest

import shmctx
from shmctx.errors import SegmentExists, SegmentTooLarge
from shmctx.hot import segment as segments

OPENER = """
import shmctx, sys
print("ready")
input()
store = shmctx.open(sys.argv[1], db=sys.argv[2], ring_size=1 << 16)
print(store.store_id, store.stats()["generation"], store.put("x"))
input()
store.close()
"""


def test_processes_that_open_at_once_share_one_segment(stores, spawn):
    openers = [spawn(OPENER, stores.name, stores.database) for _ in range(3)]
    for opener in openers:
        assert opener.line() == "ready"
    for opener in openers:
        opener.say()
    found = [opener.line().split() for opener in openers]
    store = stores.attach()

    assert len({(store_id, generation) for store_id, generation, _ in found}) == 1
    assert sorted(ref for *_, ref in found) == list(store)
    for opener in openers:
        opener.say()
    for opener in openers:
        opener.finish()
    assert [path.name for path in segments.SHM.iterdir() if stores.name in path.name] == [f"shmctx.{stores.name}"]


def test_an_agent_that_attaches_while_the_segment_is_made_gets_all_or_nothing(stores, spawn):
    """The segment has its name only when it is whole: attaching in a tight loop sees it missing, then usable."""
    agent = spawn(
        """
        import shmctx, sys, time
        print("ready")
        misses, deadline = 0, time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                store = shmctx.attach(sys.argv[1])
                break
            except shmctx.SegmentMissing:
                misses += 1
        print(misses > 0, store.put("x"))
        store.close()
        """,
        stores.name,
    )
    assert agent.line() == "ready"
    store = stores.open(32 << 20)
    missed, ref = agent.line().split()
    agent.finish()

    assert missed == "True"
    assert store[ref].event_name == "x"


def create(name, database, ring_size=4096):
    return segments.create(name, database=database, store_id=1, ring_size=ring_size, gap_start=1, base=1)


def test_the_loser_of_a_race_leaves_nothing_behind(stores):
    winner = create(stores.name, stores.database)

    with pytest.raises(SegmentExists) as caught:
        create(stores.name, stores.database)
    assert "Attach" in caught.value.hint
    assert winner.is_current()
    assert [path.name for path in segments.SHM.iterdir() if stores.name in path.name] == [f"shmctx.{stores.name}"]


def test_what_dead_creators_left_is_swept_and_what_living_ones_make_is_not(stores, spawn):
    gone = spawn("import os; print(os.getpid())")
    pid = gone.line()
    gone.finish()
    dead = segments.SHM / f"shmctx.{stores.name}~{pid}.123"
    alive = segments.SHM / f"shmctx.{stores.name}~{os.getpid()}.123"
    for path in (dead, alive):
        path.touch(mode=0o600)

    stores.open()
    assert not dead.exists()
    assert alive.exists()
    assert stores.name in segments.names()
    assert [name for name in segments.names() if "~" in name] == []


@pytest.mark.parametrize("mask", [0o000, 0o027, 0o077])
def test_the_umask_neither_widens_nor_breaks_permissions(stores, mask):
    before = os.umask(mask)
    try:
        store = stores.open()
        store.put("x", durable=True)
    finally:
        os.umask(before)

    files = [segments.path_of(stores.name), *stores.database.parent.glob("contexts.db*")]
    assert len(files) >= 3
    assert {file.name: oct(stat.S_IMODE(file.stat().st_mode)) for file in files} == dict.fromkeys(
        (file.name for file in files), "0o600"
    )


@pytest.mark.parametrize("size, granules", [(1, 64), (4096, 64), (4097, 128), (100_000, 2048), (1 << 20, 1 << 14)])
def test_ring_sizes_are_rounded_up_to_a_power_of_two(stores, size, granules):
    assert stores.open(size).stats()["ring_bytes"] == granules * 64


def test_an_existing_segment_keeps_its_size(stores):
    stores.leaderless(1 << 16)

    assert stores.open(1 << 20).stats()["ring_bytes"] == 1 << 16


@pytest.mark.parametrize("size", [0, -1, 1 << 40, 1 << 50, 1 << 70])
def test_ring_sizes_that_cannot_be_are_named(stores, size):
    with pytest.raises(shmctx.ShmctxError) as caught:
        stores.open(size)
    assert isinstance(caught.value, shmctx.InvalidField | SegmentTooLarge)
    assert not segments.path_of(stores.name).exists()


def test_a_full_dev_shm_is_an_error_at_creation_and_nothing_is_left(unshared, stores):
    """A real tmpfs of one megabyte in a mount namespace of its own."""
    said = unshared(
        ["--mount", "--propagation", "private"],
        """
        import os, subprocess, sys
        import shmctx
        from shmctx.errors import SegmentTooLarge
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/dev/shm"], check=True)
        name, database = sys.argv[1:]
        try:
            shmctx.open(name, db=database)
        except SegmentTooLarge as error:
            print(error)
        print(os.listdir("/dev/shm"))
        with shmctx.open(name, db=database, ring_size=1 << 19) as store:
            with open("/dev/shm/filler", "wb", buffering=0) as filler:
                try:
                    while filler.write(bytes(4096)):
                        pass
                except OSError as error:
                    print(error.strerror)
            refs = [store.put("x", _fill="y" * 500) for _ in range(2000)]  # more than the ring holds
            print(len(store), all(ref in store for ref in refs))
        """,
        stores.name,
        stores.database,
    ).splitlines()

    assert "1,048,576 bytes free" in said[0]
    assert "--shm-size" in said[0]
    assert said[1:] == ["[]", "No space left on device", "2000 True"]


def test_without_dev_shm_a_segment_is_missing_and_cannot_be_made(unshared, stores):
    said = unshared(
        ["--mount", "--propagation", "private"],
        """
        import subprocess, sys
        import shmctx
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "/dev/shm"], check=True)
        for call in (lambda: shmctx.attach(sys.argv[1]), lambda: shmctx.open(sys.argv[1], db=sys.argv[2])):
            try:
                call()
            except shmctx.ShmctxError as error:
                print(type(error).__name__, error)
        """,
        stores.name,
        stores.database,
    ).splitlines()

    assert said[0].startswith("SegmentMissing")
    assert "Read-only file system" in said[1]


def test_without_descriptors_attaching_fails_and_works_again_later(stores):
    store = stores.leaderless()
    ref = store.put("x")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (holdings()[0] + 8, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            held.extend(os.dup(0) for _ in range(10_000))
        with pytest.raises((shmctx.ShmctxError, OSError)) as caught:
            stores.attach()
        assert not isinstance(caught.value, shmctx.SegmentMissing)
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert stores.attach()[ref] == store[ref]


def holdings():
    """Descriptors, maps of segments, threads."""
    gc.collect()
    mapped = Path("/proc/self/maps").read_text().count("/dev/shm/shmctx.")
    return len(list(Path("/proc/self/fd").iterdir())), mapped, len(list(Path("/proc/self/task").iterdir()))


def test_a_thousand_attachments_leave_nothing_behind(stores):
    store = stores.leaderless(4096)
    ref = store.put("x")
    stores.drain()

    def attach():
        with shmctx.attach(stores.name) as other:
            assert other.get_bytes(ref)

    def lead():  # with the database and a drain thread
        with shmctx.open(stores.name, db=stores.database) as leader:
            assert leader.query(event_name="x", limit=1)

    before = holdings()
    for work, times in ((attach, 1000), (lead, 20)):
        for _ in range(times):
            work()
        assert holdings() == before


def test_refused_attachments_leave_nothing_behind(stores, tmp_path):
    store = stores.leaderless(4096)
    store.put("x")
    before = holdings()
    path = segments.path_of(stores.name)
    path.chmod(0o644)
    for _ in range(100):
        with pytest.raises(shmctx.SegmentMismatch):
            shmctx.attach(stores.name)
    path.chmod(0o600)
    for _ in range(10):
        with pytest.raises(shmctx.ColdError):
            shmctx.open(stores.name, db=tmp_path / f"{secrets.token_hex(4)}.db")
    assert holdings() == before
