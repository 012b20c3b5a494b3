"""Choosing the checkpoint that the next start uses, instead of the newest."""

import contextlib

from shmctx.checkpoints import stored
from shmctx.checkpoints.stored import CHOSEN, Checkpoint
from shmctx.errors import ContextNotFound
from shmctx.store import Store


def choose(store: Store, ref: str) -> Checkpoint:
    """Have the next start of its application use this checkpoint, whatever is taken until then. Durable.

    Raises ContextNotFound, InvalidField for what is no checkpoint, CheckpointDamaged for one that is not whole.
    """
    checkpoint = store.run(lambda finder: stored.named(finder, ref))
    for participant in checkpoint.states:
        store.run(lambda finder, participant=participant: stored.state_of(finder, checkpoint, participant))  # type: ignore[misc]
    store.pin(checkpoint.ref, durable=False)
    choice = store.put(
        CHOSEN, data={"checkpoint": checkpoint.ref}, correlation_id=stored.correlation_of(checkpoint.application)
    )
    store.pin(choice)
    return checkpoint


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
