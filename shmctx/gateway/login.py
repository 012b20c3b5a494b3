"""Routes: the explorer page, and the cookie by which it is let in."""

from pathlib import Path

import msgspec
from litestar import Response, get, post
from litestar.exceptions import NotAuthorizedException
from litestar.params import JSONBody
from litestar.response.base import ASGIResponse
from litestar.static_files import create_static_files_router

from shmctx.gateway.answers import documented
from shmctx.gateway.state import TheGate

STATIC = Path(__file__).parent / "static"
OPEN = ("/", "/v1/login", "/v1/logout", "/v1/health")
"""Paths that need no token; so does what lies below /static/."""


class Credentials(msgspec.Struct, forbid_unknown_fields=True):
    """The token, as the gateway's file has it."""

    token: str


@post("/v1/login", status_code=204, responses=documented(None, 204), operation_id="login", security=[{}])
async def login(gate: TheGate, data: JSONBody[Credentials]) -> Response[None]:
    """Get a cookie for the token. On a Unix socket nobody needs one."""
    if gate.token is None:
        return Response(None, status_code=204)
    if not gate.token.matches(data.token):
        raise NotAuthorizedException("That is not the token; it is in the file that `shmctx gateway` names.")
    return Response(None, status_code=204, headers={"set-cookie": gate.token.cookie()})


@post("/v1/logout", status_code=204, responses=documented(None, 204), operation_id="logout", security=[{}])
async def logout(gate: TheGate) -> Response[None]:
    """Have the browser forget the cookie."""
    headers = {} if gate.token is None else {"set-cookie": gate.token.cookie_end()}
    return Response(None, status_code=204, headers=headers)


@get("/", include_in_schema=False, sync_to_thread=False)
def page() -> ASGIResponse:
    """The explorer."""
    return ASGIResponse(body=(STATIC / "index.html").read_bytes(), media_type="text/html")


FILES = create_static_files_router(path="/static", directories=[STATIC], include_in_schema=False)
ROUTES = [login, logout, page, FILES]
