"""A store with a gateway of its own, and clients of it."""

import os
import secrets
import threading

import shmctx
from shmctx.checkpoints import Checkpoints
from shmctx.client import connect
from shmctx.gateway.limits import Limits
from shmctx.gateway.serving import Options, Serving

LIMIT = 30.0  # seconds; only what hangs reaches it


class Served:
    """A store in this process, its gateway on a port that stays the same, and what was put."""

    def __init__(self, folder):
        self.folder = folder
        self.name = f"{os.environ['SHMCTX_TEST_SESSION']}-{secrets.token_hex(4)}"
        self.store = shmctx.open(self.name, db=folder / "contexts.db", ring_size=1 << 20)
        self.port = 0
        self.gateway = None
        self.start()
        self._fill()

    def start(self, **options):
        limits = options.pop("limits", Limits(rate=0))
        given = {"http": ("127.0.0.1", self.port), "token_file": self.folder / "token", "writable": True, **options}
        self.gateway = Serving(self.store, Options(limits=limits, **given))
        self.port = self.gateway.address[1]

    def stop(self):
        self.gateway.close()

    def client(self, **options):
        return connect(self.gateway.url, **{"token": self.gateway.token, **options})

    def _fill(self):
        with self.store.span("run:start", agent_id="lead", session={"id": "s/1", "user": "u"}, data={"n": 0}) as root:
            self.root = root
            self.steps = [self.store.put("step:do", event_id=f"evt_{n:08x}", _trial=n, tags=["t"]) for n in (1, 2)]
            self.leaf = self.store.put("leaf:done", parent=self.steps[0], agent_id="worker", data={"text": "fishing"})
        self.store.annotate(self.leaf, error=True, error_message="boom", _duration_ms=2.5, _handlers={"h": 2.5})
        self.other = self.store.put("other:start", correlation_id="c/2", data={"n": 1})
        self.store.put("other:end", parent=self.other, data={"n": 2})

    async def checkpointed(self):
        """Two checkpoints of an application, in the second of which a participant failed."""
        checkpoints = Checkpoints(self.store, "shop")
        states = iter([{"a/1": "idle"}, {"a/1": "busy"}])
        checkpoints.register("agents/all", lambda: next(states), print)
        checkpoints.register("late", iter([1]).__next__, print)
        return [await checkpoints.take() for _ in range(2)]

    def close(self):
        self.stop()
        self.store.close()
        shmctx.unlink(self.name)


def in_thread(work):
    """Run it in a thread of its own; calling the result waits for the end and gives what it returned."""
    said = []
    thread = threading.Thread(target=lambda: said.append(work()), daemon=True)
    thread.start()

    def wait():
        thread.join(LIMIT)
        assert not thread.is_alive()
        return said[0]

    return wait
