"""Restoring a checkpoint: every participant gets its state back, stage by stage."""

import time
from collections.abc import Iterable

import msgspec

from shmctx.checkpoints.participants import Participant
from shmctx.checkpoints.stored import Checkpoint, Failed, state_of
from shmctx.checkpoints.taking import Failures, told
from shmctx.store import Store


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a restore."""

    checkpoint: Checkpoint | None = None
    """The one that was used; None: there is none."""
    durations_ms: dict[str, float] = {}
    """How long it took, of those that were restored, in their order."""
    errors: dict[str, Failed] = {}
    """Those that failed. They are not captured until they are restored: their states go on as they are."""
    fresh: tuple[str, ...] = ()
    """Participants of which the checkpoint has no state."""
    unclaimed: tuple[str, ...] = ()
    """States without a participant. They go on too, until `unregister`."""


async def restore(
    store: Store, checkpoint: Checkpoint, participants: Iterable[Participant]
) -> tuple[Restored, Failures]:
    """Restore one after the other; one that fails or hangs does not hinder the others."""
    durations: dict[str, float] = {}
    failures: Failures = {}
    fresh: list[str] = []
    unclaimed = set(checkpoint.states)
    for participant in participants:
        name = participant.name
        unclaimed.discard(name)
        if name not in checkpoint.states:
            fresh.append(name)
            continue
        started = time.perf_counter()
        try:
            await participant.restored(await _state(store, checkpoint, name))
        except Exception as error:  # noqa: BLE001  (told; the others are restored)
            failures[name] = error
        else:
            durations[name] = round((time.perf_counter() - started) * 1e3, 3)
    report = Restored(
        checkpoint=checkpoint,
        durations_ms=durations,
        errors=told(failures),
        fresh=tuple(fresh),
        unclaimed=tuple(sorted(unclaimed)),
    )
    return report, failures


async def _state(store: Store, checkpoint: Checkpoint, name: str) -> object:
    state: object = await store.aio.run(lambda finder: state_of(finder, checkpoint, name))
    return state
