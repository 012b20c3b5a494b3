"""Taking a checkpoint: capture everybody, and make of it what the store keeps."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from shmctx.checkpoints.participants import Participant
from shmctx.checkpoints.stored import Checkpoint, Failed, State
from shmctx.events.results import message_of
from shmctx.payloads import Accompanied, digest

Failures = dict[str, Exception]
"""By the participant's name."""


class Captured(NamedTuple):
    """What participants gave, encoded, and who failed."""

    states: dict[str, tuple[int, bytes]]
    """(stage, JSON) by name."""
    failures: Failures


async def capture(participants: Iterable[Participant]) -> Captured:
    """Capture all at the same time; one that fails or hangs does not hinder the others."""
    participants = list(participants)
    done = await asyncio.gather(*(one.captured() for one in participants), return_exceptions=True)
    states, failures = {}, {}
    for participant, result in zip(participants, done, strict=True):
        if isinstance(result, bytes):
            states[participant.name] = participant.stage, result
        elif isinstance(result, Exception):
            failures[participant.name] = result
        else:
            raise result  # a cancellation, or the end of the process: nobody's failure
    return Captured(states, failures)


def told(failures: Mapping[str, BaseException]) -> dict[str, Failed]:
    """Failures as they are stored."""
    return {name: Failed(type(error).__name__, message_of(error)) for name, error in failures.items()}


class Draft(msgspec.Struct, frozen=True):
    """A checkpoint that is not stored yet, and the pieces of what was captured for it."""

    checkpoint: Checkpoint
    pieces: dict[bytes, bytes] = {}
    """By hash."""

    @property
    def data(self) -> Accompanied:
        """What is to be put."""
        every = (bytes.fromhex(piece) for state in self.checkpoint.states.values() for piece in state.pieces)
        return Accompanied(self.checkpoint.data, tuple(dict.fromkeys(every)), self.pieces)


def drawn_up(base: Checkpoint, captured: Captured, piece_size: int) -> Draft:
    """`base` with what was captured over the states that it has: these go on until somebody captures newer ones."""
    states = dict(base.states)
    pieces: dict[bytes, bytes] = {}
    for name, (stage, encoded) in captured.states.items():
        parts = [encoded[start : start + piece_size] for start in range(0, len(encoded), piece_size)]
        hashes = list(map(digest, parts))
        pieces |= zip(hashes, parts, strict=True)
        named = tuple(found.hex() for found in hashes)
        states[name] = State(stage=stage, size=len(encoded), position=base.position, pieces=named)
    errors = {**base.errors, **told(captured.failures)}
    return Draft(msgspec.structs.replace(base, states=states, errors=errors), pieces)


def carried(checkpoint: Checkpoint | None, without: Iterable[str]) -> dict[str, State]:
    """The states of a checkpoint as the next one takes them over."""
    if checkpoint is None:
        return {}
    return {
        name: msgspec.structs.replace(state, captured=state.captured or checkpoint.ref)
        for name, state in checkpoint.states.items()
        if name not in without
    }


def keeping(newest: Checkpoint | None, keep: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(older checkpoints that stay pinned beside the next one, those that no longer do)."""
    if newest is None:
        return (), ()
    pinned = (newest.ref, *newest.kept)
    return pinned[: keep - 1], pinned[keep - 1 :]
