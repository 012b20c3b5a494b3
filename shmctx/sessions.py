"""Sessions: what belongs to one conversation, found by its id."""

from typing import Any

import msgspec

from shmctx import drafts
from shmctx.cold import Query, chains, questions
from shmctx.cold.questions import Steps
from shmctx.context import Context
from shmctx.errors import SessionNotFound
from shmctx.finder import Finder


class Session(msgspec.Struct, frozen=True):
    """A session as it was when it was asked for."""

    id: str
    data: dict[str, Any]
    """The newest that was put."""
    events: list[Context]
    """Its contexts, in the order in which they were stored."""

    @property
    def chain(self) -> list[Context]:
        """Its contexts as the conversation went: by their times, which may be brought, and then as stored."""
        return sorted(self.events, key=lambda context: (context.time_ns, context.ref))  # refs sort by age

    @property
    def agents(self) -> list[str]:
        """Who took part, in the order in which they first did something."""
        return list(dict.fromkeys(context.agent_id for context in self.chain if context.agent_id is not None))

    @property
    def first_activity(self) -> float | None:
        """Of its earliest event, in seconds since 1970 (UTC); None without events."""
        return min((context.timestamp for context in self.events), default=None)

    @property
    def last_activity(self) -> float | None:
        """Of its latest event, in seconds since 1970 (UTC); None without events."""
        return max((context.timestamp for context in self.events), default=None)

    @property
    def response_refs(self) -> list[str]:
        """Where its responses are kept, in the conversation's order."""
        refs = (context.response_ref for context in self.chain)
        return list(dict.fromkeys(ref for ref in refs if ref is not None))

    def to_dict(self) -> dict[str, Any]:
        """All of it, with refs for contexts."""
        return {
            "id": self.id,
            "data": self.data,
            "first_activity": self.first_activity,
            "last_activity": self.last_activity,
            "agents": self.agents,
            "events": [context.ref for context in self.events],
            "chain": [context.ref for context in self.chain],
            "response_refs": self.response_refs,
        }


def session(finder: Finder, session_id: str) -> Steps[Session]:
    """The session with this id. Raises SessionNotFound, InvalidField (no text), ColdError."""
    drafts.text("session_id", session_id)
    data = yield from _data(finder, session_id)
    if data is None:
        raise SessionNotFound(f"No context of this store has the session {session_id!r}, or all of them have expired.")
    return Session(session_id, data, (yield from finder.query(Query(session_id=session_id))))


def _data(finder: Finder, session_id: str) -> Steps[dict[str, Any] | None]:
    """The newest data of a session: of the ring, otherwise of the database."""
    found = finder.find_session(session_id)
    if found is not None or not finder.anything_cold():
        return None if found is None else found[1]
    position: int | None = yield chains.newest_session(session_id)
    if position is None:
        return None
    data: dict[str, Any] | None = yield questions.session_at(position)
    return data
