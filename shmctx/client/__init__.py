"""Client: a store's contexts and events for programs that do not have its segment, through its gateway.

    with shmctx.client.connect("http://127.0.0.1:8484", token_file="default.token") as client:
        for context in client.query(agent_id="a-7"):
            ...
        for event in client.follow("agent:*"):
            ...

Answers are what a Store gives: Context, Event and Session objects with the same fields, and the same errors.
`client.aio` has the same methods to await.
"""

from typing import TYPE_CHECKING, Any

from shmctx.client.answers import RemoteContext
from shmctx.client.client import Client, connect
from shmctx.client.live import Follower

if TYPE_CHECKING:
    from shmctx.client.aio import AsyncClient, AsyncFollower

__all__ = ["AsyncClient", "AsyncFollower", "Client", "Follower", "RemoteContext", "connect"]


def __getattr__(name: str) -> Any:
    """The asynchronous classes, with asyncio, when somebody asks for them."""
    if name in ("AsyncClient", "AsyncFollower"):
        from shmctx.client import aio

        return getattr(aio, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
