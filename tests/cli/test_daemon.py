"""`shmctx daemon`: what it says, whom it serves, how it ends."""

import os
import signal
import sqlite3

import pytest
from commands import assert_refused, ended, greeting, interrupt, run

import shmctx
from shmctx.hot import segment as segments


def stored(db):
    """How many contexts a database has."""
    connection = sqlite3.connect(db)
    try:
        return connection.execute("SELECT count(*) FROM record").fetchone()[0]
    finally:
        connection.close()


def test_it_says_where_things_are_and_what_to_type_next(start, segment_name, db):
    daemon = start("daemon", segment_name, "--db", db, "--ring-size", "2M")
    said = greeting(daemon)

    for part in (
        f"leads the store {segment_name!r}",
        str(segments.path_of(segment_name)),
        str(db),
        "2.0 MiB",
        str(daemon.pid),
        "Ctrl-C",
    ):
        assert part in said


def test_what_it_says_to_type_next_works(start, segment_name, db, environ):
    said = greeting(start("daemon", segment_name, "--db", db, "--ring-size", "1M"))
    put, tail, stat = said.partition("In another terminal:\n\n")[2].splitlines()[:3]
    shell = ["sh", "-c"]
    ref = run([*shell, put.strip()], environ, "").out.strip()

    assert run([*shell, tail.removesuffix("--follow")], environ, "").rows[0]["ref"] == ref
    assert segment_name in run([*shell, stat.removesuffix("--watch")], environ, "").out


def test_without_a_database_it_uses_the_state_directory(start, segment_name, tmp_path):
    said = greeting(start("daemon", segment_name, "--ring-size", "1M"))

    assert str(tmp_path / "state" / "shmctx" / f"{segment_name}.db") in said


def test_the_environment_names_store_database_and_size(start, segment_name, db):
    env = {"SHMCTX_SEGMENT": segment_name, "SHMCTX_DB": str(db), "SHMCTX_RING_SIZE": "4M"}
    said = greeting(start("daemon", env=env))

    assert all(part in said for part in (repr(segment_name), str(db), "4.0 MiB"))


def test_options_win_over_the_environment(start, segment_name, db, tmp_path):
    env = {"SHMCTX_SEGMENT": "another", "SHMCTX_DB": str(tmp_path / "other.db"), "SHMCTX_RING_SIZE": "4M"}
    said = greeting(start("daemon", segment_name, "--db", db, "--ring-size", "1M", env=env))

    assert all(part in said for part in (repr(segment_name), str(db), "1.0 MiB"))
    assert not (tmp_path / "other.db").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_drains_everything_and_ends_it_cleanly(daemon, agent, db, number):
    refs = agent.put_many([f"event:{i}" for i in range(2000)])
    done = interrupt(daemon, number)

    assert (done.code, done.err) == (0, "")
    assert stored(db) == len(refs)


def test_two_signals_at_once_drain_all_the_same(daemon, agent, db):
    """What a wrapper sends that passes a signal on which the whole process group has got already."""
    agent.put_many([f"event:{i}" for i in range(2000)])
    daemon.send_signal(signal.SIGTERM)
    done = interrupt(daemon, signal.SIGINT)

    assert done.code == 0
    assert stored(db) == 2000


def test_what_the_database_does_not_take_is_an_error_and_stays(daemon, agent, db, cli, segment_name):
    agent.flush()
    lock = sqlite3.connect(db, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    ref = agent.put("late")
    done = interrupt(daemon, signal.SIGTERM)
    lock.close()

    assert done.code == 1
    assert "Error: " in done.err
    assert "stay in shared memory" in done.err
    assert f"Try: shmctx-recover {segment_name} --db {db}" in done.err
    assert cli("get", ref).code == 0


def test_a_second_daemon_stands_by_and_takes_over(daemon, start, segment_name, db, wait_for):
    second = start("daemon", segment_name, "--db", db)
    said = greeting(second)

    assert f"stands by for pid {daemon.pid} " in said

    daemon.kill()
    with shmctx.attach(segment_name, readonly=True) as store:
        wait_for(lambda: store.stats()["leader"]["pid"] == second.pid)
    assert interrupt(second, signal.SIGTERM).code == 0


def test_a_standby_ends_cleanly_and_leaves_the_leader_alone(daemon, start, segment_name, db, agent):
    second = start("daemon", segment_name, "--db", db)
    greeting(second)

    assert interrupt(second, signal.SIGINT).code == 0
    agent.put("goes on", durable=True)


def test_it_adopts_what_a_dead_one_left(dead, start, segment_name, db):
    dead.put("undrained")
    greeting(start("daemon", segment_name, "--db", db))
    dead.flush()

    assert stored(db) == 2


def test_a_database_that_cannot_be_made_is_refused(cli, segment_name, tmp_path):
    (tmp_path / "file").touch()
    result = cli("daemon", segment_name, "--db", tmp_path / "file" / "contexts.db")

    assert_refused(result, 1, "cannot be opened", "directory")
    assert not segments.path_of(segment_name).exists()


def test_a_database_that_another_store_drains_to_is_refused(daemon, start, segment_name, db):
    done = ended(start("daemon", f"{segment_name}-2", "--db", db))

    assert_refused(done, 6, f"pid {daemon.pid} ", "another database")


def test_another_database_than_the_segment_s_is_refused(dead, cli, segment_name, tmp_path):
    result = cli("daemon", segment_name, "--db", tmp_path / "other.db")

    assert_refused(result, 1, "drains to", "database")


@pytest.mark.parametrize("size", ["lots", "12X", ""])
def test_a_size_that_is_none_is_wrong_usage(cli, segment_name, db, size):
    assert_refused(cli("daemon", segment_name, "--db", db, "--ring-size", size), 2, "is not a size", "K, M or G")


def test_a_name_that_is_none_is_wrong_usage(cli, db):
    assert_refused(cli("daemon", "a/b", "--db", db), 2, "cannot name a store", "letters")


def test_a_ring_that_does_not_fit_is_refused(cli, segment_name, db):
    room = os.statvfs(segments.SHM)
    too_large = 1 << (room.f_blocks * room.f_frsize).bit_length()

    assert_refused(cli("daemon", segment_name, "--db", db, "--ring-size", too_large), 3, "does not fit", "smaller")
