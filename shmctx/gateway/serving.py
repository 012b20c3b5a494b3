"""A gateway that runs: its socket, its token, and the thread with its event loop."""

import asyncio
import contextlib
import os
import resource
import socket
import stat
import threading
from pathlib import Path
from typing import Self

import msgspec
import uvicorn

from shmctx.errors import CannotServe
from shmctx.gateway.app import application
from shmctx.gateway.auth import Token, token_at
from shmctx.gateway.limits import Limits
from shmctx.gateway.protocol import LiveConnection, connections
from shmctx.gateway.state import Gate
from shmctx.settings import default_database
from shmctx.store import Store

DEFAULT_ADDRESS = ("127.0.0.1", 8484)
_START, _STOP = 30.0, 10.0  # seconds
_BACKLOG = 512
_FILES = 8192  # open files that the connections, and those that are refused, may need

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = (
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
)
"""Of every answer."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Where and for whom a gateway serves."""

    http: tuple[str, int] | None = DEFAULT_ADDRESS
    """Host and port; port 0: any. Not used with `socket`."""
    socket: Path | None = None
    """A Unix socket, for processes of the same user, without a token."""
    writable: bool = False
    """Whether clients may put events."""
    allow_hosts: tuple[str, ...] = ()
    """Names besides localhost under which clients may ask."""
    token_file: Path | None = None
    """Default: beside the store's default database, as NAME.token."""
    limits: Limits = Limits()


class Serving:
    """A gateway in a thread of this process. A context manager; the store stays open when it ends."""

    def __init__(self, store: Store, options: Options) -> None:
        """Begin to serve. Raises CannotServe."""
        self._socket_path: Path | None = None
        self.token_file: Path | None = None
        self.token: str | None = None
        token = self._token(store, options)
        self._gate = Gate(store, token, options.limits, writable=options.writable)
        self._listening = self._listen(options)
        try:
            app = application(self._gate, self._hosts(options))
            self._server = _Server(_config(app, self._gate, local=options.socket is not None))
        except BaseException:
            self._listening.close()
            raise
        self._thread = threading.Thread(target=self._run, name="shmctx gateway", daemon=True)
        self._thread.start()
        if not self._server.ready.wait(_START) or not self._server.started:
            self.close()
            raise CannotServe("The gateway did not start; its log says why.")

    def _token(self, store: Store, options: Options) -> Token | None:
        if options.socket is not None:
            return None
        self.token_file = options.token_file or default_database(store.name).with_suffix(".token")
        token = token_at(self.token_file)
        self.token = token.text
        return token

    def _listen(self, options: Options) -> socket.socket:
        if options.socket is not None:
            listening = _local(options.socket)
            self._socket_path = options.socket
            self.url = f"unix:{options.socket}"
            return listening
        host, port = options.http or DEFAULT_ADDRESS
        try:
            listening = _bound(host, port)
        except (OSError, OverflowError) as error:
            told = error.strerror if isinstance(error, OSError) else error
            raise CannotServe(
                f"Nothing can be served at {host}:{port}: {told}.", hint="Choose another one: --http HOST:PORT."
            ) from None
        # asyncio sets it only on sockets that name their protocol, which accepted ones do not; else every answer waits
        # for an acknowledgement that the client delays.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = host, listening.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.address[1]}"
        return listening

    def _hosts(self, options: Options) -> list[str] | None:
        if options.socket is not None:
            return None
        port = self.address[1]
        named = [name for host in options.allow_hosts for name in (host, f"{host}:{port}")]
        local = ["127.0.0.1", "localhost", "[::1]"]
        return [*(f"{host}:{port}" for host in local), *(local if port == 80 else []), *named]

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._listening])
        finally:
            self._server.ready.set()

    @property
    def is_alive(self) -> bool:
        """Whether it serves."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Answer no more. Idempotent."""
        self._server.end(self._gate)
        self._thread.join(_STOP)
        self._listening.close()
        if self._socket_path is not None:
            self._socket_path.unlink(missing_ok=True)
            self._socket_path = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(uvicorn.Server):
    """Tells when it has started, and ends from another thread."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._loop: object = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.ready.set()

    def end(self, gate: Gate) -> None:
        """Have everybody who looks on told, and answer no more."""
        self.should_exit = True
        if isinstance(self._loop, asyncio.AbstractEventLoop):
            with contextlib.suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(gate.hub.end)


def _config(app: object, gate: Gate, *, local: bool) -> uvicorn.Config:
    _raise_file_limit()
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=connections(gate.limits, gate.tally, local=local),
        ws=LiveConnection,
        ws_max_size=gate.limits.message,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=2,
        headers=list(HEADERS),
    )


def _raise_file_limit() -> None:
    """Connections that are refused are open for a moment too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _bound(host: str, port: int) -> socket.socket:
    """A TCP socket at an address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named so that asyncio turns Nagle's algorithm off: an answer's head would make its body wait.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _local(path: Path) -> socket.socket:
    """A Unix socket at a path, 0600; one that nobody listens to any more is replaced. Raises CannotServe."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_dead(path)
        mask = os.umask(0o177)
        try:
            listening.bind(str(path))
        finally:
            os.umask(mask)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise CannotServe(
            f"Nothing can be served at {path}: {error.strerror or error}.", hint="Choose another path: --socket PATH."
        ) from None
    return listening


def _remove_dead(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
