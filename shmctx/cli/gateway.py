"""`shmctx gateway`: a store over HTTP and WebSocket."""

import functools
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shmctx.api import attach
from shmctx.cli.main import ERROR, HELP_OPTIONS, complain, examples
from shmctx.cli.stores import optional_name
from shmctx.errors import CannotServe

if TYPE_CHECKING:
    from shmctx.gateway.serving import Serving
    from shmctx.store import Store

_LOOK = 1.0  # seconds between looks at whether it still serves


def address(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[str, int] | None:
    """Host and port from `127.0.0.1:8484`, `[::1]:8484` or `8484`."""
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"{text!r} is no HOST:PORT, such as 127.0.0.1:8484.")
    return host.strip("[]") or "127.0.0.1", int(port)


def serve(store: "Store", given: dict[str, Any]) -> "Serving":
    """Begin to serve a store with the options of `with_gateway`. Raises CannotServe."""
    if given["http"] is not None and given["socket"] is not None:
        raise click.UsageError("Give --http or --socket, not both.")
    try:
        from shmctx.gateway.limits import Limits
        from shmctx.gateway.serving import Options, Serving
    except ImportError as error:
        raise CannotServe(
            f"The gateway needs what is not installed here: {error.name}.", hint="pip install 'shmctx[gateway]'"
        ) from None
    rate = given["rate"]
    limits = Limits() if rate is None else Limits(rate=rate, burst=2 * rate)
    options = {name: value for name, value in given.items() if value is not None and name != "rate"}
    return Serving(store, Options(limits=limits, **options))


def told(gateway: "Serving") -> str:
    """Where it serves, and what a client needs."""
    if gateway.token_file is None:
        return f"  gateway   {gateway.url} (processes of this user)"
    return f"  gateway   {gateway.url}\n  token     in {gateway.token_file}"


_OPTIONS = (
    click.option("--http", metavar="HOST:PORT", callback=address, help="Serve there; clients need the token."),
    click.option(
        "--socket", type=click.Path(dir_okay=False, path_type=Path), metavar="PATH", help="On a Unix socket (0600)."
    ),
    click.option("--writable", is_flag=True, help="Let clients put events; otherwise they only read."),
    click.option("--allow-host", "allow_hosts", multiple=True, metavar="HOST", help="A name that clients may use too."),
    click.option(
        "--token-file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Where the token is."
    ),
    click.option("--rate", type=click.FloatRange(min=0), metavar="N", help="Requests a second per client (200)."),
)


def with_gateway(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where and for whom to serve: options that `serve` takes as they come."""
    return functools.reduce(lambda inner, option: option(inner), reversed(_OPTIONS), command)


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples(
        "shmctx gateway", "shmctx gateway ksi --http 127.0.0.1:9000 --writable", "shmctx gateway ksi --socket ksi.sock"
    ),
)
@optional_name
@with_gateway
def gateway(name: str, **given: Any) -> None:
    """Serve a store over HTTP: JSON, live events, and a page to look at it.

    At 127.0.0.1:8484, unless --http or --socket says otherwise. Over TCP clients need the token in a file that is made
    at the first start, $XDG_STATE_HOME/shmctx/NAME.token. Without --writable the segment is mapped read-only. SIGINT
    and SIGTERM end it with exit code 0.
    """
    stopping = {signal.SIGINT, signal.SIGTERM}
    # Blocked before any thread starts, which inherits it: a signal waits here until sigtimedwait takes it.
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    writable = given["writable"]
    with attach(name, readonly=not writable) as store, serve(store, given) as running:
        access = "reads and puts" if writable else "reads"
        click.echo(f"shmctx gateway {access} the store {name!r} ({store.store_id:06x}).\n")
        click.echo(f"{told(running)}\n\nCtrl-C stops.")
        while signal.sigtimedwait(stopping, _LOOK) is None:
            if not running.is_alive:
                complain("The gateway ended by itself; the store is not affected.")
                raise click.exceptions.Exit(ERROR)
