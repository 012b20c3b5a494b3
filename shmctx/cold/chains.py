"""Questions about who caused what. A chain is followed inside the database, with one question for all of it.

Answers are positions: many of the contexts are still in the ring, where they are read faster. UNION drops what was met
before, so contexts that name each other as parents end the search.
"""

from collections.abc import Sequence

from shmctx.cold import rows
from shmctx.cold.questions import Question
from shmctx.context import EVENT_PREFIX, Identity
from shmctx.records import packed

_BELOW = """
WITH RECURSIVE below (position, identity) AS (
    SELECT position, coalesce(event_id, position) FROM record WHERE position IN ({marks})
    UNION
    SELECT r.position, coalesce(r.event_id, r.position) FROM below JOIN record AS r ON r.parent = below.identity
)
SELECT position FROM below"""

_ABOVE = """
WITH RECURSIVE above (position, parent) AS (
    SELECT position, parent FROM record WHERE position = ?
    UNION
    SELECT r.position, r.parent FROM above JOIN record AS r ON r.position = CASE
        WHEN typeof(above.parent) = 'integer' AND above.parent >= 0 THEN above.parent
        ELSE (SELECT max(position) FROM record WHERE event_id = above.parent) END
)
SELECT position FROM above"""


def children(parents: Sequence[Identity]) -> Question[list[int]]:
    """Positions of the contexts that name one of up to CHUNK identities as their parent."""
    stored = [packed(parent, EVENT_PREFIX) for parent in parents]
    return Question(f"SELECT position FROM record WHERE parent IN ({_marks(parents)})", stored, _positions)


def below(positions: Sequence[int]) -> Question[list[int]]:
    """Up to CHUNK positions that hold a context, and those of everything that these contexts caused."""
    return Question(_BELOW.format(marks=_marks(positions)), positions, _positions)


def above(position: int) -> Question[list[int]]:
    """A position that holds a context, and those of its parent, grandparent, ... as far as they are known."""
    return Question(_ABOVE, (position,), _positions)


def newest_session(session_id: str) -> Question[int | None]:
    """The position of the newest data of a session."""
    sql = "SELECT max(position) FROM session WHERE session_id = ?"
    return Question(sql, (session_id,), lambda found: found[0][0])


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _positions(found: list[rows.Row]) -> list[int]:
    return [row[0] for row in found]
