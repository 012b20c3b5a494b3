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
        self.session, self.stats = store.session, store.stats

    @property
    def title(self) -> str:
        """As Reader.title."""
        return f"the store {self.name!r}"

    def query(self, **wanted: Any) -> list[Context]:
        """As Reader.query."""
        return self.store.query(**wanted)

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
