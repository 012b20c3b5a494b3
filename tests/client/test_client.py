"""The client beside the store it stands for: the same objects, the same errors, asked synchronously or not."""

import asyncio
import os
import socket
import threading

import pytest
from served import LIMIT, in_thread

from shmctx import errors
from shmctx.client import connect
from shmctx.gateway.limits import Limits
from shmctx.gateway.serving import Options, Serving


def facts(context):
    return (
        context.to_dict(), context.ref, context.time_ns, context.identity, context.parent_identity,
        context.correlation_identity, context.root_identity, context.session_id, context.error_text,
    )  # fmt: skip


def same(there, here):
    assert here
    assert list(map(facts, there)) == list(map(facts, here))


def test_contexts_are_those_of_the_store(client, served):
    store = served.store

    same(client.query(), store.query())
    same(client.query(newest_first=True, limit=2), store.query(newest_first=True, limit=2))
    same(client.query(agent_id="lead", errors=False), store.query(agent_id="lead", errors=False))
    same(client.query(correlation_id="c/2", since=0.0), store.query(correlation_id="c/2"))
    same(client.query(parent="evt_00000001"), store.query(parent="evt_00000001"))
    same(client.query(after=served.steps[0]), store.query(after=served.steps[0]))
    assert client.query(limit=0) == []
    same([client.resolve("evt_00000001")], [store.resolve(served.steps[0])])
    for kin in ("children", "descendants"):
        same(getattr(client, kin)(served.root.ref), getattr(store, kin)(served.root.ref))
    same(client.ancestors(served.leaf), store.ancestors(served.leaf))
    same(client.siblings(served.steps[0]), store.siblings(served.steps[0]))


def test_events_and_sessions_too(client, served):
    store = served.store

    assert client.event(served.leaf).data == store.event(served.leaf).data
    assert client.event("ctx_nothing") is None
    assert [event.to_dict() for event in client.events("*:start")] == [
        event.to_dict() for event in store.events([served.root.ref, served.other])
    ]
    assert client.selected("minimal", text="FISHING")[0]["ref"] == served.leaf
    assert client.selected(["data.text"], "leaf:*") == [{"data.text": "fishing"}]
    assert client.session("s/1").to_dict() == store.session("s/1").to_dict()
    assert client.search("c/2")["kind"] == "correlation"
    assert client.correlation("c/2")["count"] == client.timeline("c/2")["total"] == 2
    assert client.nodes("c/2", served.other)["total"] == 1
    assert client.agent("worker")["events"] == 1
    assert client.stats()["store_id"] == store.stats()["store_id"]
    assert client.health() in (True, False)


def test_checkpoints_and_processes_too(own):
    old, new = asyncio.run(own.checkpointed())

    with own.client() as client:
        assert [(one.checkpoint, one.next_start) for one in client.checkpoints()] == [(new, True), (old, False)]
        assert asyncio.run(client.aio.checkpoint(old.ref)).checkpoint == client.checkpoint(old.ref).checkpoint == old
        assert client.checkpoint_state(new.ref, "agents/all") == {"a/1": "busy"}
        assert client.checkpoint_state(new.ref, "late") == 1  # taken over
        with pytest.raises(errors.InvalidField, match="no state of 'nobody'"):
            client.checkpoint_state(new.ref, "nobody")
        with pytest.raises(errors.InvalidField, match="not a checkpoint"):
            client.checkpoint(own.leaf)
        with pytest.raises(errors.ContextNotFound):
            client.checkpoint("ctx_nothing")
        assert [process["pid"] for process in client.participants()] == [os.getpid()]


def test_many_are_asked_for_in_pages_and_batches(own):
    refs = own.store.put_many(["one:of:many"] * 2100)

    with own.client() as client:
        assert [context.ref for context in client.query(event_name="one:of:many")] == refs
        found = client.resolve_many([*refs[:250], "ctx_nothing"])
        assert [context.ref for context in found.values() if context] == refs[:250]
        assert found["ctx_nothing"] is None


def test_what_is_put_is_in_the_store(own):
    with own.client() as client:
        ref = client.put("far:put", parent=own.leaf, agent_id="far", data={"n": [1]}, _trial=7)
        child = client.put("far:child", parent=client.resolve(ref))

        context = own.store.resolve(ref)
        assert (context.parent_ref, context.agent_id, context.custom) == (own.leaf, "far", {"_trial": 7})
        assert own.store.event(ref).data == {"n": [1]}
        assert own.store.resolve(child).parent_ref == ref
        with pytest.raises(errors.InvalidField, match="cannot be sent"):
            client.put("far:bad", data={"x": object()})
        with pytest.raises(errors.InvalidField, match="no field 'colour'"):
            client.put("far:bad", colour="red")
    own.stop()
    own.start(writable=False)
    with own.client() as client, pytest.raises(errors.ReadOnly):
        client.put("far:put")


def test_errors_are_those_of_the_store(client, served):
    for ref in ("ctx_nothing", "ctx_0000000000000000", "a/b?c#d%2F", "\U0001f600"):
        assert client.get(ref) is None
        with pytest.raises(errors.ContextNotFound):
            client.resolve(ref)
    with pytest.raises(errors.SessionNotFound):
        client.session("s-2")
    with pytest.raises(errors.InvalidField, match="colour"):
        client.query(colour="red")
    with pytest.raises(errors.InvalidField):
        client.selected(["nonsense"])
    with pytest.raises(errors.Unauthorized), served.client(token="wrong") as wrong:
        wrong.stats()
    with served.client(token=None) as nobody, pytest.raises(errors.Unauthorized):
        nobody.stats()


def test_a_client_survives_the_gateway(own):
    """Kept connections are found dead, and a restart is waited for."""
    with own.client(patience=LIMIT) as client, own.client(patience=0) as hasty:
        assert client.get(own.leaf).ref == own.leaf
        own.stop()
        with pytest.raises(errors.GatewayUnavailable, match="No gateway answers"):
            hasty.get(own.leaf)
        found = in_thread(lambda: client.get(own.leaf))
        own.start()

        assert found().ref == own.leaf
        assert client.put("after:all")


def test_too_many_requests_are_asked_again(own):
    own.stop()
    own.start(limits=Limits(rate=20, burst=2))
    with own.client(patience=LIMIT) as client:
        assert [client.get(own.leaf).ref for _ in range(5)] == [own.leaf] * 5


def test_a_unix_socket_needs_no_token(own):
    with Serving(own.store, Options(socket=own.folder / "s", limits=Limits(rate=0))) as local:
        client = connect(local.url)
        with client, client.follow(since=own.leaf, timeout=0.2) as follower:
            assert client.get(own.leaf).ref == own.leaf
            assert [event.event_name for event in follower] == ["other:start", "other:end"]


def test_threads_share_a_client(own):
    with own.client() as client:
        works = [in_thread(lambda: [context.ref for context in client.query()]) for _ in range(8)]
        assert {tuple(work()) for work in works} == {tuple(context.ref for context in own.store.query())}


def test_the_asynchronous_face_answers_alike(client, served):
    async def ask():
        aio = client.aio
        contexts, event, stats, session, none = await asyncio.gather(
            aio.query(), aio.event(served.leaf), aio.stats(), aio.session("s/1"), aio.get("ctx_nothing")
        )
        return contexts, event, stats, session, none

    contexts, event, stats, session, none = asyncio.run(ask())

    same(contexts, served.store.query())
    assert event == client.event(served.leaf)
    assert stats["name"] == served.name
    assert session.to_dict() == client.session("s/1").to_dict()
    assert none is None


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}",
        b'HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{"_ref":1,"_event_name":[]} ',
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nOops",
        b"HTTP/1.1 404 No\r\nContent-Length: 43\r\n\r\n" + b'{"error":{"code":"exit","message":"hello"}}',
        b"SSH-2.0-OpenSSH_9.9\r\n",
    ],
    ids=["nothing", "list", "short", "types", "redirection", "text", "odd-code", "ssh"],
)
def test_what_is_no_gateway_is_told_apart(answer):
    """Whatever answers, the client says so with one error, and sends its token nowhere else."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(LIMIT)
        thread = threading.Thread(target=_serve, args=(server, answer))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with connect(url, token="t", patience=0, timeout=LIMIT) as client, pytest.raises(errors.GatewayError):
            client.resolve("ctx_0000000000000000")
        thread.join(LIMIT)
        assert not thread.is_alive()


def _serve(server, answer):
    connection, _ = server.accept()
    with connection:
        connection.settimeout(LIMIT)
        assert connection.recv(1 << 16).startswith(b"GET /v1/contexts/ctx_0000000000000000")
        connection.sendall(answer)


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8484", "ftp://a", "http://", "http://a:x", "http://a/b", "http://u:p@a", "unix:relative"]
)
def test_addresses_that_are_none_are_refused(url):
    with pytest.raises(errors.InvalidField):
        connect(url)


def test_a_token_is_one_line(tmp_path):
    (tmp_path / "token").write_text("one\ntwo\n")
    with pytest.raises(errors.InvalidField):
        connect("http://127.0.0.1:1", token_file=tmp_path / "token")
    with pytest.raises(errors.InvalidField):
        connect("http://127.0.0.1:1", token="a\r\nHost: b")
    with pytest.raises(FileNotFoundError):
        connect("http://127.0.0.1:1", token_file=tmp_path / "none")
