"""What of a database is not a context: SQLite's own structures, sessions, annotations, large fields, the rest."""

import contextlib
import sqlite3

from shmctx.cold import schema
from shmctx.cold.checksums import proven
from shmctx.cold.rows import Row, payload_from_column
from shmctx.payloads import digest
from shmctx.refs import make_ref
from shmctx.transfer.verify.report import Notebook
from shmctx.transfer.verify.snapshot import Database

_SESSIONS = "SELECT * FROM session WHERE position > ? ORDER BY position LIMIT ?"
_ANNOTATIONS = "SELECT * FROM annotation WHERE position > ? ORDER BY position LIMIT ?"
_PAYLOADS = (
    "SELECT id, hash, data, EXISTS (SELECT 1 FROM payload_use AS u JOIN record AS r ON r.position = u.position "
    "WHERE u.payload = payload.id) FROM payload WHERE id > ? ORDER BY id LIMIT ?"
)
_SHAPE = (
    "SELECT 'table', s.name, c.name, c.cid, c.type, c.pk, c.\"notnull\" FROM sqlite_schema AS s, "
    "pragma_table_info(s.name) AS c WHERE s.type = 'table' UNION ALL "
    "SELECT 'index', s.name, c.name, c.seqno, s.tbl_name, 0, 0 FROM sqlite_schema AS s, "
    "pragma_index_info(s.name) AS c WHERE s.type = 'index' AND s.sql IS NOT NULL"
)
_LARGE = 8
"""Large fields read at once: each may have 16 MiB."""


def check_structure(database: Database, book: Notebook) -> None:
    """PRAGMA integrity_check: pages, order, and that every index says what its table does; and that tables and indexes
    have the columns that they are to have."""
    try:
        shape = set(database.ask(_SHAPE))
        for kind, name, column, *_ in sorted(_wanted() - shape):
            book.problem("database", f"{kind} {name}", f"It lacks the column {column}, or has another in its place.")
        for (message,) in database.ask("PRAGMA integrity_check"):
            if message != "ok":
                book.problem("database", str(database.path), message)
    except sqlite3.DatabaseError as error:
        book.problem("database", str(database.path), str(error))


def _wanted() -> set[Row]:
    """The columns of a new database."""
    with contextlib.closing(sqlite3.connect(":memory:")) as made:
        schema.migrate(made, "memory")
        return set(made.execute(_SHAPE))


def check_tables(database: Database, book: Notebook) -> None:
    """Everything besides contexts, table by table."""
    for rows in database.pages(_SESSIONS):
        _checksums(rows, "sessions", book)
    for rows in database.pages(_ANNOTATIONS):
        _checksums(rows, "annotations", book)
    _annotations(database, book)
    for rows in database.pages(_PAYLOADS, _LARGE):
        for row in rows:
            _payload(row, book)
    store_id = database.store().store_id
    for (position,) in database.numbers(
        "SELECT position FROM kept WHERE position NOT IN (SELECT position FROM record) LIMIT 100"
    ):
        book.problem("rows_missing", make_ref(store_id, position), "It is to be kept, and not there.")
    for (position,) in database.numbers("SELECT position FROM forgotten NATURAL JOIN record LIMIT 100"):
        book.problem("rows_unexpected", make_ref(store_id, position), "It was forgotten, and is there.")
    quarantined = book.counts["quarantined"] = database.ask("SELECT count(*) FROM quarantine")[0][0]
    if quarantined:
        book.note(
            "quarantine", "table quarantine", f"{quarantined} records could not be stored when they were drained."
        )


def _checksums(rows: list[Row], table: str, book: Notebook) -> None:
    for row in rows:
        book.counts[table] += 1
        where = f"{table[:-1]} at position {row[0]}"
        if row[-1] is None:
            book.note("unchecked", where, "Stored before rows had checksums.")
        elif not proven(row[:-1], row[-1]):
            book.problem("changed", where, "Its row is not what was drained: the checksum is another one.")


def _annotations(database: Database, book: Notebook) -> None:
    there, expected = database.numbers("SELECT count(*), (SELECT annotations FROM store) FROM annotation")[0]
    if there != expected:
        kind = "rows_missing" if there < expected else "rows_unexpected"
        book.problem(kind, "table annotation", f"It has {there} rows; {expected} were stored and not removed.")


def _payload(row: Row, book: Notebook) -> None:
    which, known, data, used = row
    book.counts["payloads"] += 1
    if type(known) is not bytes or type(data) is not bytes:
        book.problem("payload_damaged", f"payload {which}", "Its row holds what it cannot hold.")
        return
    if not data:  # promised to an event; gone again where the event was forgotten meanwhile
        if used:
            book.problem("payload_missing", f"payload {which}", f"The large field {known.hex()} has no data.")
        return
    field = payload_from_column(data)
    if field is None or digest(field) != known:
        book.problem("payload_damaged", f"payload {which}", f"Its data is not what its hash {known.hex()} names.")
