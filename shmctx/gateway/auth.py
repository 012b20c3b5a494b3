"""Who may ask: the token, its file, and the cookie that stands for it in a browser."""

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import stat
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

from shmctx.errors import CannotServe

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43,128}")
_BYTES = 32


class Token:
    """The one secret of a gateway: 256 bits, as base64url."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._bearer = f"Bearer {text}".encode()
        # Not the token itself: what a browser keeps on its disk opens this gateway, and says nothing of the file.
        self._cookie = hmac.new(text.encode(), b"shmctx gateway cookie", hashlib.sha256).hexdigest()
        # Browsers do not tell ports apart: each gateway's cookie has its own name.
        self.cookie_name = f"shmctx_{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def is_in(self, headers: dict[bytes, bytes]) -> bool:
        """Whether a request's headers have the token, or its cookie."""
        given = headers.get(b"authorization")
        if given is not None:
            return hmac.compare_digest(given, self._bearer)
        cookies = headers.get(b"cookie")
        return cookies is not None and self._in_cookies(cookies.decode("latin-1"))

    def _in_cookies(self, text: str) -> bool:
        try:
            found = SimpleCookie(text).get(self.cookie_name)
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(found.value.encode(), self._cookie.encode())

    def matches(self, given: str) -> bool:
        """Whether somebody knows it."""
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self.text.encode())

    def cookie(self) -> str:
        """The Set-Cookie header for who has shown the token."""
        return f"{self.cookie_name}={self._cookie}; HttpOnly; SameSite=Strict; Path=/"

    def cookie_end(self) -> str:
        """The Set-Cookie header that takes it back."""
        return f"{self.cookie_name}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"

    def __repr__(self) -> str:
        return "<Token>"


def token_at(path: Path) -> Token:
    """The token in a file, which is made where there is none: 0600, whole or not at all. Raises CannotServe."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        return Token(_read(path))
    except OSError as error:
        raise CannotServe(f"The token's file {path} cannot be used: {error.strerror}.") from None


def _make(path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(_BYTES) + "\n")
        with contextlib.suppress(FileExistsError):  # another gateway made it meanwhile, and this one reads it
            os.link(temporary, path)
    finally:
        temporary.unlink()


def _read(path: Path) -> str:
    """The text of a token's file, if nobody else can read it. Raises CannotServe."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), encoding="latin-1") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise CannotServe(
                f"Others than you can read or write the token's file {path}.",
                hint=f"chmod 600 {path}, or remove it to have a new token made.",
            )
        text = file.read(1024).strip() if found.st_size else ""
    if not _TOKEN.fullmatch(text):
        raise CannotServe(
            f"{path} has no token: 32 random bytes as base64url, 43 characters.",
            hint="Remove it to have a new one made.",
        )
    return text
