"""Naming a store on the command line, and opening it for reading: nothing is created, nobody is led."""

import contextlib
from collections.abc import Iterator

import click

from shmctx import attachment as attachments
from shmctx.attachment import Attachment
from shmctx.hot import segment as segments
from shmctx.hot._core import GRANULE
from shmctx.settings import DEFAULT_NAME, Settings, environment
from shmctx.store import Store


def complete_name(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Segments whose name begins so, for the shell."""
    return [name for name in segments.names() if name.startswith(incomplete)]


def default_name() -> str:
    """SHMCTX_SEGMENT, or `default`."""
    return environment().segment or DEFAULT_NAME


name_argument = click.argument("name", shell_complete=complete_name)
optional_name = click.argument("name", default=default_name, shell_complete=complete_name)


class View:
    """A store open for reading, with the attachment under it."""

    def __init__(self, attachment: Attachment) -> None:
        self.attachment = attachment
        self.store = Store(attachment)

    @property
    def undrained_bytes(self) -> int:
        """What the database does not have yet."""
        _, head, drained, _ = self.attachment.ring.positions()
        return max(head - drained, 0) * GRANULE


@contextlib.contextmanager
def view(name: str, *, waiting: bool = False) -> Iterator[View]:
    """Open a store for reading; works when every process that used it is dead.

    `waiting`: map it writable, because only then does a sleeping reader leave word that it wants to be woken.
    Raises SegmentError.
    """
    opened = View(attachments.attach(name, Settings(), readonly=not waiting))
    try:
        yield opened
    finally:
        opened.store.close()
