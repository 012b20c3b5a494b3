"""Choosing the checkpoint that the next start uses, instead of the newest."""

import contextlib

from shmctx.checkpoints import stored
from shmctx.checkpoints.stored import CHOSEN, Checkpoint
from shmctx.context import Context
from shmctx.errors import ContextNotFound
from shmctx.store import Store


def choose(store: Store, ref: str) -> Checkpoint:
    """Have the next start of its application use this checkpoint, whatever is taken until then. Durable.

    Raises ContextNotFound, InvalidField for what is no checkpoint, CheckpointDamaged for one that is not whole.
    """
    checkpoint = store.run(lambda finder: stored.named(finder, ref))
    for participant in checkpoint.states:
        store.run(lambda finder, participant=participant: stored.state_of(finder, checkpoint, participant))  # type: ignore[misc]
    former = store.run(lambda finder: stored.chosen(finder, store.store_id, checkpoint.application))
    store.pin(checkpoint.ref, durable=False)
    correlation = stored.correlation_of(checkpoint.application)
    store.pin(store.put(CHOSEN, data={"checkpoint": checkpoint.ref}, correlation_id=correlation))
    if former is not None:
        _release(store, *former, checkpoint)
    return checkpoint


def _release(store: Store, choice: Context, ref: str, chosen: Checkpoint) -> None:
    """Of a choice that another one took the place of: its pins."""
    newest = store.run(lambda finder: stored.newest(finder, store.store_id, chosen.application))
    kept = {chosen.ref, newest.ref, *newest.kept} if newest else {chosen.ref}
    unpin(store, choice.ref)
    if ref not in kept:
        unpin(store, ref)


def obeyed(store: Store, choice: str, checkpoint: str) -> None:
    """A start has made the chosen checkpoint the newest, under a ref of its own: the choice counts no more."""
    store.annotate(choice, **{stored.USED: checkpoint})
    unpin(store, choice)


def pin(store: Store, ref: str) -> None:
    """Pin what may be gone meanwhile. Not waited for: the mark is behind the record, and goes where that goes."""
    with contextlib.suppress(ContextNotFound):
        store.pin(ref, durable=False)


def unpin(store: Store, ref: str) -> None:
    """Take back a pin of what may be gone meanwhile."""
    with contextlib.suppress(ContextNotFound):
        store.unpin(ref, durable=False)
