"""The ASGI middleware under a real server: who caused a request, what the answer tells, what is left behind."""

import asyncio
import http.client
import json

import pytest
from asgi_server import serving
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import shmctx
from shmctx import carriers, w3c
from shmctx.integrations.asgi import ContextMiddleware

FOREIGN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def application(scope, receive, send):
    """Answers with the ref of the current context, from a task, and from a generator that is closed elsewhere."""
    if scope["type"] == "websocket":
        await receive()
        if scope["path"] == "/refused":
            await send({"type": "websocket.close", "code": 1000})
            return
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": f"{shmctx.current().ref} {message['text']}"})
        return
    if scope["path"] == "/broken":
        raise ValueError("broken")
    context = shmctx.current()
    seen = await asyncio.create_task(asyncio.sleep(0, shmctx.current()))
    assert seen is context
    headers = [(b"x-correlation-id", b"its own")] if scope["path"] == "/own" else []
    body = json.dumps({"ref": context and context.ref, "named": context and scope["shmctx.context"].ref}).encode()
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def ask(port, path="/some?secret=1", headers=()):
    """(status, headers, JSON of the body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest("GET", path)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, answer.headers, json.loads(body) if answer.status == 201 else None
    finally:
        connection.close()


@pytest.fixture
def served(stores):
    """(store, port) of the application behind the middleware."""
    store = stores.open()
    with serving(ContextMiddleware(application, store, fields=lambda scope: {"agent_id": scope["path"]})) as port:
        yield store, port


def done(store, ref, wait_for):
    """The context of a request that was answered, when its end is annotated."""
    wait_for(lambda: "_duration_ms" in store[ref].custom)
    return store[ref]


def test_a_request_without_headers_begins_a_correlation(served, wait_for):
    store, port = served
    status, headers, body = ask(port)
    context = done(store, body["ref"], wait_for)

    assert status == 201
    assert body["named"] == context.ref
    assert (context.event_name, context.depth, context.parent_ref, context.agent_id) == (
        "http:request",
        0,
        None,
        "/some",
    )
    assert store.event(context.ref).data == {"method": "GET", "path": "/some"}
    assert headers["X-Correlation-ID"] == context.correlation_id
    assert w3c.parse_traceparent(headers["traceparent"]).trace_id == w3c.trace_id(context.correlation_id)
    assert context.custom["_status"] == 201
    assert context.custom["_duration_ms"] > 0
    assert shmctx.current() is None


def test_a_reader_of_the_segment_is_the_exact_parent(served):
    store, port = served
    with store.span("caller", session={"id": "s-1"}) as caller:
        _, headers, body = ask(port, headers=carriers.inject(store).items())
    context = store[body["ref"]]

    assert (context.parent_ref, context.correlation_id, context.session_id) == (
        caller.ref,
        caller.correlation_id,
        "s-1",
    )
    assert headers["X-Correlation-ID"] == caller.correlation_id


def test_a_foreign_trace_is_continued(served):
    store, port = served
    _, headers, body = ask(port, headers=[("traceparent", FOREIGN), ("X-Correlation-ID", "unrelated")])
    context = store[body["ref"]]

    assert context.correlation_id == headers["X-Correlation-ID"] == "0af7651916cd43dd8448eb211c80319c"
    assert context.parent_event_id == "span_b7ad6b7169203331"
    assert headers["traceparent"].split("-")[1] == context.correlation_id


def test_a_correlation_id_is_continued_and_names_its_own_trace(served):
    store, port = served
    _, headers, body = ask(port, headers=[("x-correlation-id", "order-17")])
    trace = [("traceparent", f"00-{w3c.trace_id('order-17')}-b7ad6b7169203331-01"), ("X-Correlation-ID", "order-17")]
    _, _, traced = ask(port, headers=trace)

    assert store[body["ref"]].correlation_id == headers["X-Correlation-ID"] == "order-17"
    assert store[traced["ref"]].correlation_id == "order-17"
    assert store[traced["ref"]].parent_event_id == "span_b7ad6b7169203331"


HOSTILE = [
    ("X-Correlation-ID", "x" * 129),
    ("X-Correlation-ID", "two words"),
    ("X-Correlation-ID", "\xe9"),
    ("traceparent", "00-zz"),
    ("traceparent", FOREIGN.replace("-01", "-01, ") + FOREIGN),
    ("tracestate", "shmctx=ctx_0000000000000001"),
    ("baggage", "shmctx.correlation_id=a%0d%0aSet-Cookie:%20x"),
    ("baggage", "%%%=;,"),
]


@pytest.mark.parametrize("header", HOSTILE, ids=lambda header: header[0])
def test_headers_that_cannot_be_used_count_as_absent(served, header):
    store, port = served
    status, headers, body = ask(port, headers=[header])
    context = store[body["ref"]]

    assert status == 201
    assert context.parent_event_id is None
    assert headers["X-Correlation-ID"] == context.correlation_id
    assert context.correlation_id.startswith("corr_")
    assert "Set-Cookie" not in headers


def test_a_correlation_id_of_any_text_does_not_end_a_header(served):
    """Contexts may have one that somebody put; only its quoted form reaches the answer."""
    store, port = served
    with store.span("caller", correlation_id="a\r\nSet-Cookie: x"):
        status, headers, _ = ask(port, headers=list(carriers.inject(store).items()))

    assert status == 201
    assert headers["X-Correlation-ID"] == "a%0D%0ASet-Cookie%3A%20x"
    assert "Set-Cookie" not in headers


def test_the_application_s_own_header_stays(served):
    _, headers, _ = ask(served[1], "/own")

    assert headers.get_all("X-Correlation-ID") == ["its own"]
    assert len(headers.get_all("traceparent")) == 1


def test_what_an_application_raises_is_told_and_goes_on_to_the_server(served, wait_for):
    store, port = served
    status, _, _ = ask(port, "/broken")
    wait_for(lambda: store.query(errors=True))
    [context] = store.query(errors=True)

    assert status == 500
    assert context.error_text == "ValueError: broken"


def test_requests_of_one_connection_are_not_each_other_s_children(served):
    store, port = served
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    refs = []
    for _ in range(3):
        connection.request("GET", "/some")
        refs.append(json.loads(connection.getresponse().read())["ref"])
    connection.close()

    assert [store[ref].depth for ref in refs] == [0, 0, 0]
    assert len({store[ref].correlation_id for ref in refs}) == 3


def test_a_websocket_is_one_context_for_all_its_messages(served, wait_for):
    store, port = served
    with connect(f"ws://127.0.0.1:{port}/feed", additional_headers={"traceparent": FOREIGN}) as socket:
        socket.send("a")
        ref, _, text = socket.recv(timeout=20).partition(" ")
        socket.send("b")
        assert (socket.recv(timeout=20), text) == (f"{ref} b", "a")
        headers = socket.response.headers
    context = done(store, ref, wait_for)

    assert (context.event_name, context.parent_event_id) == ("ws:connect", "span_b7ad6b7169203331")
    assert headers["X-Correlation-ID"] == context.correlation_id
    assert headers["traceparent"].split("-")[2] == w3c.span_id(context.event_id)
    assert context.custom["_status"] == 101


def test_a_websocket_that_is_refused_has_its_context_too(served, wait_for):
    store, port = served
    with pytest.raises(InvalidStatus), connect(f"ws://127.0.0.1:{port}/refused"):
        pass
    wait_for(lambda: store.query(event_name="ws:connect"))
    [context] = store.query(event_name="ws:connect")

    assert "_status" not in done(store, context.ref, wait_for).custom


def test_who_is_not_trusted_is_not_believed(stores):
    store = stores.open()
    with serving(ContextMiddleware(application, store, trusted=False)) as port:
        _, _, body = ask(port, headers=[("traceparent", FOREIGN), ("X-Correlation-ID", "order-17")])

    assert store[body["ref"]].correlation_id.startswith("corr_")


def test_header_and_validator_are_the_user_s(stores):
    store = stores.open()
    middle = ContextMiddleware(application, store, header="X-Request-ID", validator=lambda text: text == "good")
    with serving(middle) as port:
        _, headers, body = ask(port, headers=[("X-Request-ID", "good")])
        _, _, other = ask(port, headers=[("X-Request-ID", "bad")])

    assert store[body["ref"]].correlation_id == headers["X-Request-ID"] == "good"
    assert store[other["ref"]].correlation_id.startswith("corr_")


def test_a_request_is_served_when_the_store_is_closed(stores, caplog):
    store = stores.open()
    store.close()
    with serving(ContextMiddleware(application, store)) as port:
        status, headers, body = ask(port)

    assert (status, body["ref"]) == (201, None)
    assert "X-Correlation-ID" not in headers
    assert "served without a context" in caplog.text


def test_the_caller_s_own_context_is_back_afterwards(stores):
    """In a test client, or a mounted application, the middleware runs in somebody's context."""
    store = stores.open()
    inner = ContextMiddleware(application, store)
    outer = ContextMiddleware(inner, store)
    sent = []

    async def run():
        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        with store.span("test") as own:
            await outer(scope, None, send)
            assert shmctx.current() is own
        assert "shmctx.context" not in scope

    asyncio.run(run())
    assert [len(store.query(event_name="http:request"))] == [1]
    assert json.loads(sent[1]["body"])["ref"] == store.query(event_name="http:request")[0].ref


def test_a_streaming_body_that_is_closed_elsewhere_leaves_no_context(stores):
    """A generator that is finalised in another contextvars.Context neither raises nor leaks ("Token was created in a
    different Context" is what others answer)."""
    store = stores.open()

    async def stream():
        with store.span("stream"):
            yield shmctx.current().ref
            yield shmctx.current().ref

    async def streaming(scope, receive, send):
        body = stream()
        ref = await anext(body)
        assert store[ref].parent_ref == scope["shmctx.context"].ref
        await asyncio.create_task(body.aclose())
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def run():
        async def send(message):
            assert message["status"] == 200

        await ContextMiddleware(streaming, store)({"type": "http", "path": "/", "headers": []}, None, send)
        assert shmctx.current() is None

    asyncio.run(run())
