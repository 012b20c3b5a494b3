"""Sources as they really are: cut off, broken, enormous, contradictory. Of every line there is an event in the store,
equal to it, or a line that says where it was and why it is no event; everything around it comes in.
"""

import gzip
import json
import subprocess
import sys
import textwrap

import pytest
from moving import BEGIN, Move, event, line, log_of

MiB = 1 << 20


@pytest.fixture
def move(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    return Move(folder)


def good(*numbers):
    return [event(number) for number in numbers]


# ---- lines that are no events ----


def test_a_log_that_ends_within_a_line(move, tmp_path):
    """As after a crash of who wrote it."""
    source = log_of(tmp_path / "cut.jsonl", [*good(0, 1, 2), line(event(3))[:100]])

    counts = move.run(source).counts

    assert (counts["stored"], counts["bad"]) == (3, 1)
    assert move.events() == good(0, 1, 2)
    ((number, reason),) = move.bad()
    assert number == 4
    assert "ends within" in reason


@pytest.mark.parametrize("cut", [1, 100, -2])
def test_a_line_that_was_cut_off_comes_in_when_it_is_whole(move, tmp_path, cut):
    """The next run takes it, and takes no other event twice, whether events have ids or not."""
    events = [*good(0, 1), {"timestamp": BEGIN, "event_name": "no:id", "data": {"x": 1}}, event(3)]
    source = log_of(tmp_path / "growing.jsonl", [*events[:3], line(events[3])[:cut]])
    move.run(source)
    log_of(source, [*events, event(4)])

    move.run(source)

    assert move.events() == [*events, event(4)]


def test_what_is_written_behind_a_whole_last_line_without_a_newline_comes_in(move, tmp_path):
    """As by two writers, of which one forgot the newline."""
    source = log_of(tmp_path / "growing.jsonl", [event(0), line(event(1))[:-1]])
    move.run(source)
    with source.open("ab") as file:
        file.write(line(event(2)) + line(event(3)))

    assert move.run(source).counts["bad"] == 0
    assert move.events() == good(0, 1, 2, 3)


def test_a_log_without_a_last_newline_is_whole(move, tmp_path):
    source = log_of(tmp_path / "log.jsonl", [event(0), line(event(1))[:-1]])

    assert move.run(source).counts["bad"] == 0
    assert move.events() == good(0, 1)


NO_EVENTS = {
    "broken JSON": b'{"event_name": "a:b", "data": {"x": }}\n',
    "two values": b'{"event_name": "a:b"} {"event_name": "c:d"}\n',
    "no JSON": b"Traceback (most recent call last):\n",
    "a list": b'["event_name", "a:b"]\n',
    "a number": b"42\n",
    "null": b"null\n",
    "no name": b'{"timestamp": 1753156000.0, "data": {"x": 1}}\n',
    "a name that is a number": b'{"event_name": 5, "data": {}}\n',
    "data that is a list": b'{"event_name": "a:b", "data": [1, 2]}\n',
    "data that is text": b'{"event_name": "a:b", "data": "x"}\n',
    "invalid UTF-8 in a value": b'{"event_name": "a:b", "data": {"x": "\xff\xfe"}}\n',
    "invalid UTF-8 in a key": b'{"event_name": "a:b", "data": {"\xc3": 1}}\n',
    "invalid UTF-8 in the name": b'{"event_name": "a:\x80", "data": {}}\n',
    "UTF-16": '{"event_name": "a:b"}'.encode("utf-16") + b"\n",
    "zeros, as after a power cut": b"\0" * 4096 + b"\n",
    "an escape that is no character": b'{"event_name": "a:b", "data": {"x": "\\ud800"}}\n',
    "a number beyond all bounds": b'{"event_name": "a:b", "data": {"x": 1' + b"0" * 400 + b"}}\n",
    "levels without end": b'{"event_name": "a:b", "data": ' + b'{"x":' * 100_000 + b"1" + b"}" * 100_000 + b"}\n",
    "lists without end": b'{"event_name": "a:b", "data": {"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}\n",
    "a context that is a list": b'{"event_name": "a:b", "data": {"_ksi_context": ["evt_1"]}}\n',
    "a context that is a number": b'{"event_name": "a:b", "data": {"_ksi_context": 7}}\n',
    "a context that is text": b'{"event_name": "a:b", "data": {"_ksi_context": "evt_1"}}\n',
    "a name of 1 MiB": b'{"event_name": "' + b"n" * MiB + b'", "data": {}}\n',
}


def test_a_line_that_is_no_event_is_put_aside_or_comes_back_as_it_was(move, tmp_path):
    """Each between good ones, which all come in."""
    events = good(*range(len(NO_EVENTS) + 1))
    mixed = [item for pair in zip(events, NO_EVENTS.values(), strict=False) for item in pair]
    source = log_of(tmp_path / "log.jsonl", [*mixed, events[-1]])

    counts = move.run(source).counts

    aside = {list(NO_EVENTS)[number // 2 - 1]: reason for number, reason in move.bad()}
    back = move.events()
    kept = [found for found in back if found not in events]
    assert [found for found in back if found in events] == events
    assert all(aside.values())
    assert kept == [json.loads(text) for name, text in NO_EVENTS.items() if name not in aside]
    assert counts["bad"] == len(aside) > 15
    move.verify()


def test_empty_lines_are_nothing(move, tmp_path):
    source = log_of(tmp_path / "log.jsonl", [b"\n", event(0), b"  \t\r\n", event(1), b"\n\n"])

    assert move.run(source).counts["bad"] == 0
    assert move.events() == good(0, 1)


def test_lines_that_end_as_on_windows(move, tmp_path):
    source = log_of(tmp_path / "log.jsonl", [line(event(number))[:-1] + b"\r\n" for number in range(3)])

    assert move.run(source).counts["bad"] == 0
    assert move.events() == good(0, 1, 2)


# ---- lines of 50 MB ----

MEASURED = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "shmctx", *sys.argv[1:]], stdout=subprocess.DEVNULL)
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.parametrize("ends", [True, False])
def test_a_line_of_50_megabytes_is_put_aside_and_not_held_in_memory(move, tmp_path, spawn, ends):
    size = 50 * MiB
    source = tmp_path / "log.jsonl"
    with source.open("wb") as file:
        file.write(line(event(0)))
        file.write(b'{"event_name": "a:b", "data": {"text": "' + b"x" * size)
        file.write(b'"}}\n' + line(event(2)) if ends else b"")

    code, peak = map(int, spawn(MEASURED, *move.command(source)).line(60).split())

    assert code == 5
    assert move.events() == (good(0, 2) if ends else good(0))
    assert [number for number, _ in move.bad()] == [2]
    # A log of two lines takes some 60 MiB; a line that is read takes up to 16 MiB, some times over.
    assert peak < 160 * 1024, f"{peak} KiB"
    assert sum(path.stat().st_size for path in move.log.iterdir()) < MiB


def test_a_line_that_a_record_can_just_hold_comes_in(move, tmp_path):
    large = event(1)
    large["data"]["text"] = "x" * (12 * MiB)
    source = log_of(tmp_path / "log.jsonl", [event(0), large, event(2)])

    assert move.run(source).counts["bad"] == 0
    assert move.events() == [event(0), large, event(2)]


def test_a_compressed_bomb_takes_no_memory(move, tmp_path, spawn):
    """A line of 1 GiB in 1 MiB of gzip."""
    source = tmp_path / "log.jsonl.gz"
    with gzip.open(source, "wb", compresslevel=1) as file:
        file.write(line(event(0)))
        for _ in range(256):
            file.write(b"\0" * (4 * MiB))
        file.write(b"\n" + line(event(2)))

    code, peak = map(int, spawn(MEASURED, *move.command(source)).line(80).split())

    assert code == 5
    assert move.events() == good(0, 2)
    assert peak < 160 * 1024, f"{peak} KiB"


# ---- contexts that are none ----

NO_CONTEXTS = {
    "missing": {"number": 1},
    "null": {"number": 1, "_ksi_context": None},
    "empty": {"number": 1, "_ksi_context": {}},
    "a ref that leads nowhere": {"number": 1, "_ksi_context": "ctx_evt_99999999"},
    "an empty text": {"number": 1, "_ksi_context": ""},
    "an id that is a number": {"number": 1, "_ksi_context": {"_event_id": 12345}},
    "an id that is empty": {"number": 1, "_ksi_context": {"_event_id": ""}},
    "an id of 1 KiB": {"number": 1, "_ksi_context": {"_event_id": "e" * 1024}},
    "an id with a NUL": {"number": 1, "_ksi_context": {"_event_id": "evt\0"}},
    "a parent that is a list": {"number": 1, "_ksi_context": {"_event_id": "evt_odd1", "_parent_event_id": ["evt_0"]}},
    "a negative depth": {"number": 1, "_ksi_context": {"_event_id": "evt_odd2", "_event_depth": -1}},
    "an enormous depth": {"number": 1, "_ksi_context": {"_event_id": "evt_odd3", "_event_depth": 10**30}},
    "a depth that is text": {"number": 1, "_ksi_context": {"_event_id": "evt_odd4", "_event_depth": "3"}},
    "an agent that is a dict": {"number": 1, "_ksi_context": {"_event_id": "evt_odd5", "_agent_id": {"id": 3}}},
    "a session without id": {"number": 1, "_ksi_context": {"_event_id": "evt_odd6", "_session": {"x": 1}}},
    "a field without a name": {"number": 1, "_ksi_context": {"_event_id": "evt_odd7", "": 1, "_": 2}},
    "fields without underscore": {"number": 1, "_ksi_context": {"_event_id": "evt_odd8", "event_id": "other"}},
    "deep custom fields": {"number": 1, "_ksi_context": {"_event_id": "evt_odd9", "_deep": [[[[[[{"x": [None]}]]]]]]}},
}


def test_a_context_that_is_none_takes_nothing_away_from_its_event(move, tmp_path):
    """Each event comes back with just what it had."""
    odd = {
        name: {"timestamp": BEGIN + number, "event_name": "odd:context", "data": {"case": name, **data}}
        for number, (name, data) in enumerate(NO_CONTEXTS.items())
    }
    source = log_of(tmp_path / "log.jsonl", [event(0), *odd.values(), event(2)])

    move.run(source)

    assert move.bad() == []
    first, *back, last = move.events()
    assert [first, last] == good(0, 2)
    assert {found["data"]["case"]: found for found in back} == odd
    move.verify(source)


# ---- ids and parents ----


def test_the_same_event_twice_is_stored_once(move, tmp_path):
    """In one file, in two, and in another run."""
    one = log_of(tmp_path / "one.jsonl", [event(0), event(1), event(0)])
    two = log_of(tmp_path / "two.jsonl", [event(1), event(2)])

    first = move.run(one, two).counts
    move.run(one, two)
    move.run(log_of(tmp_path / "three.jsonl", [event(2), event(0)]))

    assert (first["stored"], first["duplicates"]) == (3, 2)
    assert move.events() == good(0, 1, 2)


def test_an_id_used_twice_for_different_events_is_reported_and_loses_neither(move, tmp_path):
    other = event(0, _agent_id="somebody-else")
    third = event(0) | {"event_name": "quite:different"}
    source = log_of(tmp_path / "log.jsonl", [event(0), other, event(1), third])

    counts = move.run(source).counts

    assert (counts["stored"], counts["reused"], counts["duplicates"]) == (4, 2, 0)
    assert move.events() == [event(0), other, event(1), third]
    places = [place for place, told in counts["examples"]["reused"] if "evt_00000000" in told]
    assert [place.rpartition(":")[2] for place in places] == ["2", "4"]


def test_cycles_of_parents_end(move, tmp_path, segment_name):
    """An event that caused itself, two that caused each other, and a ring of fifty."""
    ring = [event(100 + at, _parent_event_id=f"evt_{100 + (at + 1) % 50:08x}") for at in range(50)]
    pair = [event(1, _parent_event_id="evt_00000002"), event(2, _parent_event_id="evt_00000001")]
    events = [event(0, _parent_event_id="evt_00000000"), *pair, *ring]
    source = log_of(tmp_path / "log.jsonl", events)

    report = move.run(source).report

    assert (report["counts"]["stored"], report["orphans"]) == (len(events), 0)
    assert move.events() == events
    move.verify(source)
    program = f"""
        import shmctx

        with shmctx.open({segment_name!r}, db={str(move.db)!r}, log={str(move.log)!r}) as store:
            print(len(store.ancestors("evt_00000064")), len(store.descendants("evt_00000064")))
            print(len(store.ancestors("evt_00000000")), len(store.descendants("evt_00000001")))
    """
    done = shmctx_python(program)
    assert [list(map(int, text.split())) for text in done.splitlines()] == [[49, 49], [0, 1]]


def test_parents_that_come_later_or_never_are_linked_or_reported(move, tmp_path, segment_name):
    late = event(0, _parent_event_id="evt_00000009")
    orphan = event(1, _parent_event_id="evt_deadbeef")
    source = log_of(tmp_path / "log.jsonl", [late, orphan, event(9)])

    report = move.run(source).report

    assert (report["orphans"], report["orphan_examples"]) == (1, ["evt_deadbeef"])
    done = shmctx_python(f"""
        import shmctx

        with shmctx.open({segment_name!r}, db={str(move.db)!r}, log={str(move.log)!r}) as store:
            print([context.event_id for context in store.ancestors("evt_00000000")])
            print([context.event_id for context in store.ancestors("evt_00000001")])
    """)
    assert done.splitlines() == ["['evt_00000009']", "[]"]


def shmctx_python(program):
    """What a program prints."""
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
