"""A store with its gateway, and a client that is nothing but http.client."""

import http.client
import json
import os
import secrets
from typing import Any, NamedTuple

import shmctx
from shmctx.gateway.serving import Options, Serving


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of a refusal, which has the one format and nothing else."""
        assert set(self.json) == {"error"}
        assert set(self.json["error"]) == {"code", "message", "hint"}
        return self.json["error"]["code"]


def ask(gateway, path, body=None, *, method=None, token=True, headers=()):
    """One request on a connection of its own. `token`: True for the gateway's, or another one, or None."""
    connection = http.client.HTTPConnection(*gateway.address, timeout=20)
    given = {"Content-Type": "application/json"} if body is not None else {}
    if token is not None:
        given["Authorization"] = f"Bearer {gateway.token if token is True else token}"
    sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, sent, given | dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


class Site:
    """A store, its gateway, and what was put: a correlation of a root, three steps, and a failed leaf below each."""

    def __init__(self, folder, ring_size=1 << 20, **options):
        self.folder = folder
        self.name = f"{os.environ['SHMCTX_TEST_SESSION']}-{secrets.token_hex(4)}"
        self.store = shmctx.open(self.name, db=folder / "contexts.db", ring_size=ring_size)
        self.fill()
        given = {"http": ("127.0.0.1", 0), "token_file": folder / "token", "writable": True, **options}
        self.gateway = Serving(self.store, Options(**given))

    def fill(self):
        with self.store.span("run:start", agent_id="lead", session={"id": "s/1"}, data={"n": 0}) as self.root:
            self.steps, self.leaves = [], []
            for number in range(3):
                with self.store.span("step:do", data={"n": number}) as step:
                    self.steps.append(step.ref)
                    self.leaves.append(self.store.put("leaf:done", agent_id="worker", data={"n": number}))
        self.store.annotate(self.leaves[2], error=True, error_message="boom", _duration_ms=2.5)
        self.correlation = self.root.correlation_id
        self.refs = [self.root.ref, *(ref for pair in zip(self.steps, self.leaves, strict=True) for ref in pair)]

    def __call__(self, path, body=None, **given):
        return ask(self.gateway, path, body, **given)

    def close(self):
        self.gateway.close()
        self.store.close()
        shmctx.unlink(self.name)
