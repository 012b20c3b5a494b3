"""What does the gateway add to its framework, and does its live feed keep up with many who look on?"""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

import shmctx
from bench import stage
from bench.harness import Options, Row, Target, alone, interleave, main, shown, versus
from bench.latency import lead

CONNECTIONS = 8
CLIENTS, RATE = 20, 5_000
GATEWAY, CONSTANT, PRODUCER, VIEWERS = range(4)
_running: list[Any] = []  # of a worker: what must not be collected


def measure(options: Options) -> list[Row]:
    with stage.Site() as site, stage.Crew(4) as crew:
        site.create(32 * stage.MiB).close()
        refs = stage.in_process(stage.fill, site.name, 1_000)
        crew.start(GATEWAY, (serve, site.name, site.folder / "token"))
        url, token = crew.result(GATEWAY)
        resolved = resolving(options, crew, refs, url, token)
        crew.start(PRODUCER, (lead, site.name, str(site.database)))
        crew.result(PRODUCER)
        return [resolved, following(options, crew, site.name, url, token)]


def resolving(options: Options, crew: stage.Crew, refs: list[str], url: str, token: str) -> Row:
    """Requests a second, from a few connections that wait for each answer."""
    count, rounds = options.pick(4_000, 1_000), options.pick(7, 2)
    paths = [f"/v1/contexts/{ref}" for ref in refs]
    size = len(asyncio.run(exchange(url, token, paths[500:501], 1)))
    crew.start(CONSTANT, (serve_constant, size))
    constant = crew.result(CONSTANT)

    def requests(where: str) -> float:
        began = time.perf_counter()
        asyncio.run(exchange(where, token, paths, count))
        return count / (time.perf_counter() - began)

    found = interleave(rounds, {"ours": lambda: requests(url), "theirs": lambda: requests(constant)})
    note = f"{CONNECTIONS} connections, one request at a time each; {size} bytes of JSON; both with one uvicorn worker"
    peer = "Litestar, a constant of the same size", found["theirs"]
    return versus(
        "resolve over HTTP", "/s", found["ours"], peer, Target("at least", 0.7, "at least 0.7 x"), note=note
    )  # fmt: skip


async def exchange(url: str, token: str, paths: list[str], count: int) -> bytes:
    """Ask so many times, over CONNECTIONS connections; the last answer's body."""
    address = url.removeprefix("http://")
    host, port = address.split(":")
    body = b""

    async def one(asked: int, first: int) -> None:
        nonlocal body
        reader, writer = await asyncio.open_connection(host, int(port))
        for number in range(first, first + asked):
            path = paths[number % len(paths)]
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            body = await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        writer.close()
        await writer.wait_closed()

    share = -(-count // CONNECTIONS)
    await asyncio.gather(*(one(share, number * share) for number in range(min(CONNECTIONS, count))))
    return body


def following(options: Options, crew: stage.Crew, name: str, url: str, token: str) -> Row:
    """From a put until each of the clients has the event."""
    seconds, rounds = options.pick(10, 3), options.pick(5, 1)
    count = seconds * RATE
    quantiles = []
    for turn in range(rounds):
        crew.start(VIEWERS, (view, url, token, count, f"live:{turn}"))
        time.sleep(1.0)  # until all are connected
        crew.start(PRODUCER, (produce, name, count, f"live:{turn}"))
        took = crew.result(PRODUCER)
        quantiles.append((*crew.result(VIEWERS), took))
    half, p99, worst, took = (list(column) for column in zip(*quantiles, strict=True))
    note = (
        f"{CLIENTS} WebSocket clients, each got all of {count:,} events, in order and none twice, with the fields of "
        f"`monitoring`; half took {shown(half, 's')} or less, the slowest {shown(worst, 's')}; "
        f"put in {shown(took, 's')}; all on one machine"
    )
    return alone(f"live feed, {RATE:,} events/s, p99", "s", p99, Target("at most", 0.25, "under 250 ms"), note=note)


# ---- in the workers ----


def serve(name: str, token_file: Path) -> tuple[str, str | None]:
    from shmctx.gateway.limits import Limits
    from shmctx.gateway.serving import Options as Serve
    from shmctx.gateway.serving import Serving

    store = shmctx.attach(name, readonly=True)
    running = Serving(store, Serve(http=("127.0.0.1", 0), token_file=token_file, limits=Limits(rate=0)))
    _running.append(running)
    return running.url, running.token


def serve_constant(size: int) -> str:
    """The framework and the server alone."""
    import uvicorn
    from litestar import Litestar, Response, get
    from litestar.params import FromPath

    text = b'"%b"' % (b"x" * (size - 2))

    @get("/v1/contexts/{ref:str}")
    async def constant(ref: FromPath[str]) -> Response[bytes]:  # noqa: ARG001
        return Response(text, media_type="application/json")

    app = Litestar([constant], openapi_config=None)
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, http="h11", access_log=False, log_config=None, log_level="error")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    _running.append(thread)
    stage.until(lambda: server.started, 30)
    return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


def produce(name: str, count: int, event_name: str) -> float:
    """Put at RATE, in the process that drains; seconds that it took."""
    store = stage.attached(name)
    began = time.monotonic()
    for number in range(count):
        due = began + number / RATE
        if (early := due - time.monotonic()) > 0.001:
            time.sleep(early)
        store.put(event_name, agent_id=stage.AGENT, data={"number": number, "text": "of some length"})
    return time.monotonic() - began


class Seen(msgspec.Struct):
    """What is looked at of an event."""

    timestamp: float
    ref: str


class Said(msgspec.Struct):
    """A message; without events it says that some were missed, and that fails the run."""

    events: list[Seen]


def view(url: str, token: str, count: int, event_name: str) -> tuple[float, float, float]:
    """Look on with all clients; seconds from put to arrival: half, 99% and all."""
    return asyncio.run(_view(url, token, count, event_name))


async def _view(url: str, token: str, count: int, event_name: str) -> tuple[float, float, float]:
    from websockets.asyncio.client import connect

    decode = msgspec.json.Decoder(Said).decode
    address = f"{url.replace('http', 'ws')}/v1/live?event_name={event_name}"

    async def one() -> list[float]:
        took: list[float] = []
        last = ""
        headers = {"Authorization": f"Bearer {token}"}
        async with connect(address, additional_headers=headers, compression=None) as client:
            while len(took) < count:
                said = await client.recv(decode=False)
                now = time.time()
                for event in decode(said).events:
                    if event.ref <= last:
                        raise RuntimeError(f"{event.ref} came behind {last}")
                    last = event.ref
                    took.append(now - event.timestamp)
        return took

    async with asyncio.timeout(120):
        every = sorted(took for client in await asyncio.gather(*(one() for _ in range(CLIENTS))) for took in client)
    if len(every) != CLIENTS * count:
        raise RuntimeError(f"{CLIENTS * count - len(every):,} events did not come")
    return every[len(every) // 2], every[int(0.99 * (len(every) - 1))], every[-1]


if __name__ == "__main__":
    raise SystemExit(main(["gateway"]))
