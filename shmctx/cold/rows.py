"""Between records of the ring and rows of the database, both ways."""

from collections.abc import Callable
from typing import Any

import msgspec

from shmctx import records
from shmctx.context import OPTIONAL_FIELDS, Context
from shmctx.hot._core import ANNOTATION, CONTEXT, SESSION, make_ref
from shmctx.hot.shapes import RecordTuple

Row = tuple[Any, ...]

RECORD_COLUMNS = (
    "position, time_ns, event_name, depth, parent, correlation, root, event_id, agent, client, session, "
    "user_id, tenant_id, environment, tags, error, error_type, error_message, response_ref, extra"
)
INSERT_RECORD = f"INSERT OR IGNORE INTO record ({RECORD_COLUMNS}) VALUES ({', '.join('?' * 20)})"
PLAIN_COLUMNS = 11
"""The columns that every context has; the others are optional."""
INSERT_PLAIN = (
    f"INSERT OR IGNORE INTO record ({', '.join(RECORD_COLUMNS.split(', ')[:PLAIN_COLUMNS])}) "
    f"VALUES ({', '.join('?' * PLAIN_COLUMNS)})"
)
INSERT_SESSION = "INSERT OR IGNORE INTO session VALUES (?, ?, ?, ?, ?, ?)"
INSERT_ANNOTATION = "INSERT OR IGNORE INTO annotation VALUES (?, ?, ?, ?)"
INSERT_QUARANTINE = "INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?, ?)"
INSERTS = (INSERT_PLAIN, INSERT_RECORD, INSERT_SESSION, INSERT_ANNOTATION)

_JSON_COLUMNS = frozenset({"tags", "error"})
_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder().decode


def record_row(position: int, time_ns: int, payload: bytes, intern: Callable[[str], int]) -> Row:
    """The row of a context: PLAIN_COLUMNS, or all of them. Raises msgspec.DecodeError for bytes that are none."""
    context = records.decode_context(payload)
    parent, correlation, root, event = _identities(context, position)
    agent, client = context.agent_id, context.client_id
    row = (
        position,
        time_ns,
        intern(context.event_name),
        context.depth,
        parent,
        correlation,
        root,
        event,
        None if agent is None else intern(agent),
        None if client is None else intern(client),
        context.session_position,
    )
    return row if context.more is None else row + _optional_columns(context.more)


def _identities(context: Context, position: int) -> tuple[Any, Any, Any, Any]:
    """parent, correlation, root and brought event id; what the payload leaves out is the record itself."""
    if not context.form and context.event is None and context.root is None:  # native: positions all the way
        parent = context.parent
        correlation = position if context.correlation is None else context.correlation
        if parent is None:
            return None, correlation, position, None
        return parent, correlation, correlation if isinstance(correlation, int) else None, None
    placed = context.placed(make_ref(0, position), 0)
    event = placed.identity
    return (
        placed.parent_identity,
        placed.correlation_identity,
        placed.root_identity,
        event if isinstance(event, str) else None,
    )


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
    return (position, annotation.target, time_ns, _json(annotation.fields).decode())


def session_from_row(row: Row) -> dict[str, Any]:
    """Session data from (session_id, agent_id, sandbox_uuid, created_at, extra)."""
    names = ("id", "agent_id", "sandbox_uuid", "created_at")
    session = {name: value for name, value in zip(names, row[:4], strict=True) if value is not None}
    return session | (_from_json(row[4]) if row[4] is not None else {})


def context_from_row(row: Row, store_id: int) -> Context:
    """A Context from RECORD_COLUMNS with event name, agent and client resolved to text."""
    position, time_ns = row[0], row[1]
    context = records.decode_context(payload_from_row(row))
    return context.placed(make_ref(store_id, position), time_ns)


def payload_from_row(row: Row) -> bytes:
    """The payload that the row was made from: encoding is canonical."""
    position, _, name, depth, parent, correlation, root, event, agent, client, session = row[:11]
    own = position if event is None else event
    derived = root == own if parent is None else root == correlation == position
    return records.encode_context(
        event_name=name,
        depth=depth,
        parent=parent,
        correlation=None if correlation == position else correlation,
        agent_id=agent,
        client_id=client,
        session=session,
        event=event,
        root=None if derived else root,
        more=_more(row[11:]),
    )


def _more(columns: Row) -> dict[str, Any] | None:
    if not any(value is not None for value in columns):
        return None
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
    """A context's record from RECORD_COLUMNS with text resolved."""
    return (row[0], CONTEXT, False, row[1], payload_from_row(row))


def resolved_columns(table: str = "r") -> str:
    """RECORD_COLUMNS with event name, agent and client as text, for a SELECT from `record AS r`."""
    interned = {"event_name", "agent", "client"}
    return ", ".join(
        f"(SELECT value FROM text WHERE id = {table}.{name})" if name in interned else f"{table}.{name}"
        for name in RECORD_COLUMNS.split(", ")
    )


def fields_from_json(text: str) -> dict[str, Any]:
    """An annotation's fields."""
    fields: dict[str, Any] = _from_json(text)
    return fields
