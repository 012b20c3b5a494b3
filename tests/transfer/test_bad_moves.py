"""Moves that are ended half way, by a full disk or a kill, and places that are taken.

The same command goes on, and what comes out is what an undisturbed run makes.
"""

import contextlib
import gzip
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap

import pytest
from moving import LIMIT, SHMCTX, Move, event, line, log_of, shmctx

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COUNT = 6000


@pytest.fixture
def move(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    return Move(folder)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Some MB of events with everything: sessions, large fields, ids twice, lines that are none, events without ids."""
    chance = random.Random(5)
    lines = []
    for number in range(COUNT):
        found = event(number, _parent_event_id=f"evt_{max(number - 1, 0):08x}", _session={"id": f"s{number // 100}"})
        found["data"]["text"] = "".join(chance.choices("abcdefgh ", k=chance.choice([10, 300, 3000])))
        lines.append(found)
        if number % 500 == 7:
            lines += [b"no event\n", found, {"timestamp": number, "event_name": "no:id", "data": {"n": number}}]
    return log_of(tmp_path_factory.mktemp("source") / "log.jsonl", lines)


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    """What a run that nobody disturbs makes of it: (events, bad lines)."""
    undisturbed = Move(tmp_path_factory.mktemp("undisturbed"))
    undisturbed.run(source)
    events = undisturbed.events()
    assert len(events) == COUNT + COUNT // 500
    return events, undisturbed.bad()


# ---- kills ----


def grown(move):
    """Bytes that a run has written so far."""
    files = [path for path in move.db.parent.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files if path.exists())


def killed(move, source, after):
    """Start the command, and kill it as soon as it has written so many bytes; whether it was killed in time."""
    command = [*SHMCTX, *map(str, move.command(source))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            try:
                if grown(move) >= after:
                    process.kill()
                    break
            except FileNotFoundError:
                continue  # it was renamed meanwhile
        return process.wait(LIMIT) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait(LIMIT)


def test_a_move_that_is_killed_again_and_again_ends_as_one_that_is_not(move, source, whole, seed):
    """At random points of what is written, from the first byte to the renaming."""
    chance = random.Random(seed)
    total = source.stat().st_size
    kills = sum(killed(move, source, chance.randrange(total)) for _ in range(8))
    print(f"{kills} kills")
    assert kills > 0

    move.run(source)

    assert (move.events(), move.bad()) == whole
    move.verify(source)
    assert [path.name for path in move.db.parent.iterdir() if ".migrating" in path.name] == []


def test_a_move_that_was_killed_may_be_looked_at_only_when_it_is_whole(move, source, whole):
    """Neither the database nor the log has its name before it is complete."""
    assert killed(move, source, 300_000)

    assert not move.db.exists()
    assert not move.log.exists() or not any(move.log.iterdir())
    move.run(source)
    assert (move.events(), move.bad()) == whole


def test_two_moves_at_once_do_not_meet(move, source, whole):
    """One of them ends with an error and changes nothing, or finds that nothing is left to do."""
    command = [*SHMCTX, *map(str, move.command(source))]
    pipe = subprocess.PIPE
    both = [subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    said = [process.communicate(timeout=LIMIT) for process in both]

    codes = sorted(process.returncode for process in both)
    assert codes in ([5, 6], [5, 5]), said
    assert (move.events(), move.bad()) == whole


def test_an_interrupted_move_says_nothing_ugly_and_goes_on(move, source, whole):
    command = [*SHMCTX, *map(str, move.command(source))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and grown(move) < 200_000:
        pass
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LIMIT)

    assert process.returncode == 130
    assert "Traceback" not in said
    move.run(source)
    assert (move.events(), move.bad()) == whole


# ---- a full disk ----

ON_A_SMALL_DISK = """
    import json, subprocess, sys
    from pathlib import Path

    disk, source, *command = sys.argv[1:]
    before = Path(source).read_bytes()
    full = subprocess.run(command, capture_output=True, text=True)
    mid = sorted(path.name for path in Path(disk).rglob("*"))
    again = subprocess.run(command, capture_output=True, text=True)
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
    done = subprocess.run(command, capture_output=True, text=True)
    back = [sys.executable, "-m", "shmctx", "export", "--db", f"{disk}/contexts.db", "--to", f"{disk}/back.jsonl"]
    subprocess.run(back, check=True, capture_output=True)
    print(json.dumps({
        "full": [full.returncode, full.stdout, full.stderr],
        "names": mid,
        "again": again.returncode,
        "done": [done.returncode, done.stderr],
        "untouched": Path(source).read_bytes() == before,
        "back": [json.loads(line) for line in Path(f"{disk}/back.jsonl").read_bytes().splitlines()],
    }))
"""


def test_a_full_disk_is_told_and_the_move_goes_on_when_there_is_room(own_disk, source, whole, tmp_path):
    """1 MiB for some MB. The second try finds no more room than the first, and does no harm."""
    disk, run = own_disk
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(ON_A_SMALL_DISK))
    command = [*SHMCTX, "migrate", source, "--db", disk / "contexts.db", "--out", disk / "log", "--json"]

    told = json.loads(run("1m", program, disk, source, *command))

    code, out, said = told["full"]
    assert (code, out) == (1, "")
    assert said.startswith("Error: ")
    assert "Try: " in said
    assert "Traceback" not in said
    assert "contexts.db" not in told["names"]
    assert told["again"] == 1
    assert told["done"][0] == 5, told["done"]  # there are lines that are no events
    assert told["untouched"]
    assert told["back"] == whole[0]


# ---- places that are taken ----


def test_a_folder_that_is_not_empty_is_refused_and_not_touched(move, source):
    move.log.mkdir()
    (move.log / "notes.txt").write_text("mine")

    result = shmctx(*move.command(source))

    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("Error: ")
    assert "not empty" in result.err
    assert [(path.name, path.read_text()) for path in move.log.iterdir()] == [("notes.txt", "mine")]
    assert [path for path in move.db.parent.iterdir() if path != move.log and path.suffix != ".lock"] == []


def test_an_empty_folder_is_taken(move, tmp_path):
    move.log.mkdir()

    move.run(log_of(tmp_path / "log.jsonl", [event(0)]))

    assert move.events() == [event(0)]


def test_a_database_of_something_else_is_refused_and_not_touched(move, source):
    with contextlib.closing(sqlite3.connect(move.db)) as database:
        database.execute("CREATE TABLE mine (x)")
    before = move.db.read_bytes()

    result = shmctx(*move.command(source))

    assert result.code == 1
    assert result.err.startswith("Error: ")
    assert "Traceback" not in result.err
    assert move.db.read_bytes() == before


def test_a_file_in_the_place_of_the_folder_is_refused_and_not_touched(move, source):
    move.log.write_text("mine")

    result = shmctx(*move.command(source))

    assert result.code in (1, 2)
    assert result.err.startswith("Error: ")
    assert move.log.read_text() == "mine"
    assert not move.db.exists()


def test_a_log_inside_the_folder_that_is_read_is_not_read_again(tmp_path):
    """Somebody moves a folder of logs into itself: the second run must not find what the first wrote."""
    move = Move(tmp_path)
    logs = tmp_path / "logs"
    logs.mkdir()
    log_of(logs / "a.jsonl", [event(0), event(1)])
    move.log = logs / "lean"
    move.db = logs / "contexts.db"

    for _ in range(2):
        result = shmctx(*move.command(logs))
        assert "Traceback" not in result.err
        if result.code:  # refusing is as good
            assert result.err.startswith("Error: ")
            assert sorted(path.name for path in logs.glob("*.jsonl")) == ["a.jsonl"]
            return
    assert move.events() == [event(0), event(1)]


# ---- packed logs that are damaged ----


@pytest.mark.parametrize("packed", ["gzip", "zstd"])
def test_a_packed_log_that_was_cut_off_gives_what_comes_before(move, tmp_path, packed):
    events = [event(number) for number in range(2000)]
    text = b"".join(map(line, events))
    source = tmp_path / f"log.jsonl.{packed}"
    source.write_bytes(pack(packed, text)[:-500])

    move.run(source)

    stored = move.events()
    assert 0 < len(stored) < len(events)
    assert stored == events[: len(stored)]
    assert move.bad()

    source.write_bytes(pack(packed, text))
    move.run(source)
    assert move.events() == events


@pytest.mark.parametrize("packed", ["gzip", "zstd"])
def test_a_packed_log_with_a_changed_byte_gives_no_event_that_was_not_in_it(move, tmp_path, packed):
    events = [event(number) for number in range(2000)]
    damaged = bytearray(pack(packed, b"".join(map(line, events))))
    damaged[len(damaged) // 2] ^= 0x55
    source = tmp_path / f"log.jsonl.{packed}"
    source.write_bytes(damaged)

    move.run(source)

    stored = move.events()
    assert all(found in events for found in stored[: len(stored) - 50])
    assert move.bad()


@pytest.mark.parametrize("packed", ["", "gzip", "zstd"])
def test_standard_input_may_be_packed(move, packed):
    events = [event(number) for number in range(50)]

    move.run("-", stdin=pack(packed, b"".join(map(line, events))))

    assert move.events() == events


def pack(how, text):
    return gzip.compress(text) if how == "gzip" else zstd.compress(text) if how == "zstd" else text


def test_a_source_that_may_not_be_read_is_told(move, tmp_path):
    unreadable = tmp_path / "log.jsonl"
    unreadable.symlink_to("/proc/self/mem")

    result = shmctx(*move.command(unreadable))

    assert result.code == 1
    assert result.err.startswith("Error: ")
    assert os.fspath(unreadable) in result.err
    assert not move.db.exists()


def test_a_source_that_is_not_there_is_told(move, tmp_path):
    result = shmctx(*move.command(tmp_path / "nowhere.jsonl"))

    assert result.code in (1, 2)
    assert result.err.startswith("Error: ")
    assert not move.db.exists()
