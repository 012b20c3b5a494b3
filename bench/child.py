"""What does a subprocess pay, beyond its interpreter's start, to know its parent's context?

With shmctx it attaches to the segment that its environment names and reads the context there. The peers ask a server
that has the same context, HTTP over a Unix socket: once with the standard library, the least that Python needs for it,
and once with the client library that applications use. Each contender is a whole process; what a process takes that
does nothing is taken off.
"""

import functools
import http.server
import importlib.util
import json
import os
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import shmctx
from bench.harness import Options, Row, interleave, main, missing, slower_at_most, versus
from bench.imports import Interpreter

NOTHING = "pass"
SEGMENT = "import shmctx; shmctx.from_env(); assert shmctx.current().agent_id == 'a-7'"
STANDARD = """
import http.client, json, os, socket

class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["CONTEXT_SOCKET"])

connection = Connection("localhost")
connection.request("GET", "/v1/contexts/" + os.environ["SHMCTX_REF"])
assert json.loads(connection.getresponse().read())["_agent_id"] == "a-7"
"""
LIBRARY = """
import os, httpx

with httpx.Client(transport=httpx.HTTPTransport(uds=os.environ["CONTEXT_SOCKET"])) as client:
    response = client.get("http://localhost/v1/contexts/" + os.environ["SHMCTX_REF"])
assert response.json()["_agent_id"] == "a-7"
"""
TARGET = slower_at_most(0.5)


def measure(options: Options) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="shmctx-bench-") as folder, parent(Path(folder)) as environ:
        python = Interpreter(str(Path(folder) / "cache"), environ)
        codes = [NOTHING, SEGMENT, STANDARD]
        if importlib.util.find_spec("httpx"):
            codes.append(LIBRARY)
        runs = {code: functools.partial(python.seconds, code) for code in codes}
        took = interleave(options.pick(25, 6), runs, warmup=2)
    bare = took.pop(NOTHING)
    extra = {code: [a - b for a, b in zip(samples, bare, strict=True)] for code, samples in took.items()}
    what, ours = "parent's context in a child", extra[SEGMENT]
    rows = [
        versus(what, "s", ours, ("http.client", extra[STANDARD]), TARGET, note="beyond a process that does nothing")
    ]
    if LIBRARY in extra:
        return [*rows, versus(what, "s", ours, ("httpx", extra[LIBRARY]), TARGET)]
    return [*rows, missing(what, "s", ours, "httpx", TARGET)]


@contextmanager
def parent(folder: Path) -> Iterator[dict[str, str]]:
    """A store with a context in it, and a server that gives it to whoever asks; what a child needs for either."""
    name = f"bench-child-{os.getpid()}"
    with shmctx.open(name, db=folder / "contexts.db", ring_size=1 << 20) as store:
        server = Server(str(folder / "socket"), store)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            with store.span("agent:spawn", agent_id="a-7", session={"id": "s-1"}):
                yield {**store.child_env({}), "CONTEXT_SOCKET": str(folder / "socket")}
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
            store.close()
            shmctx.unlink(name)  # behind the close: a leader replaces a segment that loses its name


class Server(socketserver.ThreadingUnixStreamServer):
    """HTTP over a Unix socket: a context for each request."""

    daemon_threads = True

    def __init__(self, path: str, store: shmctx.Store) -> None:
        self.store = store
        super().__init__(path, Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that ends does not say goodbye."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers `GET .../REF`."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """The context under its wire names."""
        body = json.dumps(self.server.store[self.path.rpartition("/")[2]].to_dict()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


if __name__ == "__main__":
    raise SystemExit(main(["child"]))
