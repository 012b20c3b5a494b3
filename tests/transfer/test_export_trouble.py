"""What an export does where something is gone or damaged, the disk is full, or it is killed."""

import contextlib
import os
import sqlite3
import subprocess
import sys

import pytest
from exporting import everything, exported, lines_of

import shmctx
from shmctx.transfer.export import export, from_database

COUNT = 400


@pytest.fixture
def filled(stores):
    """A store with events in its database, closed: (what it holds as lines, the log's only file)."""
    with stores.open() as store:
        for number in range(COUNT):
            store.put("event", data={"n": number, "text": f"é{number}" * 20})
        store.flush()
        told = everything(store)
    return told, next(stores.database.with_suffix(".events").glob("0*.jsonl"))


def without_data(event):
    return event | {"data": {"_ksi_context": event["data"]["_ksi_context"]}}


def check(stores, tmp_path, told, lost):
    """All of it leaves, and of `lost` only the contexts."""
    back, report = exported(stores, tmp_path / "out.jsonl")

    assert (report.events, report.missing, report.without_data) == (COUNT, len(lost), len(lost))
    assert report.whole is False
    assert back == [without_data(event) if number in lost else event for number, event in enumerate(told)]


def test_a_log_that_was_cut_off_loses_the_data_behind_the_cut(stores, filled, tmp_path):
    told, log = filled
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:300]) + lines[300][:20])

    check(stores, tmp_path, told, set(range(300, COUNT)))


@pytest.mark.parametrize("damage", [b"\x00", b"\xff", b"\n", b'"'])
def test_a_line_that_is_damaged_loses_its_own_data_only(stores, filled, tmp_path, damage):
    """A line's end in the middle, text that is no UTF-8, JSON that is none: the output is JSON all the same."""
    told, log = filled
    text = bytearray(log.read_bytes())
    at = text.index(b'"n":200') + 20
    text[at : at + 1] = damage
    log.write_bytes(text)

    check(stores, tmp_path, told, {200})


def test_lines_in_each_other_s_places_are_not_mixed_up(stores, filled, tmp_path):
    told, log = filled
    lines = log.read_bytes().splitlines(keepends=True)
    at = next(n for n in range(200, COUNT) if len(lines[n]) == len(lines[n + 1]))  # a moment's digits differ in number
    lines[at : at + 2] = lines[at + 1], lines[at]
    log.write_bytes(b"".join(lines))

    check(stores, tmp_path, told, {at, at + 1})


def test_a_log_whose_files_are_gone_leaves_the_contexts(stores, filled, tmp_path):
    told, log = filled
    log.unlink()

    check(stores, tmp_path, told, set(range(COUNT)))


def test_frames_that_cannot_be_read_lose_their_own_lines(stores, tmp_path, wait_for):
    store = stores.open(log_rotate_bytes=1 << 18)
    for number in range(COUNT):
        store.put("event", data={"n": number, "text": os.urandom(700).hex()})
    store.flush()
    told = everything(store)
    folder = stores.database.with_suffix(".events")
    wait_for(lambda: list(folder.glob("00000001*.zst")) and not list(folder.glob("00000001*.jsonl")))
    store.close()
    packed = next(folder.glob("00000001*.zst"))
    text = bytearray(packed.read_bytes())
    text[len(text) // 2] ^= 0xFF
    packed.write_bytes(text)

    back, report = exported(stores, tmp_path / "out.jsonl")

    assert 0 < report.missing < COUNT // 2
    lost = {number for number, event in enumerate(back) if event == without_data(told[number])}
    assert len(lost) == report.missing
    assert [event for number, event in enumerate(back) if number not in lost] == [
        event for number, event in enumerate(told) if number not in lost
    ]


def test_forgotten_events_are_no_damage(stores, tmp_path):
    store = stores.open()
    gone, *rest = [store.put("event", data={"n": number}) for number in range(5)]
    store.forget(gone)
    store.flush()

    back, report = exported(stores, tmp_path / "out.jsonl")

    assert (report.events, report.whole) == (len(rest), True)
    assert back == everything(store)


def test_a_missing_large_field_leaves_its_mark(stores, tmp_path):
    with stores.open() as store:
        store.put("event", data={"prompt": "x" * 3000, "response": "y" * 3000, "n": 1})
        store.flush()
    with contextlib.closing(sqlite3.connect(stores.database, isolation_level=None)) as database:
        database.execute("DELETE FROM payload WHERE id = 1")

    (back,), report = exported(stores, tmp_path / "out.jsonl")

    assert (report.fields_missing, report.whole) == (1, False)
    assert back["data"]["prompt"].keys() == {"$payload", "size"}
    assert (back["data"]["response"], back["data"]["n"]) == ("y" * 3000, 1)


def test_a_file_that_is_there_stays_as_it_is(stores, filled, tmp_path):
    target = tmp_path / "there.jsonl"
    target.write_text("mine")
    with contextlib.closing(from_database(stores.database)) as leaving:
        with pytest.raises(shmctx.errors.TargetUnavailable, match="there already"):
            export(leaving, target, "jsonl")
        assert target.read_text() == "mine"
        for place in (tmp_path / "no folder" / "out.jsonl", tmp_path):
            with pytest.raises(shmctx.errors.TargetUnavailable):
                export(leaving, place, "jsonl", replace=True)

    assert sorted(path.name for path in tmp_path.iterdir() if "there" in path.name) == ["there.jsonl"]


@pytest.mark.parametrize("form", ["jsonl", "sqlite", "parquet", "csv"])
def test_a_full_disk_leaves_nothing_but_a_message(stores, own_disk, form):
    disk, run = own_disk
    with stores.open() as store:
        for number in range(COUNT):
            store.put("event", data={"n": number, "text": os.urandom(400).hex()})
    program = """
        import os, sys
        from pathlib import Path
        from shmctx.errors import TargetUnavailable
        from shmctx.transfer.export import export, from_database
        try:
            export(from_database(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3])
        except TargetUnavailable as error:
            print(error.message, error.hint, os.listdir(Path(sys.argv[2]).parent))
    """
    script = stores.database.with_suffix(".py")
    script.write_text("\n".join(line[8:] for line in program.splitlines()))

    told = run("96k", script, stores.database, disk / "out", form)

    assert "space" in told
    assert told.rstrip().endswith("[]")


def test_an_export_that_is_killed_leaves_no_file_of_that_name(stores, filled, tmp_path, spawn):
    target = tmp_path / "out.jsonl"
    target.write_text("the one before\n")
    victim = spawn(
        """
        import os, signal, sys
        from pathlib import Path
        from shmctx.transfer.export import export, from_database
        def progress(done, total):
            print(total)
            os.kill(os.getpid(), signal.SIGKILL)
        export(from_database(Path(sys.argv[1])), Path(sys.argv[2]), "jsonl", replace=True, progress=progress)
        """,
        stores.database,
        target,
    )
    assert victim.line() == str(COUNT)
    assert victim.wait(30) == -9
    assert target.read_text() == "the one before\n"

    back, _ = exported(stores, target)

    assert back == filled[0]


def test_a_database_of_nobody_and_one_that_is_not_there_are_refused(tmp_path):
    with pytest.raises(shmctx.errors.ColdUnavailable, match="no database"):
        from_database(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("no database at all, but some text\n" * 100)
    with pytest.raises(shmctx.errors.ColdError):
        from_database(tmp_path / "text.db")
    assert not (tmp_path / "none.db").exists()


def test_a_log_that_is_not_there_is_refused_where_it_was_named(stores, filled, tmp_path):
    with pytest.raises(shmctx.errors.LogUnavailable, match="no event log"):
        from_database(stores.database, tmp_path / "elsewhere")


def test_memory_does_not_grow_with_the_log(stores, tmp_path):
    """An export of twice as much takes the same, within 10 %, once its caches are full."""
    program = """
import re, sys
from pathlib import Path
from shmctx.transfer.export import export, from_database
report = export(from_database(Path(sys.argv[1])), Path(sys.argv[2]), "jsonl", replace=True)
print(report.events, re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""  # not ru_maxrss, which begins with what the parent had
    store = stores.open(1 << 23, put_timeout=30)
    measured = []
    for count in (60_000, 60_000):
        for number in range(count):
            store.put("event", data={"n": number, "text": "t" * 200}, agent_id=f"agent{number % 50}")
        store.flush(timeout=60)
        command = [sys.executable, "-c", program, str(stores.database), str(tmp_path / "out.jsonl")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        measured.append([int(word) for word in done.stdout.split()])

    (few, small), (many, large) = measured
    assert (few, many) == (60_000, 120_000)
    assert large < small * 1.1
    assert len(lines_of(tmp_path / "out.jsonl")) == many
