"""Verification finds what is not as it was stored: rows, lines, large fields, places; and nothing where all is well."""

import random
import secrets

import pytest
from damaged import EVENTS, Files, flip, kinds, made, replace, truncate

from shmctx.errors import ColdMismatch, ColdUnavailable, ShmctxError
from shmctx.log.erase import FORGOTTEN
from shmctx.transfer.verify import contexts, verify

_original: list[Files] = []


@pytest.fixture
def original(segment_name, tmp_path_factory, wait_for) -> Files:
    """Files that no test changes, made by the first that asks."""
    if not _original:
        _original.append(made(segment_name, tmp_path_factory.mktemp("whole") / "store", wait_for))
    return _original[0]


@pytest.fixture
def files(original, tmp_path) -> Files:
    return original.copied(tmp_path / "copy")


def test_a_whole_store_has_no_problems(files):
    report = files.verify()
    assert report.ok, report.problems
    assert (report.problem_counts, report.note_counts) == ({}, {})
    assert report.counts["contexts"] == EVENTS
    assert report.counts["events"] == report.counts["lines"] == EVENTS * 4 // 6
    assert report.counts["annotations"] == EVENTS // 6
    assert report.counts["payloads"] == 4
    assert report.counts["sessions"] == 5
    assert report.counts["log_segments"] > 2


def test_looking_changes_nothing(files):
    before = {path: path.read_bytes() for path in files.database.parent.rglob("*") if path.is_file()}
    files.verify()
    after = {path: path.read_bytes() for path in before}
    assert after == before


WITH_DATA = "(SELECT position FROM record WHERE log_place IS NOT NULL ORDER BY position LIMIT 1 OFFSET 30)"
WITHOUT = "(SELECT position FROM record WHERE log_place IS NULL AND user_id IS NOT NULL LIMIT 1 OFFSET 9)"
LARGE = "(SELECT position FROM payload_use ORDER BY position LIMIT 1)"

ROWS = [
    (f"DELETE FROM record WHERE position = {WITH_DATA}", "rows_missing"),
    (f"DELETE FROM record WHERE position = {WITHOUT}", "rows_missing"),
    ("DELETE FROM record", "rows_missing"),
    ("DELETE FROM annotation WHERE position = (SELECT max(position) FROM annotation)", "rows_missing"),
    ("DELETE FROM session WHERE session_id = 'sess_2'", "session_missing"),
    ("DELETE FROM text WHERE value = 'tool:call'", "text_missing"),
    ("DELETE FROM text WHERE value = 'a-3'", "text_missing"),
    ("DELETE FROM payload WHERE id = 2", "payload_missing"),
    ("UPDATE payload SET data = x'' WHERE id = 2", "payload_missing"),
    (f"DELETE FROM payload_use WHERE position = {LARGE}", "payload_use_missing"),
    ("DELETE FROM span", "rows_unexpected"),
    ("DELETE FROM log_segment WHERE number = 2", "rows_unexpected"),
    ("INSERT INTO forgotten SELECT max(position) FROM record", "rows_unexpected"),
    ("INSERT INTO kept (position) SELECT max(position) + 1 FROM record", "rows_missing"),
    ("UPDATE store SET position = 9", "rows_unexpected"),
    ("UPDATE span SET max_ns = max_ns - 1", "span"),
]
CHANGES = [
    "time_ns = time_ns + 1",
    "depth = depth + 1",
    "parent = parent + 1",
    "correlation = correlation + 1",
    "root = root + 1",
    "event_id = 'evt_other'",
    "agent = 1",
    "client = 1",
    "session = session + 1",
    "user_id = 'user X'",
    "error = 'true'",
    "response_ref = 'elsewhere'",
    'extra = \'{"_custom":{"count":-1}}\'',
    "extra = NULL, user_id = NULL",
]


@pytest.mark.parametrize("damage, kind", ROWS)
def test_rows_that_are_missing_or_should_be(files, damage, kind):
    files.sql(damage)
    assert kind in kinds(files.verify())


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_column_of_a_context(files, change):
    files.sql(f"UPDATE record SET {change} WHERE position = {WITHOUT}")
    report = files.verify()
    assert kinds(report) & {"changed", "session_missing", "span"}
    assert report.problem_counts["changed"] == 1


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE annotation SET fields = '{}' WHERE position = (SELECT max(position) FROM annotation)",
        "UPDATE annotation SET time_ns = time_ns + 1 WHERE position = (SELECT max(position) FROM annotation)",
        "UPDATE annotation SET error = NULL WHERE position = (SELECT max(position) FROM annotation)",
        "UPDATE session SET extra = replace(extra, 'calm', 'cold') WHERE session_id = 'sess_1'",
        "UPDATE session SET agent_id = 'agent_9' WHERE session_id = 'sess_1'",
    ],
)
def test_a_changed_column_of_what_is_no_context(files, damage):
    files.sql(damage)
    assert files.verify().problem_counts == {"changed": 1}


@pytest.mark.parametrize(
    "shift, kinds_expected",
    [
        ("log_place + 1", {"line_missing"}),
        ("log_place + (1 << 40)", {"line_missing"}),
        ("-1", {"line_missing"}),
        (f"(SELECT log_place FROM record WHERE log_place IS NOT NULL AND position > {WITH_DATA} LIMIT 1)",
         {"line_foreign"}),
        ("NULL", {"changed", "rows_missing"}),
    ],
)  # fmt: skip
def test_a_wrong_offset(files, shift, kinds_expected):
    files.sql(f"UPDATE record SET log_place = {shift} WHERE position = {WITH_DATA}")
    report = files.verify()
    assert kinds_expected <= kinds(report)
    assert sum(finding.kind in ("line_missing", "line_foreign", "changed") for finding in report.problems) == 1


def test_a_changed_byte_of_a_large_field(files):
    [(data,)] = files.sql("SELECT data FROM payload WHERE id = 3")
    files.sql("UPDATE payload SET data = ? WHERE id = 3", data[:-9] + bytes([data[-9] ^ 4]) + data[-8:])
    assert files.verify().problem_counts == {"payload_damaged": 1}


def test_a_large_field_under_another_hash(files):
    files.sql("UPDATE payload SET hash = zeroblob(20) WHERE id = 3")
    assert {"payload_damaged", "payload_unneeded"} & kinds(files.verify())


def test_a_changed_letter_in_the_newest_file_of_the_log(files):
    replace(files.segment(-1), b"a line of some length", b"a lime of some length")
    report = files.verify()
    assert report.problem_counts == {"changed": 1}
    assert "line" in report.problems[0].detail


@pytest.mark.parametrize(
    "old, new, kind",
    [
        (b'"event_name":"tool:call"', b'"event_name":"tool:carl"', "changed"),
        (b'{"ref":"ctx_', b'{"ref":"ctx-', "line_foreign"),
        (b"}\n{", b"} {", "line_missing"),
        (b'{"ref"', b'["ref"', "line_foreign"),
        (b'"n":', b'"m":', "changed"),
    ],
)
def test_a_changed_line(files, old, new, kind):
    replace(files.segment(-1), old, new)
    assert kind in kinds(files.verify())


def test_a_blank_line_whose_row_is_there(files, monkeypatch):
    monkeypatch.setattr(contexts, "PATIENCE", 0.1)
    newest = files.segment(-1)
    line = newest.read_bytes().splitlines()[1]
    replace(newest, line, FORGOTTEN.ljust(len(line)))
    report = files.verify()
    assert report.problem_counts == {"line_blank": 1}
    assert line.startswith(b'{"ref":"%b"' % report.problems[0].where.encode())


def test_a_line_too_many(files):
    newest = files.segment(-1)
    lines = newest.read_bytes().splitlines(keepends=True)
    newest.write_bytes(b"".join([lines[0], *lines]))
    assert {"line_foreign", "line_missing"} & kinds(files.verify())


@pytest.mark.parametrize("fewer", [1, 40, 3000])
def test_a_truncated_log(files, fewer):
    truncate(files.segment(-1), fewer)
    report = files.verify()
    assert {"log_truncated", "line_missing"} <= kinds(report)


@pytest.mark.parametrize("fewer", [1, 40, 400])
def test_a_truncated_compressed_file(files, fewer):
    truncate(files.segment(0), fewer)
    assert {"log_damaged", "line_missing"} <= kinds(files.verify())


@pytest.mark.parametrize("index", [0, -1])
def test_a_file_of_the_log_that_is_gone(files, index):
    files.segment(index).unlink()
    assert {"log_missing", "line_missing"} <= kinds(files.verify())


def test_a_damaged_frame_is_named_and_what_lies_behind_it_is_looked_at(files):
    flip(files.segment(0), 60)
    replace(files.segment(-1), b"a line of some length", b"a lime of some length")
    report = files.verify()
    assert report.problem_counts["log_damaged"] == 1
    assert report.problem_counts["changed"] == 1


def test_a_log_of_another_store(files):
    (files.log / "store").write_text("123456\n")
    assert kinds(files.verify()) == {"log_foreign"}


def test_what_the_next_leader_cuts_off_is_no_problem(files):
    with files.segment(-1).open("ab") as newest:
        newest.write(b'{"ref":"ctx_0123456789abcdef","times')
    report = files.verify()
    assert report.ok
    assert report.note_counts == {"log_uncommitted": 1}


def test_any_byte_of_the_database_that_changes_what_it_says(original, files):
    """Pages, cells and columns alike: what a flipped bit changes is found, whatever SQLite's own check says of it."""
    dice = random.Random(seed := secrets.randbits(32))
    print(f"seed {seed}")
    whole, used = original.content(), [at for at, byte in enumerate(original.database.read_bytes()) if byte]
    harmful = 0
    for offset in dice.sample(used, 200):
        mask = 1 << dice.randrange(8)
        flip(files.database, offset, mask)
        if files.content() != whole:  # else it was a byte of an index
            harmful += 1
            assert _found(files), f"bit {mask} of byte {offset}"
        flip(files.database, offset, mask)
    assert harmful > 30
    assert files.verify().ok


def _found(files):
    try:
        return not files.verify().ok
    except ShmctxError:
        return True


def test_any_byte_of_the_log(original, files):
    dice = random.Random(seed := secrets.randbits(32))
    print(f"seed {seed}")
    whole = original.lines()
    for path in sorted(files.log.glob("0*")):
        for _ in range(30):
            offset, mask = dice.randrange(path.stat().st_size), 1 << dice.randrange(8)
            flip(path, offset, mask)
            assert files.lines() == whole or not files.verify().ok, f"bit {mask} of byte {offset} of {path.name}"
            flip(path, offset, mask)
    assert files.verify().ok


def test_a_table_with_another_column(files):
    replace(files.database, b"kept INTEGER NOT", b"kelt INTEGER NOT")
    assert "database" in kinds(files.verify())


def test_an_index_that_is_gone(files):
    files.sql("DROP INDEX record_by_parent")
    report = files.verify()
    assert report.problem_counts == {"database": 1}
    assert "record_by_parent" in report.problems[0].where


def test_rows_from_before_there_were_checksums_are_told(files):
    files.sql("UPDATE record SET checksum = NULL")
    report = files.verify()
    assert report.ok
    assert report.note_counts == {"unchecked": EVENTS}
    replace(files.segment(-1), b'"event_name":"tool:call"', b'"event_name":"tool:carl"')
    assert kinds(files.verify()) == {"changed"}


def test_parents_that_are_nowhere_are_listed(stores):
    store = stores.open()
    refs = [store.put("agent:status", parent_event_id=f"evt_{number:08x}") for number in range(3)]
    store.flush()
    report = verify(stores.database)
    assert report.ok
    assert [(note.kind, note.where) for note in report.notes] == [("parent_missing", ref) for ref in refs]
    assert "evt_00000001" in report.notes[1].detail


def test_data_that_looks_like_a_reference_to_a_large_field_is_data(stores):
    store = stores.open()
    store.put("a", data={"x": {"$payload": "00" * 20, "size": 5}})
    store.flush()
    assert verify(stores.database).ok


def test_findings_of_a_kind_are_counted_and_the_first_are_listed(files):
    files.sql("UPDATE record SET depth = depth + 1")
    report = files.verify(listed=7)
    assert report.problem_counts == {"changed": EVENTS}
    assert len(report.problems) == 7


def test_an_older_schema_is_refused_with_what_to_do(files):
    files.sql("PRAGMA user_version = 4")
    with pytest.raises(ColdMismatch, match="prune"):
        files.verify()


def test_there_is_no_database(tmp_path):
    with pytest.raises(ColdUnavailable):
        verify(tmp_path / "none.db")
