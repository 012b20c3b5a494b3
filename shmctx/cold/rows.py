"""Between records of the ring and rows of the database, both ways."""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from shmctx import records
from shmctx.context import (
    CLIENT_IS_AGENT,
    HEX_CORRELATION,
    HEX_EVENT,
    HEX_PARENT,
    HEX_ROOT,
    OPTIONAL_FIELDS,
    ROOT_IS_PARENT,
    Context,
    Identity,
)
from shmctx.hot._core import ANNOTATION, CONTEXT, SESSION, make_ref
from shmctx.hot.shapes import RecordTuple
from shmctx.payloads import HASH_BYTES, digest

if TYPE_CHECKING:
    import sqlite3  # not loaded by `import shmctx`

Row = tuple[Any, ...]

SPAN = 16384
"""Positions whose earliest and latest time are kept together (table `span`), instead of an index over every time."""

RECORD_COLUMNS = (
    "position, time_ns, event_name, depth, parent, correlation, root, event_id, agent, client, session, log_place, "
    "user_id, tenant_id, environment, tags, error, error_type, error_message, response_ref, extra"
)
INSERT_RECORD = f"INSERT OR IGNORE INTO record ({RECORD_COLUMNS}, checksum) VALUES ({', '.join('?' * 22)})"
PLAIN_COLUMNS = 12
"""The columns that every context has; the others are optional."""
INSERT_PLAIN = (
    f"INSERT OR IGNORE INTO record ({', '.join(RECORD_COLUMNS.split(', ')[:PLAIN_COLUMNS])}, checksum) "
    f"VALUES ({', '.join('?' * (PLAIN_COLUMNS + 1))})"
)
INSERT_SESSION = "INSERT OR IGNORE INTO session VALUES (?, ?, ?, ?, ?, ?, ?)"
INSERT_ANNOTATION = "INSERT OR IGNORE INTO annotation VALUES (?, ?, ?, ?, ?, ?)"
INSERT_QUARANTINE = "INSERT OR IGNORE INTO quarantine (position, kind, reason, raw) VALUES (?, ?, ?, ?)"
INSERT_PAYLOAD = (
    "INSERT INTO payload (hash, position, data) VALUES (?, ?, ?) "
    "ON CONFLICT (hash) DO UPDATE SET position = max(position, excluded.position), "
    "data = CASE length(data) WHEN 0 THEN excluded.data ELSE data END"
)
INSERT_PROMISED = "INSERT OR IGNORE INTO payload (hash, position, data) VALUES (?, ?, x'')"
"""For an event whose large field comes after it: it was forgotten with another event just before, and stored again."""
INSERT_USE = "INSERT OR IGNORE INTO payload_use SELECT ?, id FROM payload WHERE hash = ?"
INSERT_SPAN = (
    "INSERT INTO span (first, min_ns, max_ns, contexts) VALUES (?, ?, ?, ?) ON CONFLICT (first) DO UPDATE SET "
    "min_ns = min(min_ns, excluded.min_ns), max_ns = max(max_ns, excluded.max_ns), due_ns = NULL, "
    "contexts = contexts + excluded.contexts"
)
INSERT_LINES = (
    "INSERT INTO log_segment (number, first, last, lines, kept) VALUES (?1, ?2, ?3, ?4, ?4) "
    "ON CONFLICT (number) DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last), "
    "lines = lines + excluded.lines, kept = kept + excluded.kept"
)
INSERT_ARRIVAL = "INSERT OR IGNORE INTO arrival (first, last, time_ns) VALUES (?, ?, ?)"
INSERTS = (INSERT_PLAIN, INSERT_RECORD, INSERT_SESSION, INSERT_ANNOTATION)

RECORD_IN_ERROR = "(error_type IS NOT NULL OR error_message IS NOT NULL OR (error IS NOT NULL AND error <> 'false'))"
"""Whether the fields that a context was put with say that something went wrong; as records.says_error."""
R_IN_ERROR = re.sub(r"\berror", "r.error", RECORD_IN_ERROR)
"""The same of `record AS r`."""

_JSON_COLUMNS = frozenset({"tags", "error"})
_NAMES = {"event_name": "named.value", "agent": "acting.value", "client": "asking.value"}
_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder().decode


def record_row(
    position: int, time_ns: int, context: Context, place: int | None, texts: Mapping[str | None, int | None]
) -> Row:
    """The row of a context: PLAIN_COLUMNS, or all of them. `place`: where the log has its data."""
    form, agent = context.form, context.agent_id
    parent, correlation, root, event = context.parent, context.correlation, context.root, context.event
    if correlation is None:  # what the payload leaves out is the record itself
        correlation = position
    if form & HEX_PARENT and type(parent) is int:
        parent = -1 - parent
    if form & HEX_CORRELATION and type(correlation) is int:
        correlation = -1 - correlation
    if form & HEX_ROOT and type(root) is int:
        root = -1 - root
    if form & HEX_EVENT and type(event) is int:
        event = -1 - event
    if root is None:
        if form & ROOT_IS_PARENT:
            root = parent
        elif parent is None:
            root = position if event is None else event
        elif type(correlation) is int and correlation >= 0:
            root = correlation
    row = (
        position,
        time_ns,
        texts[context.event_name],
        context.depth,
        parent,
        correlation,
        root,
        event,
        texts[agent],
        texts[agent if form & CLIENT_IS_AGENT else context.client],
        context.session_position,
        place,
    )
    return row + _optional_columns(context.more) if context.more else row


def _stored(column: Identity | None, flag: int) -> tuple[Identity | None, int]:
    """From a column's spelling of an identity to a payload's, with the form flag that goes with it."""
    return (-1 - column, flag) if type(column) is int and column < 0 else (column, 0)


def log_place(column: int) -> tuple[int, int]:
    """(segment number, byte offset) from the one number that a column holds."""
    return column >> 32, column & 0xFFFFFFFF


def log_column(number: int, offset: int) -> int:
    """The one number for a place in the log: an offset has 32 bits, since no segment is larger than a few records."""
    return number << 32 | offset


def log_columns(number: int, offsets: Iterable[int]) -> list[int]:
    """The same for many places in one segment."""
    begin = log_column(number, 0)
    return [begin | offset for offset in offsets]


def _optional_columns(more: dict[str, Any]) -> Row:
    rest = dict(more)
    columns = []
    for name in OPTIONAL_FIELDS:
        value = rest.get(name)
        if name in _JSON_COLUMNS:
            columns.append(_json(rest.pop(name)).decode() if value is not None else None)
        else:
            # Anything but text keeps its type in `extra`.
            columns.append(rest.pop(name) if isinstance(value, str) else None)
    columns.append(_json(rest).decode() if rest else None)
    return tuple(columns)


def session_row(position: int, payload: bytes) -> Row:
    """The row of a session."""
    session = records.decode_session(payload)
    rest = dict(session)
    typed = [rest.pop("id")]
    typed.append(rest.pop("agent_id") if isinstance(rest.get("agent_id"), str) else None)
    typed.append(rest.pop("sandbox_uuid") if isinstance(rest.get("sandbox_uuid"), str) else None)
    typed.append(rest.pop("created_at") if records.fits_column(rest.get("created_at")) else None)
    return (position, *typed, _json(rest).decode() if rest else None)


def annotation_row(position: int, time_ns: int, payload: bytes) -> Row:
    """The row of an annotation."""
    annotation = records.decode_annotation(payload)
    error = 1 if records.says_error(annotation.fields) else None
    return (position, annotation.target, time_ns, _json(annotation.fields).decode(), error)


def session_from_row(row: Row) -> dict[str, Any]:
    """Session data from (session_id, agent_id, sandbox_uuid, created_at, extra)."""
    names = ("id", "agent_id", "sandbox_uuid", "created_at")
    session = {name: value for name, value in zip(names, row[:4], strict=True) if value is not None}
    return session | (_from_json(row[4]) if row[4] is not None else {})


def context_from_row(row: Row, store_id: int) -> Context:
    """A Context from a row that select_contexts finds: the one that was stored."""
    # fmt: off
    (position, time_ns, name, depth, parent, correlation, root, event, agent, client, session,
     _place, optional, hexed, _note, _fields) = row
    # fmt: on
    if parent is None:
        if root == (position if event is None else event):
            root = None
    elif type(root) is int and root == correlation and root >= 0:
        root = None
    form = 0
    if root is not None and root == parent:
        root, form = None, ROOT_IS_PARENT
    if client is not None and client == agent:
        client, form = None, form | CLIENT_IS_AGENT
    if correlation == position:
        correlation = None
    if hexed:
        parent, parent_form = _stored(parent, HEX_PARENT)
        correlation, correlation_form = _stored(correlation, HEX_CORRELATION)
        root, root_form = _stored(root, HEX_ROOT)
        event, event_form = _stored(event, HEX_EVENT)
        form |= parent_form | correlation_form | root_form | event_form
    more = None if optional is None else optional_fields(optional)
    ref = make_ref(store_id, position)
    return Context(
        name, depth, parent, correlation, agent, client, session, form, event, root, more, ref, time_ns
    )  # fmt: skip


def optional_fields(text: str) -> dict[str, Any]:
    """What Context.more held, from the array of optional columns."""
    columns: list[Any] = _from_json(text)
    more = {}
    for name, value in zip(OPTIONAL_FIELDS, columns[:8], strict=True):
        if value is not None:
            more[name] = _from_json(value) if name in _JSON_COLUMNS else value
    return more | (_from_json(columns[8]) if columns[8] is not None else {})


def record_from_session(row: Row) -> RecordTuple:
    """A session's record from (position, session_id, agent_id, sandbox_uuid, created_at, extra)."""
    return (row[0], SESSION, False, 0, records.encode_session(session_from_row(row[1:])))


def record_from_annotation(row: Row) -> RecordTuple:
    """An annotation's record from (position, target, time_ns, fields)."""
    return (row[0], ANNOTATION, False, row[2], records.encode_annotation(row[1], _from_json(row[3])))


def record_from_row(row: Row) -> RecordTuple:
    """A context's record from a row that select_contexts finds. Of event data it says only that there is some."""
    fields = msgspec.structs.astuple(context_from_row(row, 0))[:-3]
    payload = records.encode_stored(fields, data=None if row[11] is None else b"")
    return (row[0], CONTEXT, False, row[1], payload)


def payload_row(position: int, payload: bytes) -> Row:
    """The row of a large field."""
    found, field = payload[:HASH_BYTES], payload[HASH_BYTES:]
    if digest(field) != found:
        raise ValueError("the payload is not what its hash names")
    return (found, position, payload_column(field))


def payload_column(field: bytes) -> bytes:
    """A large field as its column holds it: compressed with zstd."""
    from shmctx.log import seekable  # zstd is not loaded by `import shmctx`

    return seekable.compress_frame(field)


def payload_from_column(data: bytes) -> bytes | None:
    """A large field's JSON; None if the column holds none."""
    from shmctx.log import seekable

    return seekable.decompress_frame(data)


_OPTIONAL = ", ".join(f"r.{column}" for column in RECORD_COLUMNS.split(", ")[PLAIN_COLUMNS:])
_OPTIONAL_ARRAY = f"CASE WHEN coalesce({_OPTIONAL}) IS NOT NULL THEN json_array({_OPTIONAL}) END"
"""The optional columns come as one JSON array, and only where there are any: to fetch a column that is empty costs as
much as a full one."""
SELECT_BARE = (
    f"SELECT {', '.join(f'r.{column}' for column in RECORD_COLUMNS.split(', ')[:PLAIN_COLUMNS])}, {_OPTIONAL_ARRAY} "
    "FROM record AS r"
)
"""The plain columns as they are, texts by their ids, and the array."""


def select_contexts(source: str = "record AS r", *, noted: bool = False) -> str:
    """A SELECT of rows for context_from_row, without its WHERE, from a source named r.

    `noted`: with a row for each annotation, whose position and fields are the last two columns.

    LEFT JOIN keeps the order of the search with `r`, whatever else is joined.
    """
    plain = [_NAMES.get(column, f"r.{column}") for column in RECORD_COLUMNS.split(", ")[:PLAIN_COLUMNS]]
    hexed = "r.parent < 0 OR r.correlation < 0 OR r.root < 0 OR r.event_id < 0"  # text is more than any number
    note = ("note.position", "note.fields") if noted else ("NULL", "NULL")
    return (
        f"SELECT {', '.join((*plain, _OPTIONAL_ARRAY, hexed, *note))} FROM {source} "
        "LEFT JOIN text AS named ON named.id = r.event_name "
        "LEFT JOIN text AS acting ON acting.id = r.agent "
        "LEFT JOIN text AS asking ON asking.id = r.client"
    ) + noted * " LEFT JOIN annotation AS note ON note.target = r.position"


def fields_from_json(text: str) -> dict[str, Any]:
    """An annotation's fields."""
    fields: dict[str, Any] = _from_json(text)
    return fields


def horizon(connection: "sqlite3.Connection") -> int:
    """Nothing before it is in the ring, or was when the oldest context was put that is not drained yet.

    Two rings: a context not drained yet may name what lay a ring before it, also over the gap after a reboot.
    """
    position, capacity = connection.execute("SELECT position, capacity FROM store").fetchone()
    return int(position - 2 * capacity)
