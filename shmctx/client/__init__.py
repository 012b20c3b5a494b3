"""Client: a store's contexts and events for programs that do not have its segment, through its gateway.

    with shmctx.client.connect("http://127.0.0.1:8484", token_file="default.token") as client:
        for context in client.query(agent_id="a-7"):
            ...
        for event in client.follow("agent:*"):
            ...

Answers are what a Store gives: Context, Event and Session objects with the same fields, and the same errors.
`client.aio` has the same methods to await.
"""

from shmctx.client.aio import AsyncClient
from shmctx.client.answers import RemoteContext
from shmctx.client.client import Client, connect
from shmctx.client.live import Follower

__all__ = ["AsyncClient", "Client", "Follower", "RemoteContext", "connect"]
