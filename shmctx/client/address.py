"""Where a gateway is, and what it is told with every request."""

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from shmctx.errors import InvalidField

_TOKEN = re.compile(r"[\x21-\x7e]+")
_HINT = "Write http://HOST:PORT, https://HOST[:PORT] or unix:/path/of/the/socket."
_PORTS = {"http": 80, "https": 443}


class Address(NamedTuple):
    """A gateway: on a Unix socket, or on a port with or without TLS."""

    host: str
    port: int
    tls: bool = False
    socket: str | None = None
    token: str | None = None

    @property
    def shown(self) -> str:
        """As a user wrote it; without the token."""
        return f"unix:{self.socket}" if self.socket else f"{'https' if self.tls else 'http'}://{self.netloc}"

    @property
    def netloc(self) -> str:
        """The Host header."""
        if self.socket:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.tls else "http"] else f"{host}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """What goes with every request, to this address only: nothing follows a redirection."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def address(url: str, token: str | None = None, token_file: str | Path | None = None) -> Address:
    """The address that a URL names. Raises InvalidField for what is none, OSError for a file that cannot be read."""
    if token is not None and token_file is not None:
        raise InvalidField("token and token_file exclude each other.")
    if token_file is not None:
        token = Path(token_file).read_text(encoding="ascii", errors="replace").strip()
    if token is not None and not _TOKEN.fullmatch(token):
        raise InvalidField("A token is one line of ASCII characters without spaces.")
    if url.startswith("unix:"):
        path = url.removeprefix("unix:")
        path = path[2:] if path.startswith("///") else path
        if not path.startswith("/") or "\0" in path:
            raise InvalidField(f"{url!r} names no socket.", hint=_HINT)
        return Address("localhost", 0, socket=path, token=token)
    return _tcp(url)._replace(token=token)


def _tcp(url: str) -> Address:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidField(f"{url!r} is no address of a gateway.", hint=_HINT) from None
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme not in _PORTS or not parts.hostname or extra or not url.isprintable():
        raise InvalidField(f"{url!r} is no address of a gateway.", hint=_HINT)
    return Address(parts.hostname, port or _PORTS[parts.scheme], tls=parts.scheme == "https")
