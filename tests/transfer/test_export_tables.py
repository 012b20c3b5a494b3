"""Exports with columns: CSV, SQLite without anything of shmctx, Parquet."""

import contextlib
import csv
import datetime as dt
import io
import json
import sqlite3

import msgspec
import pytest

import shmctx
from shmctx.transfer import writers
from shmctx.transfer.embedding import Embedded, wire
from shmctx.transfer.export import export, from_database

TIME = 1795331471.5404649


@pytest.fixture
def events(stores):
    """Events of every kind, drained; the store is closed."""
    session = {"id": "s-1", "é": 'a "quoted", text'}
    with stores.open() as store:
        store.put("first", data={"text": 'line\nand "quotes", é\u2028\r\n', "n": 1}, agent_id="a,b", session=session)
        store.put("bare", timestamp=TIME, _custom=[1, None])
        store.put("brought", data={}, event_id="evt_0badcafe", parent_event_id="p", correlation_id="corr_1", depth=7)
        for number in range(2500):
            store.put("many", data={"n": number, "prompt": "x" * 2000}, agent_id=f"agent{number % 3}")
        store.flush()
        return [(event.context.position, event, wire(event.context)) for event in store.events(store.query())]


@pytest.fixture
def table(stores, events, tmp_path):
    """`table("csv")`: the path of an export, checked to be whole."""

    def run(form):
        target = tmp_path / f"out.{form}"
        with contextlib.closing(from_database(stores.database)) as leaving:
            report = export(leaving, target, form)
        assert (report.events, report.whole, report.form) == (len(events), True, form)
        return target

    return run


def rows(events):
    """What the columns should hold, texts parsed."""
    return [
        (
            position, context["_ref"], context["_event_id"], event.event_name, event.timestamp,
            context["_correlation_id"], context.get("_parent_event_id"), context.get("_root_event_id"),
            context["_event_depth"], context.get("_agent_id"), context.get("_client_id"),
            context.get("_session", {}).get("id"), event.data, context,
        )
        for position, event, context in events
    ]  # fmt: skip


def parsed(row):
    *plain, data, context = row
    return (*plain, json.loads(data) if data else None, json.loads(context))


def test_csv_is_read_by_any_reader(table, events):
    with table("csv").open(newline="", encoding="utf-8") as file:
        header, *found = csv.reader(file)

    assert tuple(header) == writers.COLUMNS
    told = [tuple("" if value is None else value for value in row[:-2]) + row[-2:] for row in rows(events)]
    assert [parsed((int(row[0]), *row[1:4], float(row[4]), *row[5:8], int(row[8]), *row[9:])) for row in found] == told


def test_sqlite_has_one_table_of_its_own(table, events):
    with contextlib.closing(sqlite3.connect(table("sqlite"))) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        found = database.execute("SELECT * FROM event ORDER BY position").fetchall()
        check = database.execute("PRAGMA integrity_check").fetchall()
        plan = database.execute("EXPLAIN QUERY PLAN SELECT * FROM event WHERE agent_id = 'x'").fetchall()

    assert (tables, check) == ([("event",)], [("ok",)])
    assert [parsed(row) for row in found] == rows(events)
    assert "event_by_agent_id" in plan[0][3]


def test_parquet_has_types(table, events):
    parquet = pytest.importorskip("pyarrow.parquet")
    found = parquet.read_table(table("parquet"))
    at = writers.COLUMNS.index("timestamp")

    assert tuple(found.column_names) == writers.COLUMNS
    assert str(found.schema.field("timestamp").type) == "timestamp[us, tz=UTC]"
    told = [list(row) for row in rows(events)]
    for row in told:
        row[at] = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=round(row[at] * 1e6))
    assert [list(parsed(row.values())) for row in found.to_pylist()] == told


def test_parquet_without_its_extra_says_what_to_install(stores, events, tmp_path, spawn):
    program = spawn(
        """
        import sys
        from pathlib import Path
        sys.modules["pyarrow"] = None  # as if it were not installed
        from shmctx.errors import TransferError
        from shmctx.transfer.export import export, from_database
        try:
            export(from_database(Path(sys.argv[1])), Path(sys.argv[2]), "parquet")
        except TransferError as error:
            print(error.message, error.hint)
        """,
        stores.database,
        tmp_path / "out.parquet",
    )

    assert "shmctx[parquet]" in program.finish()[0]
    assert list(tmp_path.glob("out*")) == []


@pytest.mark.parametrize("raw", [b'"2026-01-31T12:00:00Z"', b"null", b"-5", b"1e300", b"true", b"{}"])
def test_a_line_whose_time_is_no_number_of_seconds_has_the_context_s_in_columns(raw):
    context = b'{"_ref":"r","_event_id":"e","_correlation_id":"c","_event_depth":0}'
    event = Embedded(1, 1_500_000_000, msgspec.Raw(raw), msgspec.Raw(b'"n"'), context, None)

    assert dict(zip(writers.COLUMNS, writers.row(event), strict=True))["timestamp"] == 1.5


def test_what_a_stream_got_is_flushed_and_the_stream_stays_open(stores, events):
    for form in writers.STREAMED:
        stream = io.BytesIO()
        with contextlib.closing(from_database(stores.database)) as leaving:
            report = export(leaving, stream, form, {"agent_id": "agent1"})

        lines = stream.getvalue().decode().splitlines()
        assert report.events == 833 == len(lines) - (form == "csv")


@pytest.mark.parametrize(
    "name, form",
    [
        ("a.jsonl", "jsonl"), ("a.b.jsonl.gz", "jsonl"), ("a.csv.zst", "csv"), ("a.db", "sqlite"),
        ("a.parquet", "parquet"), ("A.CSV", "csv"),
    ],
)  # fmt: skip
def test_the_ending_of_a_name_says_the_form(tmp_path, name, form):
    assert writers.form_of(tmp_path / name) == form


@pytest.mark.parametrize("name", ["a", "a.txt", "a.gz", ".jsonl"])
def test_an_ending_that_says_nothing_is_refused(tmp_path, name):
    with pytest.raises(shmctx.InvalidField, match="does not say"):
        writers.form_of(tmp_path / name)
