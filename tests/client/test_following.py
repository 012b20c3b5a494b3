"""Following through a gateway: every event once, whatever happens to the connection."""

import asyncio

import msgspec
import pytest
from served import LIMIT, in_thread

from shmctx import errors
from shmctx.client.address import address
from shmctx.client.live import Stream
from shmctx.errors import GatewayError


def numbers(events):
    return [event.data["n"] for event in events]


def test_events_come_with_context_and_data(own):
    with own.client() as client, client.follow("live:*", timeout=1.0) as follower:
        own.store.put("other", data={"n": 0})
        ref = own.store.put("live:one", agent_id="a", parent=own.leaf, data={"n": 1})

        event = next(follower)

        assert (event.ref, event.data) == (ref, {"n": 1})
        assert event.context.to_dict() == own.store.resolve(ref).to_dict()
        assert follower.position == ref


def test_the_past_comes_first(own):
    with own.client() as client:
        with client.follow(since="begin", timeout=0.3) as follower:
            assert [event.ref for event in follower] == [context.ref for context in own.store.query()]
        with client.follow(since=own.other, timeout=0.3) as follower:
            assert [event.event_name for event in follower] == ["other:end"]
        with client.follow("leaf:*", since="begin", errors=True, text="fishing", timeout=0.3) as follower:
            assert [event.ref for event in follower] == [own.leaf]


def test_an_iteration_that_ended_goes_on(own):
    with own.client() as client, client.follow("n", timeout=0.3) as follower:
        assert list(follower) == []
        own.store.put("n", data={"n": 1})
        assert numbers(follower) == [1]


def test_every_event_comes_once_across_restarts(own):
    with own.client(patience=LIMIT) as client, client.follow("n", timeout=LIMIT) as follower:
        sent = 0
        for _ in range(3):
            for _ in range(50):
                own.store.put("n", data={"n": sent})
                sent += 1
            assert next(follower).data is not None
            own.stop()
            own.store.put("n", data={"n": sent})
            sent += 1
            own.start()
            rest = [next(follower) for _ in range(50)]
            assert numbers(rest)[-1] == sent - 1

        follower._timeout = 0.3
        assert list(follower) == []
        assert follower.missed == []


def test_a_gateway_that_stays_away_is_told(own):
    with own.client(patience=0.2) as client, client.follow(timeout=LIMIT) as follower:
        own.stop()
        with pytest.raises(errors.GatewayUnavailable):
            next(follower)
        own.start()
        ref = own.store.put("back")
        assert next(follower).ref == ref


def test_closing_ends_an_iteration_that_waits(own):
    with own.client() as client:
        follower = client.follow()
        waiting = in_thread(lambda: list(follower))
        own.store.put("one")
        follower.close()
        assert len(waiting()) <= 1
        assert list(follower) == []


def test_what_is_refused_is_raised(own):
    with own.client() as client:
        with pytest.raises(errors.InvalidField):
            client.follow(colour="red")
        with pytest.raises(errors.ContextNotFound), client.follow(since="ctx_nothing", timeout=LIMIT) as follower:
            next(follower)
    with own.client(token="wrong") as client, pytest.raises(errors.Unauthorized):
        client.follow(since="begin")


def test_a_rate_drops_and_counts(own):
    """Each was either delivered or counted, up to the last one that came; of those behind it some may be counted."""
    with own.client() as client, client.follow("n", rate=5.0, timeout=0.1) as follower:
        came, put = [], 0
        while not follower.dropped and put < 1000:
            for _ in range(3):
                own.store.put("n", data={"n": put})
                put += 1
            came += numbers(follower)

        assert follower.dropped > 0
        assert came == sorted(set(came))
        assert came[-1] < len(came) + follower.dropped <= put


def test_the_asynchronous_follower_resumes_too(own):
    async def follow(client):
        async with client.aio.follow("n", timeout=LIMIT) as follower:
            own.store.put("n", data={"n": 0})
            assert (await anext(follower)).data == {"n": 0}
            await asyncio.to_thread(own.stop)
            own.store.put("n", data={"n": 1})
            await asyncio.to_thread(own.start)
            assert (await anext(follower)).data == {"n": 1}
            follower._timeout = 0.2
            assert [event async for event in follower] == []
            await follower.close()
            assert [event async for event in follower] == []

    with own.client(patience=LIMIT) as client:
        asyncio.run(follow(client))


# ---- the stream alone ----


def row(number, **more):
    ref = f"ctx_{number:016d}"
    told = {"ref": ref, "time_ns": number, "event_name": "e", "event_id": f"evt_{number}", "correlation_id": "c"}
    return told | more


def encoded(**message):
    return msgspec.json.encode(message)


def stream():
    made = Stream(address("http://127.0.0.1:1"), {}, patience=0)
    made.since = "begin"
    return made


def test_a_stream_goes_on_behind_the_newest_and_knows_what_came_again():
    """With errors=True an older context may come behind a newer one, when an annotation puts it into error."""
    made = stream()
    made.received(encoded(events=[row(1), row(3), row(2)]))
    assert [event.ref[-1] for event in made.ready] == ["1", "3", "2"]
    assert made.since.endswith("3")

    made.received(encoded(events=[row(2), row(4)]))  # after a reconnection behind 3

    assert [event.ref[-1] for event in made.ready] == ["1", "3", "2", "4"]


def test_what_was_missed_and_dropped_is_told():
    made = stream()
    made.received(encoded(missed={"first": "ctx_a", "end": "ctx_b"}))
    made.received(encoded(events=[row(1)], dropped=3))
    made.received(encoded(ping=1.5))

    assert made.missed == [("ctx_a", "ctx_b")]
    assert made.dropped == 3
    assert len(made.ready) == 1


@pytest.mark.parametrize(
    "message", [b"", b"[]", b"\xff", '{"events":[{}]}', '{"events":[{"ref":1}]}', '{"missed":{}}', "[" * 10000]
)
def test_messages_that_are_none_are_an_error(message):
    with pytest.raises(GatewayError):
        stream().received(message)


def test_an_error_in_the_stream_is_that_error():
    with pytest.raises(errors.ColdUnavailable, match="locked"):
        stream().received(encoded(error={"code": "ColdUnavailable", "message": "locked", "hint": ""}))
