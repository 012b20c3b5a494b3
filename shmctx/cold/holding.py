"""Which contexts may hold a text: the database looks through its rows in less time than it takes to read them.

The answers miss none and may have some too many: who asks compares the contexts themselves.
"""

import re

from shmctx.cold.questions import Question
from shmctx.context import CORRELATION_PREFIX, EVENT_PREFIX, OPTIONAL_FIELDS

_TEXTS = (*OPTIONAL_FIELDS, "extra")
_IDENTITIES = {
    "event_id": EVENT_PREFIX,
    "parent": EVENT_PREFIX,
    "root": EVENT_PREFIX,
    "correlation": CORRELATION_PREFIX,
}
_PART_OF_HEX_ID = re.compile(r"[_0-9a-fcorvt]+")

_BY_TEXT = f"""
    r.event_name IN fitting OR r.agent IN fitting OR r.client IN fitting
    OR r.session IN (SELECT position FROM session WHERE instr(lower(session_id), :probe))
    OR r.position IN (SELECT target FROM annotation WHERE instr(lower(fields), :probe))
    OR {" OR ".join(f"instr(lower(r.{column}), :probe)" for column in (*_TEXTS, *_IDENTITIES))}
"""
_BY_HEX_ID = " OR ".join(
    f"(typeof(r.{column}) = 'integer' AND r.{column} < 0 AND instr(printf('{prefix}%08x', -1 - r.{column}), :probe))"
    for column, prefix in _IDENTITIES.items()
)
_BY_POSITION = " OR ".join(f"r.{column} = :position" for column in ("position", *_IDENTITIES))


def contexts_holding(probe: str, position: int | None, first: int, end: int) -> Question[list[int]]:
    """Positions in [first, end) of contexts that may hold a text or name a native record as one of their ids.

    `probe`: a part of the text, in small letters, that JSON spells as it is; an empty one is in every context.
    `position`: of the record whose id or ref the text is.
    """
    tests = [_BY_TEXT]
    if _PART_OF_HEX_ID.fullmatch(probe):
        tests.append(_BY_HEX_ID)
    if position is not None:
        tests.append(_BY_POSITION)
    sql = f"""
        WITH fitting AS MATERIALIZED (SELECT id FROM text WHERE instr(lower(value), :probe))
        SELECT r.position FROM record AS r
        WHERE r.position >= :first AND r.position < :end AND ({" OR ".join(tests)}) ORDER BY r.position
    """
    values = {"probe": probe, "position": position, "first": first, "end": end}
    return Question(sql, values, lambda found: [row[0] for row in found])


def log_segments() -> Question[list[tuple[int, int, int]]]:
    """(number, lowest position, highest position) of the event log's segments that hold events."""
    sql = "SELECT number, first, last FROM log_segment WHERE kept > 0"
    return Question(sql, (), lambda found: [(number, first, last) for number, first, last in found])
