"""`shmctx gateway`: a store over HTTP and WebSocket."""

import signal
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
    """Begin to serve a store with the options of the command line. Raises CannotServe."""
    try:
        from shmctx.gateway.limits import Limits
        from shmctx.gateway.serving import Options, Serving
    except ImportError as error:
        raise CannotServe(
            f"The gateway needs what is not installed here: {error.name}.", hint="pip install 'shmctx[gateway]'"
        ) from None
    rate = given.pop("rate", None)
    limits = Limits() if rate is None else Limits(rate=rate, burst=2 * rate)
    return Serving(store, Options(limits=limits, **given))


def told(gateway: "Serving") -> str:
    """Where it serves, and what a client needs."""
    if gateway.token_file is None:
        return f"  gateway   {gateway.url} (processes of this user)"
    return f"  gateway   {gateway.url}\n  token     in {gateway.token_file}"


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples(
        "shmctx gateway", "shmctx gateway ksi --http 127.0.0.1:9000 --writable", "shmctx gateway ksi --socket ksi.sock"
    ),
)
@optional_name
@click.option("--http", metavar="HOST:PORT", callback=address, help="Otherwise 127.0.0.1:8484. Clients need the token.")
@click.option(
    "--socket", type=click.Path(dir_okay=False, path_type=Path), metavar="PATH", help="A Unix socket instead (0600)."
)
@click.option("--writable", is_flag=True, help="Let clients put events; otherwise the segment is mapped read-only.")
@click.option("--allow-host", "allow_hosts", multiple=True, metavar="HOST", help="Another name that clients may use.")
@click.option("--token-file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="The token's file.")
@click.option("--rate", type=click.FloatRange(min=0), metavar="N", help="Requests a second per client (200; 0: any).")
def gateway(name: str, http: tuple[str, int] | None, socket: Path | None, *, writable: bool, **given: Any) -> None:
    """Serve a store over HTTP: JSON, live events, and a page to look at it.

    Serves this machine only, unless --http says otherwise. Over TCP clients need the token in a file that is made at
    the first start, $XDG_STATE_HOME/shmctx/NAME.token. SIGINT and SIGTERM end it with exit code 0.
    """
    if http is not None and socket is not None:
        raise click.UsageError("Give --http or --socket, not both.")
    stopping = {signal.SIGINT, signal.SIGTERM}
    # Blocked before any thread starts, which inherits it: a signal waits here until sigtimedwait takes it.
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    options = {"socket": socket, "writable": writable, **given} | ({} if http is None else {"http": http})
    with attach(name, readonly=not writable) as store, serve(store, options) as running:
        access = "reads and puts" if writable else "reads"
        click.echo(f"shmctx gateway {access} the store {name!r} ({store.store_id:06x}).\n")
        click.echo(f"{told(running)}\n\nCtrl-C stops.")
        while signal.sigtimedwait(stopping, _LOOK) is None:
            if not running.is_alive:
                complain("The gateway ended by itself; the store is not affected.")
                raise click.exceptions.Exit(ERROR)
