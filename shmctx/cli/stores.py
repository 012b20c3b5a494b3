"""Naming a store on the command line, and opening it for reading: nothing is created, nobody is led."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import click

from shmctx import attachment as attachments
from shmctx.attachment import Attachment
from shmctx.cli.readers import Local, Reader, gateway
from shmctx.context import Context
from shmctx.errors import ColdError, ContextNotFound, SegmentError, SegmentMissing, SessionNotFound
from shmctx.hot import segment as segments
from shmctx.hot._core import GRANULE
from shmctx.refs import resolve_native
from shmctx.sessions import Session
from shmctx.settings import DEFAULT_NAME, Settings, environment
from shmctx.store import Store

T = TypeVar("T")


def complete_name(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Segments whose name begins so, for the shell."""
    return [name for name in segments.names() if name.startswith(incomplete)]


def default_name() -> str:
    """SHMCTX_SEGMENT, or `default`."""
    return environment().segment or DEFAULT_NAME


name_argument = click.argument("name", shell_complete=complete_name)
name_option = click.option(
    "--name", shell_complete=complete_name, help="The store; otherwise the one whose id is in the ref."
)
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


@contextlib.contextmanager
def reading(name: str) -> Iterator[Reader]:
    """Open a store for reading, or the one that --url names. Raises SegmentError, GatewayError."""
    with gateway() as remote:
        if remote is not None:
            yield remote
            return
        with view(name) as found:
            yield Local(found.store)


class Candidates:
    """The stores that a ref or another id may belong to: of this machine, or behind a gateway. `candidates` opens
    them."""

    def __init__(self, stack: contextlib.ExitStack, name: str | None) -> None:
        self._stack = stack
        self._named: Reader | None = stack.enter_context(gateway())
        if self._named is None and name is not None:
            self._named = Local(stack.enter_context(view(name)).store)
        self._views: dict[int, View] | None = None

    def of(self, text: str) -> list[Reader]:
        """The named store, else the one whose id is in a ref, else every store, as for an id that a context brought
        with it. Raises SegmentMissing."""
        if self._named is not None:
            return [self._named]
        views = self._all()
        native = resolve_native(text)
        if native is None and not views:
            raise SegmentMissing("There is no segment on this machine.")
        if native is None:
            return [Local(found.store) for found in views.values()]
        if native[0] not in views:
            raise SegmentMissing(f"No segment on this machine is of store {native[0]:06x}, which made {text!r}.")
        return [Local(views[native[0]].store)]

    def resolve(self, ref: str) -> Context:
        """The context of a ref or event id. Raises ContextNotFound, RecordDamaged, SegmentMissing."""
        return self.holding(ref)[1]

    def holding(self, ref: str) -> tuple[Reader, Context]:
        """As resolve, with the store that has it."""

        def ask(store: Reader) -> Context | None:
            context = store.get(ref)
            return context if isinstance(context, Context) else None

        stores = self.of(ref)
        found, silent = _first(stores, ask)
        if found is None and silent:
            raise ContextNotFound(f"{ref!r} resolves neither in a ring nor in a database.", hint=silent)
        return found or (stores[-1], stores[-1].resolve(ref))

    def members(self, named: str) -> tuple[Reader, list[Context]]:
        """All contexts of the correlation that has this id, or to which the context of a ref or event id belongs, and
        their store. Raises ContextNotFound, SegmentMissing."""

        def ask(store: Reader) -> list[Context]:
            members = store.query(correlation_id=named)
            context = None if members else store.get(named)
            return store.query(correlation_id=context.correlation_id) if isinstance(context, Context) else members

        found, silent = _first(self.of(named), ask)
        if found is None:
            raise ContextNotFound(
                f"{named!r} is neither a correlation nor a context of {self._told()}.",
                hint=silent or "shmctx query NAME --newest-first --limit 10",
            )
        return found

    def session(self, session_id: str) -> Session:
        """The session of this id. Raises SessionNotFound, SegmentMissing."""

        def ask(store: Reader) -> Session | None:
            try:
                return store.session(session_id)
            except SessionNotFound:
                return None

        found, silent = _first(self.of(session_id), ask)
        if found is None:
            raise SessionNotFound(
                f"No context of {self._told()} has the session {session_id!r}, or all of them have expired.",
                hint=silent,
            )
        return found[1]

    def _told(self) -> str:
        return "any store of this machine" if self._named is None else self._named.title

    def _all(self) -> dict[int, View]:
        if self._views is None:
            self._views = {}
            for name in segments.names():
                with contextlib.suppress(SegmentError):
                    found = self._stack.enter_context(view(name))
                    self._views[found.store.store_id] = found
        return self._views


def _first(stores: list[Reader], ask: Callable[[Reader], T | None]) -> tuple[tuple[Reader, T] | None, str]:
    """The first store that has an answer, with the answer; and why others could not look. Raises the ColdError of an
    only one."""
    silent = ""
    for store in stores:
        try:
            answer = ask(store)
        except ColdError as error:
            if len(stores) == 1:
                raise
            silent = f"{silent} {error.message}".lstrip()
            continue
        if answer:
            return (store, answer), silent
    return None, silent


@contextlib.contextmanager
def candidates(name: str | None) -> Iterator[Candidates]:
    """Open the named store, or the one that SHMCTX_SEGMENT names; otherwise all of this machine, once they are needed.

    Raises SegmentError.
    """
    with contextlib.ExitStack() as stack:
        yield Candidates(stack, name or environment().segment)
