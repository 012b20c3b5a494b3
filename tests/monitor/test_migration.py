"""Errors in databases from before they were told apart."""

import sqlite3

import msgspec

from shmctx.cold import schema
from shmctx.records import packed, says_error

FIELDS = [
    {"error": True}, {"error": False}, {"error": 0}, {"error": "late"}, {"error": {"code": 5}}, {"error": []},
    {"error_type": "E"}, {"error_message": ""}, {"_duration_ms": 1.5}, {"_error_type": "E", "response_ref": "error"},
    {"error": False, "error_type": "E"},
]  # fmt: skip


def test_annotations_of_an_older_database_are_told_apart_as_new_ones_are():
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.create_function("packed", 2, packed, deterministic=True)
    for number, step in enumerate(schema.MIGRATIONS[:2]):
        database.executescript(f"BEGIN; {step} PRAGMA user_version = {number + 1}; COMMIT;")
    rows = [(number, 1, 1, msgspec.json.encode(fields).decode()) for number, fields in enumerate(FIELDS)]
    database.executemany("INSERT INTO annotation VALUES (?, ?, ?, ?)", rows)

    schema.migrate(database, ":memory:")
    told = [row[0] == 1 for row in database.execute("SELECT error FROM annotation ORDER BY position")]
    database.close()

    assert told == [says_error(fields) for fields in FIELDS]
    assert True in told
    assert False in told
