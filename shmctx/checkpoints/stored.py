"""Checkpoints as the store has them: events, and the states that accompany them in pieces named by their hashes.

All checkpoints of one application form one correlation. The computations are Steps: Store and store.aio both run them.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from shmctx import filters
from shmctx.cold.questions import Steps
from shmctx.context import Context
from shmctx.errors import CheckpointDamaged, ContextNotFound, InvalidField
from shmctx.event import decode_data
from shmctx.events.results import logger
from shmctx.finder import Finder
from shmctx.hot._core import GRANULE

TAKEN = "checkpoint:taken"
CHOSEN = "checkpoint:chosen"
"""Somebody chose the checkpoint that the next start uses."""
RESTORED = "checkpoint:restored"
USED = "_checkpoint_used"
"""Annotated to a choice that a start has obeyed."""

_CORRELATION = "checkpoints:"
_PIECE = 1 << 20  # bytes of a state in one record at most
_FEWER = 8  # a record may have a quarter of the ring; pieces stay well below that
_CANDIDATES = 16  # checkpoints that are tried, newest first, for one whose event can be read


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint has of one participant."""

    stage: int
    size: int
    """Bytes of JSON."""
    position: int
    """Of the store, as `Follower.position`: what was put before it is in the state, what came later may be."""
    pieces: tuple[str, ...]
    """Hashes, in hex, of the parts that make up the JSON."""
    captured: str | None = None
    """The checkpoint that this state was taken over from; None: captured for this one."""


class Failed(msgspec.Struct, frozen=True):
    """Why a participant failed."""

    error_type: str
    error_message: str


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The states of all participants at one time."""

    ref: str
    application: str
    """Whose checkpoint it is."""
    time_ns: int
    reason: str
    """demand, interval, shutdown, start; restored: an older one that was made the newest again."""
    position: int
    """As in State, for all that were captured for this checkpoint."""
    duration_ms: float = 0.0
    states: dict[str, State] = {}
    errors: dict[str, Failed] = {}
    """Participants that were not captured; their states are those of the checkpoint before."""
    kept: tuple[str, ...] = ()
    """Older checkpoints that are pinned beside this one, newest first."""
    released: tuple[str, ...] = ()
    """Refs that were pinned beside the one before, and no longer are."""

    @property
    def data(self) -> dict[str, Any]:
        """As the data of its event."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return {name: value for name, value in built.items() if name not in ("ref", "application", "time_ns")}

    @property
    def size(self) -> int:
        """Bytes of all states together, also of those that are stored for other checkpoints too."""
        return sum(state.size for state in self.states.values())


class Listed(msgspec.Struct, frozen=True):
    """A checkpoint, and whether the next start of its application uses it."""

    checkpoint: Checkpoint
    next_start: bool


def correlation_of(application: str) -> str:
    """The correlation of an application's checkpoints."""
    return f"{_CORRELATION}{application}"


def checkpoint_from(context: Context, data: Mapping[str, Any] | None) -> Checkpoint | None:
    """The checkpoint of an event; None for what is none, or damaged."""
    if context.event_name != TAKEN or not context.correlation_id.startswith(_CORRELATION):
        return None
    application = context.correlation_id.removeprefix(_CORRELATION)
    told = {**(data or {}), "ref": context.ref, "application": application, "time_ns": context.time_ns}
    try:
        return msgspec.convert(told, Checkpoint)
    except msgspec.ValidationError:
        return None


# ---- states in pieces ----


def piece_size(finder: Finder) -> int:
    """Bytes of a piece, the same for every state of a store, so that what did not change is found again."""
    capacity: int = finder.ring.header()["capacity"]
    return min(_PIECE, capacity * GRANULE // _FEWER)


def state_of(finder: Finder, checkpoint: Checkpoint, participant: str) -> Steps[Any]:
    """What a participant captured. Raises CheckpointDamaged, ColdError."""
    state = checkpoint.states.get(participant)
    if state is None:
        raise InvalidField(
            f"The checkpoint {checkpoint.ref} has no state of {participant!r}.",
            hint=f"It has those of {', '.join(sorted(checkpoint.states)) or 'nobody'}.",
        )
    try:
        names = [bytes.fromhex(piece) for piece in state.pieces]
    except ValueError:
        names = []
    found = yield from finder.data.payloads(names)
    encoded = b"".join(found.get(name, b"") for name in names)
    data = decode_data(encoded) if len(encoded) == state.size else None
    if data is None or "state" not in data:
        raise CheckpointDamaged(
            f"The state of {participant!r} in the checkpoint {checkpoint.ref} is not whole: "
            f"{len(encoded):,} of {state.size:,} bytes are there."
        )
    return data["state"]


# ---- which there are ----


def newest(finder: Finder, store_id: int, application: str) -> Steps[Checkpoint | None]:
    """The newest checkpoint of an application that can be read; None if it has none.

    Raises CheckpointDamaged where there are some, and none of the newest can be read.
    """
    contexts = yield from _contexts(finder, store_id, application, _CANDIDATES)
    for context in contexts:
        event = (yield from finder.data.events([context]))[0]
        checkpoint = checkpoint_from(context, event.data)
        if checkpoint is not None:
            return checkpoint
        logger.warning("The checkpoint %s of %s cannot be read", context.ref, application)
    if contexts:
        raise CheckpointDamaged(f"None of the newest {len(contexts)} checkpoints of {application!r} can be read.")
    return None


def listed(finder: Finder, store_id: int, application: str | None, limit: int | None) -> Steps[list[Checkpoint]]:
    """Checkpoints of one application, or of all, newest first; `limit`: so many of their events."""
    contexts = yield from _contexts(finder, store_id, application, limit)
    events = yield from finder.data.events(contexts)
    found = (checkpoint_from(event.context, event.data) for event in events)
    return [checkpoint for checkpoint in found if checkpoint is not None]


def _contexts(finder: Finder, store_id: int, application: str | None, limit: int | None) -> Steps[list[Context]]:
    correlation = None if application is None else correlation_of(application)
    wanted: filters.Filters = {"correlation_id": correlation, "event_name": TAKEN, "newest_first": True, "limit": limit}
    return (yield from filters.query(finder, store_id, wanted))


def overview(finder: Finder, store_id: int, application: str | None, limit: int | None) -> Steps[list[Listed]]:
    """As listed, with what the next start of each application uses."""
    found = yield from listed(finder, store_id, application, limit)
    return (yield from _with_next_starts(finder, store_id, found))


def one(finder: Finder, store_id: int, ref: str) -> Steps[Listed]:
    """As named, with whether the next start uses it."""
    found = yield from named(finder, ref)
    return (yield from _with_next_starts(finder, store_id, [found]))[0]


def _with_next_starts(finder: Finder, store_id: int, found: list[Checkpoint]) -> Steps[list[Listed]]:
    used = set()
    for application in {checkpoint.application for checkpoint in found}:
        used.add((yield from next_start(finder, store_id, application)))
    return [Listed(checkpoint, checkpoint.ref in used) for checkpoint in found]


def named(finder: Finder, ref: str) -> Steps[Checkpoint]:
    """The checkpoint with this ref. Raises ContextNotFound, InvalidField, ColdError."""
    event = yield from finder.event(ref)
    if event is None:
        raise ContextNotFound(f"{ref!r} is not in this store.")
    checkpoint = checkpoint_from(event.context, event.data)
    if checkpoint is None:
        raise InvalidField(
            f"{ref!r} is {event.event_name}, not a checkpoint that can be read.", hint="shmctx checkpoint list NAME"
        )
    return checkpoint


def chosen(finder: Finder, store_id: int, application: str) -> Steps[tuple[Context, str] | None]:
    """The choice that the next start has to obey: its context, and the ref of the checkpoint; None if there is none."""
    wanted: filters.Filters = {"correlation_id": correlation_of(application), "event_name": CHOSEN}
    contexts = yield from filters.query(finder, store_id, {**wanted, "newest_first": True, "limit": 1})
    if not contexts or contexts[0].custom.get(USED) is not None:
        return None
    events = yield from finder.data.events(contexts)
    ref = (events[0].data or {}).get("checkpoint")
    return (contexts[0], ref) if isinstance(ref, str) else None


def next_start(finder: Finder, store_id: int, application: str) -> Steps[str | None]:
    """The ref of the checkpoint that the next start of an application uses; None if it has none."""
    choice = yield from chosen(finder, store_id, application)
    if choice is not None:
        return choice[1]
    found = yield from newest(finder, store_id, application)
    return found.ref if found else None
