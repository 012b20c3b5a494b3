"""What reading commands read: a store of this machine, or one behind a gateway (`--url`)."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from shmctx.context import Context
from shmctx.event import Event
from shmctx.sessions import Session
from shmctx.store import Store

if TYPE_CHECKING:
    from shmctx.checkpoints.stored import Listed
    from shmctx.client import Client

F = TypeVar("F", bound=Callable[..., Any])

_URL, _TOKEN = "shmctx.url", "shmctx.token_file"


class Reader(Protocol):
    """A store as commands read it. The methods raise what those of Store raise."""

    @property
    def name(self) -> str:
        """The store's name, or the gateway's URL."""

    @property
    def title(self) -> str:
        """What it is called in messages."""

    def get(self, ref: str, /) -> Context | None:
        """The context of a ref or event id."""

    def resolve(self, ref: str) -> Context:
        """The same, or ContextNotFound."""

    def query(self, **wanted: Any) -> list[Context]:
        """Contexts that fit, as Store.query."""

    def descendants(self, ref: str) -> list[Context]:
        """What a context caused."""

    def session(self, session_id: str) -> Session:
        """A session, or SessionNotFound."""

    def stats(self) -> dict[str, Any]:
        """As Store.stats."""

    def participants(self) -> list[dict[str, Any]]:
        """As Store.participants."""

    def checkpoints(self, application: str | None = None, *, limit: int) -> list["Listed"]:
        """The newest checkpoints, of one application or of all."""

    def checkpoint(self, ref: str) -> "Listed":
        """One of them, or ContextNotFound."""

    def checkpoint_state(self, ref: str, participant: str) -> Any:
        """What a participant of it captured."""

    def matching(self, **wanted: Any) -> list[Event]:
        """Events that fit, as Monitor.events."""

    def with_data(self, contexts: list[Context]) -> list[Event]:
        """The events of contexts."""


class Local:
    """A store of this machine."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.name = store.name
        self.get: Callable[[str], Context | None] = store.get
        self.resolve, self.descendants = store.resolve, store.descendants
        self.session, self.stats, self.participants = store.session, store.stats, store.participants

    @property
    def title(self) -> str:
        """As Reader.title."""
        return f"the store {self.name!r}"

    def query(self, **wanted: Any) -> list[Context]:
        """As Reader.query."""
        return self.store.query(**wanted)

    def checkpoints(self, application: str | None = None, *, limit: int) -> list["Listed"]:
        """As Reader.checkpoints."""
        from shmctx.checkpoints.stored import overview

        return self.store.run(lambda finder: overview(finder, self.store.store_id, application, limit))

    def checkpoint(self, ref: str) -> "Listed":
        """As Reader.checkpoint."""
        from shmctx.checkpoints.stored import one

        return self.store.run(lambda finder: one(finder, self.store.store_id, ref))

    def checkpoint_state(self, ref: str, participant: str) -> Any:
        """As Reader.checkpoint_state."""
        from shmctx.checkpoints.stored import state_of

        checkpoint = self.checkpoint(ref).checkpoint
        return self.store.run(lambda finder: state_of(finder, checkpoint, participant))

    def matching(self, **wanted: Any) -> list[Event]:
        """As Reader.matching."""
        from shmctx.events.monitor import Monitor

        return Monitor(self.store).events(**wanted)

    def with_data(self, contexts: list[Context]) -> list[Event]:
        """As Reader.with_data."""
        return self.store.events(contexts)


class Remote:
    """A store behind a gateway."""

    def __init__(self, client: "Client") -> None:
        self.client = client
        self.name = client.url
        self.get: Callable[[str], Context | None] = client.get
        self.resolve, self.descendants = client.resolve, client.descendants
        self.session, self.stats, self.with_data = client.session, client.stats, client.with_data
        self.participants, self.checkpoints = client.participants, client.checkpoints
        self.checkpoint, self.checkpoint_state = client.checkpoint, client.checkpoint_state

    @property
    def title(self) -> str:
        """As Reader.title."""
        return f"the store behind {self.name}"

    def query(self, **wanted: Any) -> list[Context]:
        """As Reader.query."""
        return self.client.query(**wanted)

    def matching(self, **wanted: Any) -> list[Event]:
        """As Reader.matching."""
        return self.client.events(**wanted)


def _noted(key: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def note(context: click.Context, _option: click.Parameter, value: Any) -> None:
        if value is not None:
            context.meta[key] = value

    return note


def with_url(command: F) -> F:
    """Gives a reading command --url and --token-file; whatever it opens then is behind that gateway."""
    token = click.option(
        "--token-file",
        type=click.Path(dir_okay=False, exists=True, path_type=Path),
        metavar="FILE",
        expose_value=False,
        callback=_noted(_TOKEN),
        help="With --url http...: the gateway's token.",
    )
    url = click.option(
        "--url",
        metavar="URL",
        expose_value=False,
        callback=_noted(_URL),
        help="Ask a gateway instead: http://HOST:PORT or unix:/path.",
    )
    return url(token(command))


@contextlib.contextmanager
def gateway() -> Iterator[Remote | None]:
    """The store that --url names; None without it. Raises InvalidField, click.UsageError."""
    context = click.get_current_context()
    url, token_file = context.meta.get(_URL), context.meta.get(_TOKEN)
    if url is None:
        if token_file is not None:
            raise click.UsageError("--token-file is for --url.")
        yield None
        return
    if context.get_parameter_source("name") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("A gateway serves one store: with --url there is no name to give.")
    from shmctx.client import connect

    try:
        client = connect(url, token_file=token_file)
    except OSError as error:
        raise click.ClickException(f"{token_file} cannot be read: {error.strerror}.") from None
    with client:
        yield Remote(client)
