"""How much faster is reading shared memory than asking LMDB, redis or a manager process?"""

import contextlib
import importlib.util
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import shmctx
from bench import stage
from bench.harness import Options, Row, call_ns, faster_at_least, interleave, main, missing, versus
from shmctx.records import decode_context

SEED = 21
WHAT = "get(ref) -> Context"


def measure(options: Options) -> list[Row]:
    count, rounds = options.pick(100_000, 20_000), options.pick(7, 3)
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(stage.Site())
        site.create(32 * stage.MiB).close()
        refs = stage.in_process(stage.fill, site.name, count)
        store = stack.enter_context(shmctx.attach(site.name))
        random.Random(SEED).shuffle(refs)
        known: dict[str, bytes] = {ref: store.get_bytes(ref) for ref in refs}
        asked = refs[: options.pick(3_000, 1_000)]  # of the slow ones
        peers = {
            "LMDB, get in its own transaction + decode": (stack.enter_context(lmdb_get(site.folder, known)), refs, 2.5),
            "redis over a Unix socket + decode": (stack.enter_context(redis_get(site.folder, known)), asked, 50),
            "multiprocessing.Manager().dict() + decode": (stack.enter_context(manager_get(known)), asked, 50),
        }
        runs: dict[str, Callable[[], float]] = {"shmctx": lambda: call_ns(store.get, refs)}
        for name, (get, keys, _) in peers.items():
            if get is not None:
                runs[name] = lambda get=get, keys=keys: call_ns(get, keys)
        took = interleave(rounds, runs)
    return [
        versus(WHAT, "ns", took["shmctx"], (name, took[name]), faster_at_least(bound))
        if name in took
        else missing(WHAT, "ns", took["shmctx"], name, faster_at_least(bound))
        for name, (_, _, bound) in peers.items()
    ]


@contextlib.contextmanager
def lmdb_get(folder: Path, known: dict[str, bytes]) -> Iterator[Callable[[str], Any] | None]:
    """The payloads in an LMDB of their own, under the refs; None where it is not installed."""
    if importlib.util.find_spec("lmdb") is None:
        yield None
        return
    import lmdb

    with lmdb.open(str(folder / "lmdb-get"), map_size=256 * stage.MiB, sync=False) as env:
        with env.begin(write=True) as transaction:
            for ref, payload in known.items():
                transaction.put(ref.encode(), payload)

        def get(ref: str) -> Any:
            with env.begin() as transaction:
                return decode_context(transaction.get(ref.encode()))

        yield get


@contextlib.contextmanager
def redis_get(folder: Path, known: dict[str, bytes]) -> Iterator[Callable[[str], Any] | None]:
    """The payloads in a redis server of our own on a Unix socket, without port or file; None where there is none."""
    program = shutil.which("redis-server")
    if program is None or importlib.util.find_spec("redis") is None:
        yield None
        return
    import redis

    path = folder / "redis"
    settings = ("--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no", "--dir", str(folder))
    server = subprocess.Popen([program, *settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await_socket(path)
        with redis.Redis(unix_socket_path=str(path)) as client:
            with client.pipeline(transaction=False) as pipeline:
                for ref, payload in known.items():
                    pipeline.set(ref, payload)
                pipeline.execute()
            yield lambda ref: decode_context(client.get(ref))
    finally:
        server.terminate()
        server.wait(10)


def _await_socket(path: Path) -> None:
    deadline = time.monotonic() + 10
    with socket.socket(socket.AF_UNIX) as probe:
        while probe.connect_ex(str(path)) != 0:
            if time.monotonic() >= deadline:
                raise TimeoutError("redis-server opened no socket within 10 s")
            time.sleep(0.01)


@contextlib.contextmanager
def manager_get(known: dict[str, bytes]) -> Iterator[Callable[[str], Any]]:
    """The payloads in the dict of a manager process."""
    with stage.processes.Manager() as manager:
        shared = manager.dict(known)
        yield lambda ref: decode_context(shared[ref])


if __name__ == "__main__":
    raise SystemExit(main(["peers"]))
