"""The database's tables, numbered migrations, and the view that shows them under their public names.

Typed columns throughout: a person with the sqlite3 shell can read everything; only what an application made up itself
is JSON. `position` is the rowid, so inserts append at the right edge and a look-up by ref is one seek. Columns of type
ANY hold an identity: an integer from 0 is a native record's position; one below 0 is -1 minus the number in a brought
id of the form `evt_` or `corr_` and eight hex digits, as most brought ids are; text is any other id.
"""

import sqlite3

from shmctx.cold.rows import RECORD_IN_ERROR, SPAN
from shmctx.errors import ColdMismatch, ColdUnavailable
from shmctx.records import packed
from shmctx.refs import make_ref

MINIMUM_SQLITE = (3, 37, 0)
"""STRICT tables. Debian 12 has 3.40, Ubuntu 22.04 has 3.37."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE store (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        store_id INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        capacity INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        position INTEGER NOT NULL,
        created_ns INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE text (id INTEGER PRIMARY KEY, value TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE session (
        position INTEGER PRIMARY KEY,
        session_id TEXT NOT NULL,
        agent_id TEXT,
        sandbox_uuid TEXT,
        created_at ANY,
        extra TEXT
    ) STRICT;
    CREATE INDEX session_by_id ON session (session_id);
    CREATE TABLE record (
        position INTEGER PRIMARY KEY,
        time_ns INTEGER NOT NULL,
        event_name INTEGER NOT NULL,
        depth INTEGER NOT NULL,
        parent ANY,
        correlation ANY NOT NULL,
        root ANY,
        event_id TEXT,
        agent INTEGER,
        client INTEGER,
        session INTEGER,
        user_id TEXT,
        tenant_id TEXT,
        environment TEXT,
        tags TEXT,
        error TEXT,
        error_type TEXT,
        error_message TEXT,
        response_ref TEXT,
        extra TEXT
    ) STRICT;
    CREATE INDEX record_by_correlation ON record (correlation);
    CREATE INDEX record_by_agent ON record (agent) WHERE agent IS NOT NULL;
    CREATE INDEX record_by_session ON record (session) WHERE session IS NOT NULL;
    CREATE INDEX record_by_parent ON record (parent) WHERE parent IS NOT NULL;
    CREATE INDEX record_by_event_id ON record (event_id) WHERE event_id IS NOT NULL;
    CREATE INDEX record_by_name ON record (event_name);
    CREATE INDEX record_by_time ON record (time_ns);
    CREATE TABLE annotation (
        position INTEGER PRIMARY KEY,
        target INTEGER NOT NULL,
        time_ns INTEGER NOT NULL,
        fields TEXT NOT NULL
    ) STRICT;
    CREATE INDEX annotation_by_target ON annotation (target);
    CREATE TABLE quarantine (
        position INTEGER PRIMARY KEY,
        kind INTEGER NOT NULL,
        reason TEXT NOT NULL,
        raw BLOB NOT NULL
    ) STRICT;
    """,
    # Identities in half the bytes; times by stretches of positions instead of an index; event data.
    """
    DROP VIEW IF EXISTS context;
    ALTER TABLE store ADD COLUMN log_directory TEXT;
    ALTER TABLE store ADD COLUMN log_number INTEGER;
    ALTER TABLE store ADD COLUMN log_day TEXT;
    ALTER TABLE store ADD COLUMN log_size INTEGER;
    CREATE TABLE lean_record (
        position INTEGER PRIMARY KEY,
        time_ns INTEGER NOT NULL,
        event_name INTEGER NOT NULL,
        depth INTEGER NOT NULL,
        parent ANY,
        correlation ANY NOT NULL,
        root ANY,
        event_id ANY,
        agent INTEGER,
        client INTEGER,
        session INTEGER,
        log_place INTEGER,
        user_id TEXT,
        tenant_id TEXT,
        environment TEXT,
        tags TEXT,
        error TEXT,
        error_type TEXT,
        error_message TEXT,
        response_ref TEXT,
        extra TEXT
    ) STRICT;
    INSERT INTO lean_record SELECT
        position, time_ns, event_name, depth,
        packed(parent, 'evt_'), packed(correlation, 'corr_'), packed(root, 'evt_'), packed(event_id, 'evt_'),
        agent, client, session, NULL, user_id, tenant_id, environment, tags,
        error, error_type, error_message, response_ref, extra
    FROM record;
    DROP TABLE record;
    ALTER TABLE lean_record RENAME TO record;
    CREATE INDEX record_by_correlation ON record (correlation);
    CREATE INDEX record_by_agent ON record (agent) WHERE agent IS NOT NULL;
    CREATE INDEX record_by_session ON record (session) WHERE session IS NOT NULL;
    CREATE INDEX record_by_parent ON record (parent) WHERE parent IS NOT NULL;
    CREATE INDEX record_by_event_id ON record (event_id) WHERE event_id IS NOT NULL;
    CREATE INDEX record_by_name ON record (event_name);
    CREATE TABLE span (first INTEGER PRIMARY KEY, min_ns INTEGER NOT NULL, max_ns INTEGER NOT NULL) STRICT;
    INSERT INTO span SELECT position / 16384 * 16384, min(time_ns), max(time_ns) FROM record GROUP BY 1;
    CREATE TABLE payload (
        id INTEGER PRIMARY KEY,
        hash BLOB NOT NULL UNIQUE,
        position INTEGER NOT NULL,
        data BLOB NOT NULL
    ) STRICT;
    CREATE TABLE payload_use (
        position INTEGER NOT NULL,
        payload INTEGER NOT NULL,
        PRIMARY KEY (position, payload)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX payload_use_by_payload ON payload_use (payload);
    """,
    # Which contexts are in error, by their own fields or by an annotation.
    f"""
    ALTER TABLE annotation ADD COLUMN error INTEGER;
    UPDATE annotation SET error = 1 WHERE
        json_type(fields, '$.error_type') = 'text' OR json_type(fields, '$.error_message') = 'text'
        OR json_type(fields, '$.error') NOT IN ('false', 'null');
    CREATE INDEX annotation_by_error ON annotation (target) WHERE error IS NOT NULL;
    CREATE INDEX record_by_error ON record (position) WHERE {RECORD_IN_ERROR};
    """,
    # Ageing: what is kept longer, what was forgotten, and what of the log is still needed.
    """
    ALTER TABLE store ADD COLUMN retention TEXT;
    ALTER TABLE span ADD COLUMN due_ns INTEGER;
    ALTER TABLE quarantine ADD COLUMN noted_ns INTEGER;
    CREATE TABLE kept (
        position INTEGER PRIMARY KEY,
        pinned INTEGER NOT NULL DEFAULT 0,
        often INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE forgotten (position INTEGER PRIMARY KEY) STRICT;
    CREATE TABLE log_segment (
        number INTEGER PRIMARY KEY,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        lines INTEGER NOT NULL,
        kept INTEGER NOT NULL,
        blanked INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    INSERT INTO log_segment (number, first, last, lines, kept)
        SELECT log_place >> 32, min(position), max(position), count(*), count(*)
        FROM record WHERE log_place IS NOT NULL GROUP BY 1;
    CREATE TABLE pruning (
        position INTEGER PRIMARY KEY,
        older_ns INTEGER,
        finished_ns INTEGER,
        report TEXT
    ) STRICT;
    """,
    # What it takes to find a changed byte and a deleted row.
    f"""
    ALTER TABLE record ADD COLUMN checksum INTEGER;
    ALTER TABLE session ADD COLUMN checksum INTEGER;
    ALTER TABLE annotation ADD COLUMN checksum INTEGER;
    ALTER TABLE span ADD COLUMN contexts INTEGER NOT NULL DEFAULT 0;
    UPDATE span SET contexts = (SELECT count(*) FROM record WHERE position BETWEEN first AND first + {SPAN - 1});
    ALTER TABLE store ADD COLUMN annotations INTEGER NOT NULL DEFAULT 0;
    UPDATE store SET annotations = (SELECT count(*) FROM annotation);
    """,
    # What was moved in from other systems: which positions, and how far each of their logs was read.
    """
    CREATE TABLE arrival (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, time_ns INTEGER NOT NULL) STRICT;
    CREATE TABLE source (
        id INTEGER PRIMARY KEY,
        path TEXT NOT NULL,
        first_line BLOB NOT NULL,
        end INTEGER NOT NULL,
        last_size INTEGER NOT NULL,
        last_crc INTEGER NOT NULL,
        rest_crc INTEGER,
        bad_lines INTEGER NOT NULL,
        counts TEXT NOT NULL,
        UNIQUE (path, first_line)
    ) STRICT;
    """,
)

VERSION = len(MIGRATIONS)


def check_engine() -> None:
    """Raise ColdUnavailable where the SQLite that Python is linked with is too old."""
    if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
        raise ColdUnavailable(
            f"SQLite {sqlite3.sqlite_version} is too old.", hint="Use a Python linked with SQLite 3.37 or later."
        )


def check_version(connection: sqlite3.Connection, path: str) -> int:
    """The schema version of a database, 0 for an empty one. Raises ColdMismatch for a newer or a foreign one."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if version > VERSION:
        raise ColdMismatch(
            f"{path} has schema version {version}; this shmctx knows up to {VERSION}.",
            hint="Use the newer shmctx that wrote it.",
        )
    if tables and "store" not in tables:
        raise ColdMismatch(f"{path} is the database of another application.", hint="Name another file.")
    return version


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring a database to VERSION, each step in one transaction with its number."""
    version = check_version(connection, path)
    if version == 0:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # lets retention give space back in small steps
        connection.execute("VACUUM")
    connection.create_function("packed", 2, packed, deterministic=True)
    try:
        for number in range(version, VERSION):
            step = f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;"
            connection.executescript(step)
    except BaseException:
        connection.rollback()  # whoever keeps the error must not keep the database locked
        raise
    row = connection.execute("SELECT store_id FROM store").fetchone()
    shown = connection.execute("SELECT 1 FROM sqlite_schema WHERE type = 'view' AND name = 'context'").fetchone()
    if row is not None and (version < VERSION or not shown):  # a migration may have ended before this
        create_view(connection, row[0])


def create_view(connection: sqlite3.Connection, store_id: int) -> None:
    """The view `context`: one row per context under the public field names. It spells refs out in SQL, so the store id
    is part of it."""
    connection.execute("DROP VIEW IF EXISTS context")
    connection.execute(_view_sql(store_id))


def _base32(store_id: int, position: str) -> str:
    """SQL for a ref's 16 characters. The first four are the store's; the fifth mixes its last bits and the position's
    first; the others are five bits of the position each."""
    alphabet = "'0123456789abcdefghjkmnpqrstvwxyz'"
    fixed = make_ref(store_id, 0)[4:8]
    digits = [f"substr({alphabet}, 1 + {(store_id & 15) << 1} + (({position}) >> 55), 1)"]
    digits += [f"substr({alphabet}, 1 + ((({position}) >> {shift}) & 31), 1)" for shift in range(50, -1, -5)]
    return f"'{fixed}' || " + " || ".join(digits)


def identity_sql(store_id: int, column: str, prefix: str) -> str:
    """SQL for the text of an identity's column."""
    return (
        f"CASE WHEN typeof({column}) <> 'integer' THEN {column} "
        f"WHEN {column} < 0 THEN printf('{prefix}%08x', -1 - {column}) "
        f"ELSE '{prefix}' || {_base32(store_id, column)} END"
    )


def _view_sql(store_id: int) -> str:
    return f"""
    CREATE VIEW context AS SELECT
        r.position,
        'ctx_' || {_base32(store_id, "r.position")} AS ref,
        {identity_sql(store_id, "coalesce(r.event_id, r.position)", "evt_")} AS event_id,
        (SELECT value FROM text WHERE id = r.event_name) AS event_name,
        r.time_ns / 1000000000 + (r.time_ns % 1000000000) / 1e9 AS timestamp,
        {identity_sql(store_id, "r.correlation", "corr_")} AS correlation_id,
        {identity_sql(store_id, "r.parent", "evt_")} AS parent_event_id,
        {identity_sql(store_id, "r.root", "evt_")} AS root_event_id,
        r.depth,
        (SELECT value FROM text WHERE id = r.agent) AS agent_id,
        (SELECT value FROM text WHERE id = r.client) AS client_id,
        s.session_id,
        r.user_id, r.tenant_id, r.environment, r.tags, r.error, r.error_type, r.error_message, r.response_ref, r.extra,
        r.log_place >> 32 AS log_segment, r.log_place & 4294967295 AS log_offset
    FROM record AS r LEFT JOIN session AS s ON s.position = r.session"""
