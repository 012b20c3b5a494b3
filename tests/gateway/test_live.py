"""Live events: over WebSocket and as server-sent events; filters, resuming, slow and vanishing clients."""

import asyncio
import contextlib
import http.client
import json
import random

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from shmctx.gateway.limits import Limits

LIMIT = 20  # seconds


@contextlib.asynccontextmanager
async def live(site, query="", **given):
    """A WebSocket on which the gateway has begun to follow: what is put from now on comes."""
    headers = {"Authorization": f"Bearer {site.gateway.token}"}
    url = f"ws://127.0.0.1:{site.gateway.address[1]}/v1/live{query}"
    before = site.gateway._gate.hub.clients
    async with connect(url, **{"additional_headers": headers, **given}) as socket:
        if "since" not in query:
            await until(lambda: site.gateway._gate.hub.clients > before)
        yield socket


async def until(condition):
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110  (what is waited for happens in the gateway's thread)
            await asyncio.sleep(0.001)


async def said(socket):
    async with asyncio.timeout(LIMIT):
        return json.loads(await socket.recv())


async def events(socket, count):
    """The next events, that many, in however many messages."""
    found = []
    while len(found) < count:
        found += (await said(socket))["events"]
    assert len(found) == count
    return found


def test_events_come_to_everybody_as_they_want_them(site):
    async def run():
        async with (
            live(site, "?event_name=live:*") as all_, live(site, "?event_name=live:b&fields=data.n") as some,
            live(site, "?event_name=live:*&errors=true&bundle=errors") as failed, live(site, "?text=NEEDLE") as found,
        ):  # fmt: skip
            refs = [site.store.put(f"live:{name}", data={"n": n}) for n, name in enumerate("abab")]
            site.store.annotate(refs[1], error=True, error_message="late")
            needle = site.store.put("live:c", data={"text": "a needle"})
            assert [event["ref"] for event in await events(all_, 5)] == [*refs, needle]
            assert await events(some, 2) == [{"ref": refs[1], "data.n": 1}, {"ref": refs[3], "data.n": 3}]
            told = (await events(failed, 1))[0]
            assert (told["ref"], told["error_message"]) == (refs[1], "late")
            assert [event["ref"] for event in await events(found, 1)] == [needle]
        await until(lambda: site.gateway._gate.hub.clients == 0)

    asyncio.run(run())


def test_filters_change_while_one_looks_on(site):
    async def run():
        async with live(site, "?event_name=one:*") as socket:
            await socket.send('{"filters": {"event_name": "two:*"}}')
            assert await said(socket) == {"filters": {"event_name": "two:*"}}
            site.store.put("one:more")
            ref = site.store.put("two:more")
            assert [event["ref"] for event in await events(socket, 1)] == [ref]
            for nonsense in ("{", '{"filters": {"bogus": 1}}', '{"filters": {"event_name": 7}}', "[]", '"\\ud800"'):
                await socket.send(nonsense)
                assert (await said(socket))["error"]["code"] == "InvalidRequest"
            ref = site.store.put("two:still")
            assert [event["ref"] for event in await events(socket, 1)] == [ref]

    asyncio.run(run())


def test_who_comes_back_gets_every_event_once(site, seed):
    """Clients that go at any moment and come back with the last ref they saw, while two others put."""
    choose = random.Random(seed)

    async def put(count, name):
        refs = []
        for _ in range(count):
            refs.append(site.store.put(name))
            if choose.random() < 0.2:
                await asyncio.sleep(choose.random() * 0.003)
        return refs

    async def watch(since, count):
        seen = []
        while len(seen) < count:
            async with live(site, f"?since={since}&event_name=again:*&bundle=minimal") as socket:
                for _ in range(choose.randint(1, 4)):
                    if len(seen) < count:
                        seen += [event["ref"] for event in (await said(socket))["events"]]
                        since = seen[-1]
        return seen

    async def run():
        start = site.store.put("start")
        watchers = [asyncio.create_task(watch(start, 1200)) for _ in range(3)]
        first, second = await asyncio.gather(put(600, "again:a"), put(600, "again:b"))
        for seen in await asyncio.gather(*watchers):
            assert seen == sorted({*first, *second})  # refs sort by age

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_slow_client_is_told_what_it_missed(own_site):
    """What it was sent, what it was told it missed, and what came later are all there is."""
    site = own_site(limits=Limits(queued=50))

    async def run():
        async with live(site, "?event_name=flood:*") as socket:
            feed = next(iter(site.gateway._gate.hub._feeds))
            refs = []
            padding = "x" * 20_000
            while feed._lost is None:  # it reads nothing: the buffers in between fill, then its queue
                refs += [site.store.put("flood:many", data={"padding": padding}) for _ in range(20)]
                await asyncio.sleep(0.005)
            missed, seen = None, []
            refs.append(site.store.put("flood:last"))
            while missed is None or not seen or seen[-1] != refs[-1]:
                message = await said(socket)
                if "missed" in message:
                    assert missed is None or message["missed"]["first"] >= missed["end"]
                    missed = {**(missed or message["missed"]), "end": message["missed"]["end"]}
                    refs.append(site.store.put("flood:after"))
                seen += [event["ref"] for event in message.get("events", [])]
            gone = [ref for ref in refs if missed["first"] <= ref < missed["end"]]
            assert gone
            assert sorted({*seen, *gone}) == refs
            assert site.gateway._gate.tally.missed > 0

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_client_that_vanishes_is_let_go(site):
    async def run():
        async with live(site) as socket:
            socket.transport.abort()
            await until(lambda: site.gateway._gate.hub.clients == 0)
        site.store.put("nobody:looks")
        assert site("/v1/health").status == 200

    asyncio.run(run())


@pytest.mark.parametrize("host, token, headers, status", [
    ("127.0.0.1", False, {}, 401), ("127.0.0.1", False, {"Authorization": "Bearer wrong"}, 401),
    ("evil.example", True, {}, 421), ("127.0.0.1", True, {"Origin": "http://evil.example"}, 403),
])  # fmt: skip
def test_a_handshake_is_refused_as_a_request_is(site, host, token, headers, status):
    async def run():
        given = {"Authorization": f"Bearer {site.gateway.token}", **headers} if token else headers
        address, port = site.gateway.address
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"ws://{host}:{port}/v1/live", host=address, additional_headers=given):
                pass
        assert refused.value.response.status_code == status
        assert json.loads(refused.value.response.body)["error"]["code"]

    asyncio.run(run())


@pytest.mark.parametrize("query, code", [
    ("?since=ctx_0000000000000000", "ContextNotFound"), ("?since=nonsense", "ContextNotFound"),
    ("?since=", "ContextNotFound"), ("?text=", "InvalidField"), ("?correlation_id=", "InvalidField"),
    ("?fields=bogus", "InvalidField"), ("?bundle=bogus", "InvalidField"),
])  # fmt: skip
def test_what_cannot_be_followed_is_said_and_the_socket_closed(site, query, code):
    async def run():
        headers = {"Authorization": f"Bearer {site.gateway.token}"}
        url = f"ws://127.0.0.1:{site.gateway.address[1]}/v1/live{query}"
        async with connect(url, additional_headers=headers) as socket:
            assert (await said(socket))["error"]["code"] == code
            with pytest.raises(ConnectionClosed):
                await said(socket)

    asyncio.run(run())


def test_a_message_that_is_too_large_ends_the_socket(site):
    async def run():
        async with live(site) as socket:
            await socket.send("x" * (100 << 10))
            with pytest.raises(ConnectionClosed, match="1009"):
                await said(socket)

    asyncio.run(run())


def test_clients_are_told_when_the_gateway_ends(own_site):
    site = own_site()

    async def run():
        async with live(site, "?event_name=end:*") as socket:
            closing = asyncio.create_task(asyncio.to_thread(site.gateway.close))
            with pytest.raises(ConnectionClosed) as closed:
                await said(socket)
            assert closed.value.rcvd.code == 1012
            await closing

    asyncio.run(run())


def test_a_rate_drops_and_counts(site):
    async def run():
        async with live(site, "?event_name=fast:*&rate=5&fields=ref") as socket:
            for _ in range(20):
                site.store.put("fast:event")
            first = await said(socket)
            assert len(first["events"]) + first["dropped"] == 20
            assert 5 <= len(first["events"]) < 20

    asyncio.run(run())


# ---- server-sent events ----


def test_server_sent_events_resume_behind_the_last_one(site):
    headers = {"Authorization": f"Bearer {site.gateway.token}"}
    refs = [site.store.put("sse:old") for _ in range(3)]

    def stream(query, more):
        connection = http.client.HTTPConnection(*site.gateway.address, timeout=LIMIT)
        connection.request("GET", f"/v1/stream{query}", headers={**headers, **more})
        answer = connection.getresponse()
        assert answer.getheader("content-type").startswith("text/event-stream")
        assert answer.readline() == b": shmctx\n"
        assert answer.readline() == b"\n"
        identified = answer.readline().decode().rstrip("\n").removeprefix("id: ")
        data = json.loads(answer.readline().decode().removeprefix("data: "))
        answer.close()
        connection.close()
        return identified, [event["ref"] for event in data["events"]]

    assert stream(f"?since={refs[0]}&event_name=sse:*", {}) == (refs[2], refs[1:])
    assert stream("?event_name=sse:*", {"Last-Event-ID": refs[1]}) == (refs[2], refs[2:])
