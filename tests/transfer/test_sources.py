"""What is read, in every form and from every place."""

import gzip
import sqlite3
import sys

import pytest
from moving import BEGIN, event, ksi_database, line, log_of

from shmctx.errors import SourceUnreadable
from shmctx.transfer import lines, sources
from shmctx.transfer.forms import nanoseconds
from shmctx.transfer.ksi_database import CHUNK

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BEGIN_NS = int(BEGIN) * 10**9
CONTEXT = {"_event_id": "evt_1", "_event_timestamp": BEGIN, "_correlation_id": "corr_1", "_agent_id": "a-7"}


def read(*paths):
    return list(sources.read(paths))


def numbers(*paths):
    return [found.data["number"] for found in read(*paths)]


def only(tmp_path, value):
    (found,) = read(log_of(tmp_path / "log.jsonl", [value]))
    return found


# ---- forms ----


@pytest.mark.parametrize(
    "value,form,data,envelope",
    [
        ({"data": {"x": 1, "_ksi_context": CONTEXT}}, "embedded", {"x": 1}, {}),
        ({"data": {"x": 1}, "_ksi_context": CONTEXT, "level": 3}, "embedded", {"x": 1}, {"level": 3}),
        ({"data": {"x": 1} | CONTEXT}, "flat", {"x": 1}, {}),
        ({"data": {"x": 1}} | CONTEXT, "flat", {"x": 1}, {}),
        ({"data": {"x": 1, "agent_id": "mine"}, **{name[1:]: value for name, value in CONTEXT.items()
                                                   if name != "_event_timestamp"}, "timestamp": BEGIN},
         "flat", {"x": 1, "agent_id": "mine"}, {"timestamp": BEGIN}),
    ],
    ids=["in the data", "at the root", "flat in the data", "flat at the root", "at the root without underscore"],
)  # fmt: skip
def test_every_form_gives_the_same_event(tmp_path, value, form, data, envelope):
    found = only(tmp_path, {"event_name": "a:b", **value})

    assert (found.event_name, found.form, found.data, found.envelope) == ("a:b", form, data, envelope)
    assert {**CONTEXT, **found.context} == CONTEXT
    assert found.time_ns == BEGIN_NS


@pytest.mark.parametrize(
    "name,inside",
    [
        *((name, False) for name in ("_context_ref", "context_ref", "ref", "_ksi_context_ref", "_ksi_context")),
        *((name, True) for name in ("_context_ref", "_ksi_context_ref", "_ksi_context")),
    ],
)
def test_a_reference_is_looked_up_wherever_it_stands(tmp_path, name, inside):
    database = ksi_database(tmp_path / "contexts.db", [CONTEXT])
    place = {"data": {"x": 1, name: "ctx_evt_1"}} if inside else {"data": {"x": 1}, name: "ctx_evt_1"}
    log = log_of(tmp_path / "lean.jsonl", [{"event_name": "a:b", "timestamp": 5.0, **place}])

    lean, alone = read(log, database)

    assert (lean.form, lean.context, lean.data, lean.envelope) == ("lean", CONTEXT, {"x": 1}, {"timestamp": 5.0})
    assert lean.time_ns == BEGIN_NS
    assert (alone.form, alone.data, alone.context) == ("context", None, CONTEXT)


def test_many_references_keep_the_order_of_the_log(tmp_path):
    contexts = [{**CONTEXT, "_event_id": f"evt_{number}"} for number in range(3 * CHUNK)]
    database = ksi_database(tmp_path / "contexts.db", contexts)
    log = [
        event(number)
        if number % 7 == 0
        else {"event_name": "a:b", "data": {"number": number}, "ref": f"ctx_evt_{number}"}
        for number in range(3 * CHUNK)
    ]

    found = read(log_of(tmp_path / "log.jsonl", log), database)

    assert [event.data["number"] for event in found if event.form != "context"] == list(range(3 * CHUNK))
    assert all(event.context["_event_id"] == f"evt_{event.data['number']}" for event in found if event.form == "lean")
    assert sum(event.form == "context" for event in found) == 3 * CHUNK


def test_contexts_of_a_database_are_named_by_its_events(tmp_path):
    """One that is no JSON object is a bad line, which names the row."""
    rows = [("evt_1", "agent:spawn", 7.0, "ctx_evt_1")]
    named, bad = read(ksi_database(tmp_path / "contexts.db", [CONTEXT, "[1, 2"], rows))

    assert (named.event_name, named.time_ns) == ("agent:spawn", BEGIN_NS)
    assert isinstance(bad, sources.BadLine)
    assert (bad.line, bad.raw) == (2, b"[1, 2")
    assert "ctx_evt_broken" in bad.reason


# ---- times ----


@pytest.mark.parametrize(
    "moment,expected",
    [
        (1753156000, 1753156000 * 10**9),
        (1753156000.25, 1753156000_250000000),
        (1753156000250, 1753156000_250000000),
        (1753156000250.5, 1753156000_250500000),
        (1753156000250500, 1753156000_250500000),
        (1753156000250500123, 1753156000_250500123),
        ("2025-07-22T03:46:40Z", 1753156000 * 10**9),
        ("2025-07-22T05:46:40.5+02:00", 1753156000_500000000),
        ("2025-07-22 03:46:40", 1753156000 * 10**9),
        ("1753156000.5", 1753156000_500000000),
        (0, None),
        (-5, None),
        (True, None),
        ("soon", None),
        (None, None),
        ([1753156000], None),
        (1e300, None),
        (10**40, None),
    ],
)
def test_times_of_every_unit(moment, expected):
    assert nanoseconds(moment) == expected


# ---- places ----


def test_days_of_a_folder_come_in_order_packed_or_not(tmp_path):
    """What is no log is left alone, and links are not followed: they may lead in circles."""
    folder = tmp_path / "logs"
    for day in ("2025-07-21", "2025-07-22", "2025-07-23"):
        (folder / day).mkdir(parents=True)
    (folder / "2025-07-21" / "events.jsonl").write_bytes(line(event(1)))
    (folder / "2025-07-22" / "events.jsonl.gz").write_bytes(gzip.compress(line(event(2))))
    (folder / "2025-07-23" / "events.jsonl.zst").write_bytes(zstd.compress(line(event(3))))
    (folder / "2025-07-23" / "notes.txt").write_text("no log")
    (folder / "2025-07-23" / ".hidden.jsonl").write_text("no log")
    (folder / "current.jsonl").symlink_to(folder / "2025-07-21" / "events.jsonl")
    (folder / "around").symlink_to(folder)

    assert numbers(folder) == [1, 2, 3]


def test_how_a_file_is_packed_is_told_by_how_it_begins(tmp_path):
    misnamed = tmp_path / "plain.jsonl"
    misnamed.write_bytes(gzip.compress(line(event(1))) + gzip.compress(line(event(2))))
    framed = tmp_path / "frames"
    framed.write_bytes(zstd.compress(line(event(3))) + zstd.compress(line(event(4))))

    assert numbers(misnamed, framed) == [1, 2, 3, 4]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress])
def test_reading_goes_on_where_it_was(tmp_path, pack):
    """At every line's end, with the number that the line has in the file."""
    text = b"".join(line(event(number)) for number in range(20))
    path = tmp_path / "log"
    path.write_bytes(pack(text))
    every = list(lines.read(path))

    for index, found in enumerate(every):
        assert list(lines.read(path, found.end)) == every[index + 1 :]
    assert every[-1].end == len(text)


@pytest.mark.parametrize("missing", ["not-there.jsonl", "empty"])
def test_what_cannot_be_read_is_told(tmp_path, missing):
    (tmp_path / "empty").mkdir()

    with pytest.raises(SourceUnreadable):
        read(tmp_path / missing)


def test_a_database_of_somebody_else_is_no_source(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (x)")
    db.close()

    with pytest.raises(SourceUnreadable, match="no database of KSI"):
        read(path)
