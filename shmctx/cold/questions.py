"""What can be asked of the database, as data: SQL, its values, and how to read the answer.

The code that decides what to ask (`finder`, `lineage`) does not know who asks: it is written as generators that yield
questions and are sent answers, and runs unchanged over the synchronous pool and over aiosqlite.
"""

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar

from msgspec import json

from shmctx.cold import Query, rows
from shmctx.context import CORRELATION_PREFIX, EVENT_PREFIX, Context
from shmctx.names import is_pattern, literal_part
from shmctx.payloads import digest as payload_digest
from shmctx.records import packed

T = TypeVar("T")
CHUNK = 500
"""Positions in one IN (...) list."""

_CONTEXTS = rows.select_contexts()
_NOTED = rows.select_contexts(noted=True)

Noted = tuple[Context, dict[int, dict[str, Any]]]
"""A context, and the fields annotated to it by the annotations' positions."""
_NOTHING: dict[int, dict[str, Any]] = {}
"""Of whoever has no annotation."""


class Question(NamedTuple, Generic[T]):
    """One SELECT; `convert` turns all its rows into the answer."""

    sql: str
    values: Sequence[Any] | Mapping[str, Any]
    convert: Callable[[list[rows.Row]], T]


class FileRead(NamedTuple, Generic[T]):
    """Something to read from files instead of from the database."""

    run: Callable[[], T]


Steps = Generator[Question[Any] | FileRead[Any], Any, T]
"""A computation that asks the database, or reads files, now and then."""


def answered(steps: Steps[T], ask: Callable[[Question[Any] | FileRead[Any]], Any]) -> T:
    """Run steps to their end, asking one question after the other."""
    try:
        question = next(steps)
        while True:
            question = steps.send(ask(question))
    except StopIteration as end:
        result: T = end.value
        return result


def context_at(position: int, store_id: int) -> Question[Context | None]:
    """The context at a position, without its annotations."""

    def convert(found: list[rows.Row]) -> Context | None:
        return rows.context_from_row(found[0], store_id) if found else None

    return Question(f"{_CONTEXTS} WHERE r.position = ?", (position,), convert)


def contexts_at(positions: Sequence[int], store_id: int) -> Question[list[Noted]]:
    """The contexts at up to CHUNK positions, in their order, with their annotations."""
    test = f"WHERE r.position IN ({','.join('?' * len(positions))}) ORDER BY r.position"
    return Question(f"{_NOTED} {test}", positions, lambda found: _noted(found, store_id))


def position_of(alias: str) -> Question[int | None]:
    """The position of the newest context that brought this event id."""
    value = packed(alias, EVENT_PREFIX)
    return Question("SELECT max(position) FROM record WHERE event_id = ?", (value,), lambda found: found[0][0])


def session_at(position: int) -> Question[dict[str, Any] | None]:
    """The data of the session whose record is at a position."""
    columns = "session_id, agent_id, sandbox_uuid, created_at, extra"

    def convert(found: list[rows.Row]) -> dict[str, Any] | None:
        return rows.session_from_row(found[0]) if found else None

    return Question(f"SELECT {columns} FROM session WHERE position = ?", (position,), convert)


def sessions_at(positions: Sequence[int]) -> Question[dict[int, dict[str, Any]]]:
    """The data of sessions, by the positions of up to CHUNK records."""
    columns = "session_id, agent_id, sandbox_uuid, created_at, extra, position"
    sql = f"SELECT {columns} FROM session WHERE position IN ({','.join('?' * len(positions))})"
    return Question(sql, positions, lambda found: {row[5]: rows.session_from_row(row[:5]) for row in found})


def log_directory() -> Question[str | None]:
    """The event log's directory, where it is not the one beside the database."""
    return Question("SELECT log_directory FROM store", (), lambda found: found[0][0] if found else None)


def log_places(positions: Sequence[int]) -> Question[dict[int, tuple[int, int]]]:
    """Where the log has the data of up to CHUNK events: (segment number, byte offset) by position."""
    marks = ",".join("?" * len(positions))
    sql = f"SELECT position, log_place FROM record WHERE position IN ({marks}) AND log_place IS NOT NULL"
    return Question(sql, positions, lambda found: {row[0]: rows.log_place(row[1]) for row in found})


def payloads_of(position: int) -> Question[dict[bytes, bytes]]:
    """The large fields of an event, by hash."""
    sql = "SELECT hash, data FROM payload WHERE id IN (SELECT payload FROM payload_use WHERE position = ?)"
    return Question(sql, (position,), _payloads)


def payloads(hashes: Sequence[bytes]) -> Question[dict[bytes, bytes]]:
    """Large fields, by hash."""
    return Question(f"SELECT hash, data FROM payload WHERE hash IN ({','.join('?' * len(hashes))})", hashes, _payloads)


def _payloads(found: list[rows.Row]) -> dict[bytes, bytes]:
    restored = ((digest, rows.payload_from_column(data)) for digest, data in found)
    return {digest: field for digest, field in restored if field is not None and payload_digest(field) == digest}


def annotations_of(targets: Sequence[int]) -> Question[dict[int, dict[int, dict[str, Any]]]]:
    """Fields annotated to up to CHUNK targets: by target, then by the annotation's position."""

    def convert(found: list[rows.Row]) -> dict[int, dict[int, dict[str, Any]]]:
        noted: dict[int, dict[int, dict[str, Any]]] = {}
        for target, position, text in found:
            noted.setdefault(target, {})[position] = rows.fields_from_json(text)
        return noted

    marks = ",".join("?" * len(targets))
    return Question(f"SELECT target, position, fields FROM annotation WHERE target IN ({marks})", targets, convert)


def contexts(query: Query, store_id: int, failed: Collection[int] = ()) -> Question[list[Noted]]:
    """Contexts that fit, ordered by position, with their annotations.

    `failed`: positions of contexts that are in error although the database does not know it yet.
    """
    where, values = _conditions(query, failed)
    sql = _search(tuple(where), newest_first=query.newest_first, limited=query.limit is not None)
    if query.limit is None:
        return Question(sql, values, lambda found: _noted(found, store_id))

    def convert(found: list[rows.Row]) -> list[Noted]:
        found.sort(key=itemgetter(0), reverse=query.newest_first)  # SQLite would sort rows that are in order
        return _noted(found, store_id)

    return Question(sql, (*values, query.limit), convert)


@lru_cache(256)
def _search(where: tuple[str, ...], *, newest_first: bool, limited: bool) -> str:
    """The SELECT; the same text each time, so that nobody hashes it again to find the statement made of it."""
    test = f"WHERE {' AND '.join(where)}" if where else ""
    order = f"ORDER BY r.position {'DESC' if newest_first else 'ASC'}"
    if limited:  # so many contexts, not rows
        return rows.select_contexts(f"(SELECT * FROM record AS r {test} {order} LIMIT ?) AS r", noted=True)
    return f"{_NOTED} {test} {order}"


def _noted(found: list[rows.Row], store_id: int) -> list[Noted]:
    """One row for each annotation, or one for a context that has none."""
    contexts: list[Noted] = []
    last = -1
    for row in found:
        position, note = row[0], row[14]
        if position != last:
            last = position
            contexts.append((rows.context_from_row(row, store_id), _NOTHING if note is None else {}))
        if note is not None:
            contexts[-1][1][note] = rows.fields_from_json(row[15])
    return contexts


def _in_error(query: Query) -> str:
    """A test with one value: positions known besides. Where nothing else narrows the search, errors are looked up."""
    known = "SELECT value FROM json_each(?)"
    narrow = (query.correlation, query.parent, query.agent_id, query.session_id, query.after)
    if query.errors and all(key is None for key in narrow):
        noted = "SELECT target FROM annotation WHERE error IS NOT NULL"
        return f"r.position IN (SELECT position FROM record WHERE {rows.RECORD_IN_ERROR} UNION {noted} UNION {known})"
    noted = "EXISTS (SELECT 1 FROM annotation WHERE target = r.position AND error IS NOT NULL)"
    return f"{'' if query.errors else 'NOT '}({rows.R_IN_ERROR} OR {noted} OR r.position IN ({known}))"


def report_of(position: int) -> Question[dict[str, Any] | None]:
    """What the round of pruning removed that the mark at a position asked for; None while it has not ended."""
    sql = "SELECT report FROM pruning WHERE position = ? AND finished_ns IS NOT NULL"
    return Question(sql, (position,), lambda found: rows.fields_from_json(found[0][0]) if found else None)


def count() -> Question[int]:
    """How many contexts there are."""
    return Question("SELECT count(*) FROM record", (), lambda found: int(found[0][0]))


def positions_after(position: int) -> Question[list[int]]:
    """The next positions of contexts, some thousands: short reads hold up no checkpoint."""
    sql = "SELECT position FROM record WHERE position > ? ORDER BY position LIMIT 10000"
    return Question(sql, (position,), lambda found: [row[0] for row in found])


def bare(query: Query, failed: Collection[int] = ()) -> Question[list[rows.Row]]:
    """Rows of SELECT_BARE that fit, the oldest `query.limit` of them. `failed`: as in `contexts`."""
    where, values = _conditions(query, failed)
    test = f"WHERE {' AND '.join(where)} " if where else ""
    sql = f"{rows.SELECT_BARE} {test}ORDER BY r.position LIMIT ?"
    return Question(sql, (*values, -1 if query.limit is None else query.limit), _same)


def texts(ids: Sequence[int]) -> Question[dict[int, str]]:
    """What up to CHUNK texts say, by their ids."""
    return Question(f"SELECT id, value FROM text WHERE id IN ({','.join('?' * len(ids))})", ids, dict)


def _same(found: list[rows.Row]) -> list[rows.Row]:
    return found


def _conditions(query: Query, failed: Collection[int]) -> tuple[list[str], list[Any]]:
    named = "(SELECT id FROM text WHERE value = ?)"
    tests = (
        ("r.correlation = ?", packed(query.correlation, CORRELATION_PREFIX)),
        ("r.parent = ?", packed(query.parent, EVENT_PREFIX)),
        (f"r.agent = {named}", query.agent_id),
        ("r.session IN (SELECT position FROM session WHERE session_id = ?)", query.session_id),
        ("r.position >= (SELECT min(first) FROM span WHERE max_ns >= ?)", query.since_ns),
        (f"r.position < (SELECT max(first) + {rows.SPAN} FROM span WHERE min_ns < ?)", query.until_ns),
        ("r.time_ns >= ?", query.since_ns),
        ("r.time_ns < ?", query.until_ns),
        ("r.position < ?", query.before),
        ("r.position > ?", query.after),
    )
    used = [(test, value) for test, value in tests if value is not None]
    where, values = [test for test, _ in used], [value for _, value in used]
    if query.event_name is not None:
        test, more = _name_condition(query.event_name, piecewise=query.limit is not None)
        where, values = [*where, test], [*values, *more]
    if query.errors is not None:
        where, values = [*where, _in_error(query)], [*values, json.encode(list(failed)).decode()]
    return where, values


def _name_condition(name: str, *, piecewise: bool) -> tuple[str, list[str]]:
    """A test for a name or pattern. GLOB, which the index answers, finds the texts that begin as the pattern does.

    `piecewise`: who wants some rows at a time wants them by position: the index by name would have all that are left
    sorted for every piece. The plus keeps it away.
    """
    if not is_pattern(name):
        return "r.event_name = (SELECT id FROM text WHERE value = ?)", [name]
    fitting = "SELECT id FROM text WHERE value GLOB ? AND fnmatch(value, ?)"
    return f"{'+' * piecewise}r.event_name IN ({fitting})", [f"{literal_part(name)}*", name]
