"""`shmctx doctor`: each problem is found, named, and answered with what to do; health is exit code 0."""

import json
import os
import signal
import sqlite3

import pytest

from shmctx.cli import doctor
from shmctx.hot import segment as segments


@pytest.fixture
def examine(cli):
    """(exit code, the rows of one check) of `shmctx doctor --json`."""

    def run(check, *arguments):
        result = cli("doctor", "--json", *arguments)
        assert result.err == ""
        return result.code, [row for row in json.loads(result.out) if row["check"] == check]

    return run


def only(answer):
    code, (row,) = answer
    return code, row


def test_health_is_exit_code_zero(agent, daemon, cli, segment_name):
    agent.put("one", durable=True)
    result = cli("doctor", segment_name)
    rows = {row["check"]: row for row in result.rows}

    assert (result.code, result.err) == (0, "")
    assert {row["status"] for row in rows.values()} <= {"ok", "note"}
    assert str(daemon.pid) in rows["leader"]["detail"]
    assert rows["SQLite"]["detail"].startswith(sqlite3.sqlite_version)
    assert os.uname().release in rows["system"]["detail"]
    assert "glibc" in rows["system"]["detail"]
    assert "free" in rows["shared memory"]["detail"]


def test_all_forms_say_the_same(agent, cli, terminal, segment_name):
    plain = [row["check"] for row in cli("doctor", segment_name).rows]
    document = [row["check"] for row in json.loads(cli("doctor", segment_name, "--json").out)]
    lines = [json.loads(line)["check"] for line in cli("doctor", segment_name, "--jsonl").out.splitlines()]
    shown = terminal("doctor", segment_name)

    assert plain == document == lines
    assert all(check in shown.out for check in plain)


def test_records_that_nobody_drains_are_a_problem(dead, examine, segment_name):
    dead.put("undrained")
    code, row = only(examine("leader", segment_name))

    assert (code, row["status"], row["store"]) == (5, "problem", segment_name)
    assert "Nobody drains" in row["detail"]
    assert row["hint"].startswith(f"shmctx daemon {segment_name} --db ")


def test_a_dead_leader_with_nothing_to_do_is_a_note(dead, examine, segment_name):
    code, row = only(examine("leader", segment_name))

    assert (code, row["status"]) == (0, "note")


def test_a_stopped_leader_is_named(agent, daemon, examine, segment_name, wait_for):
    agent.flush()
    daemon.send_signal(signal.SIGSTOP)
    wait_for(lambda: agent.stats()["leader"]["state"] == "T")
    code, row = only(examine("leader", segment_name))

    assert (code, row["status"]) == (5, "problem")
    assert f"pid {daemon.pid} " in row["detail"]
    assert f"kill -CONT {daemon.pid}" in row["hint"]


def test_another_stopped_process_is_named(agent, spawn, examine, segment_name, wait_for):
    other = spawn(
        "import sys, shmctx\nstore = shmctx.attach(sys.argv[1])\nprint('ready')\nsys.stdin.read()", segment_name
    )
    other.line()
    other.send_signal(signal.SIGSTOP)
    wait_for(lambda: doctor.process.state(other.pid) == "T")
    code, row = only(examine("process", segment_name))
    other.send_signal(signal.SIGCONT)

    assert code == 5
    assert f"pid {other.pid} " in row["detail"]
    assert "stopped" in row["detail"]


def test_whoever_is_stopped_with_the_append_lock_is_named(agent, spawn, examine, segment_name, wait_for):
    busy = spawn(
        """
        import sys, shmctx
        store = shmctx.attach(sys.argv[1])
        print("ready", flush=True)
        while True:
            store.put("event", _text="x" * 20_000)
        """,
        segment_name,
    )
    busy.line()

    def stopped_with_the_lock():
        busy.send_signal(signal.SIGSTOP)
        wait_for(lambda: doctor.process.state(busy.pid) == "T")
        if agent._ring.holder() == busy.pid:
            return True
        busy.send_signal(signal.SIGCONT)
        return False

    wait_for(stopped_with_the_lock)
    code, row = only(examine("lock", segment_name))
    busy.send_signal(signal.SIGCONT)

    assert (code, row["status"]) == (5, "problem")
    assert f"pid {busy.pid} " in row["detail"]
    assert f"kill -CONT {busy.pid}" in row["hint"]


def test_the_leader_s_last_error_is_shown(agent, db, examine, segment_name, wait_for):
    agent.flush()
    lock = sqlite3.connect(db, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    agent.put("late")
    wait_for(lambda: agent.stats()["leader"]["error"])
    code, row = only(examine("leader", segment_name))
    lock.close()

    assert (code, row["status"]) == (5, "problem")
    assert "locked" in row["detail"]


@pytest.mark.parametrize("named", [True, False], ids=["named", "found among all"])
def test_a_segment_without_a_name_is_found_with_its_user(dead, examine, segment_name, named):
    dead.put("undrained")
    segments.unlink(segment_name)
    code, rows = examine("orphan", *[segment_name] * named)
    row = next(row for row in rows if row["store"] == segment_name)

    assert code == 5
    assert f"pid {os.getpid()} " in row["detail"]
    assert "does not have" in row["detail"]
    assert f"shmctx daemon {segment_name}" in row["hint"]


def test_a_damaged_segment_is_a_problem(examine, segment_name):
    segments.path_of(segment_name).write_bytes(b"")
    segments.path_of(segment_name).chmod(0o600)
    code, row = only(examine("segment", segment_name))

    assert (code, row["status"]) == (5, "problem")
    assert row["hint"]


def test_a_store_that_does_not_exist_is_a_problem(examine, segment_name):
    code, row = only(examine("segment", segment_name))

    assert (code, row["status"]) == (5, "problem")
    assert segment_name in row["detail"]


def test_what_a_killed_maker_left_is_found(spawn, tmp_path):
    """Not in /dev/shm, where whoever makes a segment next removes it."""
    maker = spawn("print('x')")
    maker.line()
    maker.finish()
    for name in (f"shmctx.a~{maker.pid}.1", f"shmctx.b~{os.getpid()}.1", "shmctx.c", "other~1.1"):
        (tmp_path / name).touch()

    assert doctor.leftovers(tmp_path) == [f"shmctx.a~{maker.pid}.1"]
    assert doctor.leftovers(tmp_path / "none") == []


@pytest.mark.parametrize(
    "version,affected",
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
)
def test_the_verdict_on_sqlite(version, affected):
    verdict = doctor.sqlite_verdict(version)

    assert verdict.status == "ok"
    assert ("immune" in verdict.detail) == affected
    assert verdict.detail.startswith(".".join(map(str, version)))


@pytest.mark.parametrize(
    "texts,uid,status",
    [
        (["[Login]\n#RemoveIPC=yes\n"], 1000, "note"),
        (["[Login]\nRemoveIPC=no\n"], 1000, "ok"),
        (["[Login]\nRemoveIPC = No\n", "[Login]\nRemoveIPC=yes\n"], 1000, "note"),
        (["[Login]\nRemoveIPC=yes\n", "[Login]\nRemoveIPC=no\n"], 1000, "ok"),
        (["[Login]\nRemoveIPC=yes\n"], 0, "ok"),
    ],
    ids=["commented out: the default", "off", "a later file turns it on", "a later file turns it off", "system user"],
)
def test_removeipc_is_read_as_systemd_reads_it(tmp_path, texts, uid, status):
    files = [tmp_path / f"{i}.conf" for i in range(len(texts))]
    for path, text in zip(files, texts, strict=True):
        path.write_text(text)

    assert doctor.remove_ipc(files, uid).status == status
