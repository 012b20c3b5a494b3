"""The database as it is found: versions, damage, locks, room; what is refused is not touched."""

import resource
import sqlite3
import stat
import textwrap

import pytest

import shmctx
from shmctx.cold import schema
from shmctx.cold.sqlite import SqliteWriter
from shmctx.errors import ColdMismatch, ColdUnavailable


def refused(stores, error, message):
    """Opening fails by name, the file stays byte for byte, and no segment is left."""
    before = stores.database.read_bytes() if stores.database.is_file() else None
    with pytest.raises(error, match=message) as caught:
        stores.open()
    assert caught.value.hint
    assert before is None or stores.database.read_bytes() == before
    with pytest.raises(shmctx.SegmentMissing):
        stores.attach()


def test_a_newer_schema_is_refused(stores, shell):
    stores.leaderless().close()
    shmctx.unlink(stores.name)
    with shell() as look:
        look.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    look.close()

    refused(stores, ColdMismatch, f"version {schema.VERSION + 1}")


@pytest.mark.parametrize("version", [0, 1, 7])
def test_another_application_s_database_is_refused(stores, shell, version):
    with shell() as look:
        look.execute("CREATE TABLE customer (name TEXT)")
        look.execute(f"PRAGMA user_version = {version}")
    look.close()

    refused(stores, ColdMismatch, "another application|version 7")


@pytest.mark.parametrize(
    "content", [b"no database, but long enough to have a header" * 20, b"SQLite format 3\0" + bytes(4080)]
)
def test_a_file_that_is_no_database_is_refused(stores, content):
    stores.database.write_bytes(content)

    refused(stores, ColdUnavailable, "not a database|malformed")


@pytest.mark.parametrize("kind", ["directory", "below a file"])
def test_a_path_that_cannot_be_a_file_is_refused(stores, tmp_path, kind):
    if kind == "directory":
        stores.database.mkdir()
    else:
        (tmp_path / "file").write_text("")
        stores.database = tmp_path / "file" / "contexts.db"

    refused(stores, ColdUnavailable, "cannot be opened")


def test_a_read_only_directory_is_refused(stores, spawn, tmp_path):
    folder = tmp_path / "readonly"
    folder.mkdir(mode=0o555)
    for parent in (tmp_path, *list(tmp_path.parents)[:2]):
        parent.chmod(parent.stat().st_mode | 0o055)
    process = spawn(
        """
        import os, sys
        import shmctx, shmctx.drain.leader  # while the interpreter's own files can be read
        if os.geteuid() == 0:
            os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
        try:
            shmctx.open(sys.argv[1], db=sys.argv[2])
        except shmctx.ColdError as error:
            print(type(error).__name__, error)
        """,
        stores.name,
        folder / "contexts.db",
    )

    said = process.line()
    process.finish()
    assert said.startswith("ColdUnavailable")
    assert "Permission denied" in said
    assert "writable" in said


def test_every_file_is_for_its_user_only(stores):
    store = stores.open()
    store.put("x", durable=True)
    files = list(stores.database.parent.glob("contexts.db*"))

    assert {file.name for file in files} >= {"contexts.db", "contexts.db-wal", "contexts.db-shm", "contexts.db.lock"}
    assert {oct(stat.S_IMODE(file.stat().st_mode)) for file in files} == {"0o600"}


def test_directories_are_made_for_the_user_only(stores, tmp_path):
    stores.database = tmp_path / "state" / "deep" / "contexts.db"
    stores.open().put("x", durable=True)

    assert stat.S_IMODE(stores.database.parent.stat().st_mode) == 0o700


def test_the_default_place_is_the_user_s_state_directory(stores, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with shmctx.open(stores.name, ring_size=4096) as store:
        assert store.stats()["database"] == str(tmp_path / "state" / "shmctx" / f"{stores.name}.db")


def test_a_full_disk_keeps_everything_in_the_ring_until_there_is_room(unshared_disk, stores):
    said = unshared_disk(
        """
        import os, sys, time
        import shmctx
        name, disk = sys.argv[1:]
        store = shmctx.open(name, db=f"{disk}/contexts.db", ring_size=1 << 20)
        refs = [store.put("first", durable=True)]
        with open(f"{disk}/filler", "wb", buffering=0) as filler:
            try:
                while filler.write(bytes(4096)):
                    pass
            except OSError:
                pass
        refs += [store.put("x", _data="y" * 200) for _ in range(1000)]
        try:
            store.flush(timeout=1)
        except shmctx.NotDurable as error:
            print("full" in str(error), all(ref in store for ref in refs))
        print(store.stats()["leader"]["error"])
        os.unlink(f"{disk}/filler")
        store.flush(timeout=30)
        print(len(store) == len(refs), repr(store.stats()["leader"]["error"]))
        store.close()
        """,
        stores.name,
    )

    assert said[0] == "True True"
    assert "full" in said[1]
    assert "Free space" in said[1]
    assert said[2] == "True ''"


@pytest.fixture
def unshared_disk(own_disk):
    """Runs a program with a file system of two megabytes mounted for it alone."""
    disk, run = own_disk
    return lambda script, name: run("2m", "-c", textwrap.dedent(script), name, disk).splitlines()


def test_a_file_size_limit_is_an_error_that_passes(stores):
    store = stores.open(1 << 20)
    refs = [store.put("first", durable=True)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = max(file.stat().st_size for file in stores.database.parent.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 8192, hard))
    try:
        refs += [store.put("x", _data=f"{n}" * 100) for n in range(1000)]
        with pytest.raises(shmctx.NotDurable) as caught:
            store.flush(timeout=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "disk" in str(caught.value) or "full" in str(caught.value)
    store.flush(timeout=30)
    assert list(store) == refs
    assert all(stores.cold(store, ref) for ref in refs[::100])


def test_a_reader_of_a_database_that_is_gone_says_so(stores):
    store = stores.leaderless(4096)
    ref = store.put("x")
    stores.drain()
    stores.evict(store, ref)
    store.close()
    for file in stores.database.parent.glob("contexts.db*"):
        file.unlink()
    store = stores.attach()

    with pytest.raises(ColdUnavailable, match="no database") as caught:
        store.get(ref)
    assert "shmctx daemon" in caught.value.hint


def test_a_reader_refuses_the_database_of_another_store(stores, tmp_path):
    store = stores.leaderless(4096)
    ref = store.put("x")
    stores.drain()
    stores.evict(store, ref)
    store.close()
    with shmctx.open(f"{stores.name}-2", db=tmp_path / "2.db", ring_size=4096) as other:
        other.put("theirs", durable=True)
    (tmp_path / "2.db").replace(stores.database)

    with pytest.raises(ColdMismatch, match="another store"):
        stores.attach().get(ref)


def test_migrations_are_numbered_and_run_once(stores, shell, tmp_path):
    writer = SqliteWriter(stores.database)
    writer.close()
    with sqlite3.connect(stores.database) as look:
        first = look.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()
        assert look.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        assert look.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    SqliteWriter(stores.database).close()
    assert look.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall() == first
    look.close()


def test_a_migration_that_was_interrupted_is_done_again(stores):
    """Each step commits with its number: a database without tables has version 0 and gets them."""
    sqlite3.connect(stores.database).close()
    stores.database.touch()

    assert stores.open().put("x", durable=True)
