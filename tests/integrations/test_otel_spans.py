"""A correlation is a trace in a backend that takes OTLP: exported over HTTP, decoded by a receiver."""

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from receiver import plain, receiving

from shmctx import w3c
from shmctx.errors import ExportFailed
from shmctx.integrations.otel_feed import SpanFeed
from shmctx.integrations.otel_spans import GEN_AI, export_spans


@pytest.fixture
def receiver():
    with receiving() as server:
        yield server


@pytest.fixture
def exporter(receiver):
    made = OTLPSpanExporter(endpoint=receiver.url, timeout=10)
    yield made
    made.shutdown()


def ids(span):
    return span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()


def test_a_correlation_arrives_as_a_trace(stores, receiver, exporter):
    store = stores.open()
    with store.span("request", agent_id="a-7", _size=3, _list=[1], correlation_id="order-17") as request:
        ref = store.put("step", data={"secret": "stays"})
    store.annotate(request.ref, _duration_ms=250.0)
    store.annotate(ref, error=True, error_type="ValueError", error_message="too big")
    store.put("another correlation")

    assert export_spans(store, exporter, correlation_id="order-17") == 2
    first, second = receiver.spans
    trace, span = w3c.trace_id("order-17"), w3c.span_id(request.event_id)
    assert ids(first) == (trace, span, "")
    assert ids(second) == (trace, w3c.span_id(store[ref].event_id), span)
    assert (first.name, second.name) == ("request", "step")
    assert first.start_time_unix_nano == request.time_ns
    assert first.end_time_unix_nano - first.start_time_unix_nano == 250_000_000
    assert second.end_time_unix_nano == second.start_time_unix_nano
    told = plain(first.attributes)
    assert (told["shmctx.ref"], told["shmctx.agent_id"], told["shmctx.size"]) == (request.ref, "a-7", 3)
    assert "shmctx.list" not in told
    assert first.status.code == Status.STATUS_CODE_UNSET
    assert (second.status.code, second.status.message) == (Status.STATUS_CODE_ERROR, "ValueError: too big")
    assert b"stays" not in second.SerializeToString()
    assert receiver.resources[0]["service.name"] == store.name


def test_a_foreign_span_is_the_parent_in_its_own_trace(stores, receiver, exporter):
    store = stores.open()
    trace = "0af7651916cd43dd8448eb211c80319c"
    store.put("continued", correlation_id=trace, parent_event_id="span_b7ad6b7169203331")
    export_spans(store, exporter)

    assert ids(receiver.spans[0])[::2] == (trace, "b7ad6b7169203331")


@pytest.mark.parametrize("duration", [-1, 1e300, True, "12", {"a": 1}])
def test_a_duration_that_cannot_be_one_is_none(stores, receiver, exporter, duration):
    store = stores.open()
    store.put("work", _duration_ms=duration)
    export_spans(store, exporter)

    assert receiver.spans[0].end_time_unix_nano == receiver.spans[0].start_time_unix_nano


def test_names_and_the_service_are_the_user_s(stores, receiver, exporter, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    store = stores.open()
    store.put("work", agent_id="a-7", session={"id": "s-1"})
    export_spans(store, exporter, names=GEN_AI)

    told = plain(receiver.spans[0].attributes)
    assert (told["gen_ai.agent.id"], told["gen_ai.conversation.id"]) == ("a-7", "s-1")
    assert receiver.resources[0]["service.name"] == "mine"


def test_many_contexts_go_in_batches_once_each(stores, receiver, exporter):
    store = stores.open()
    store.put_many(["work"] * 1100)

    assert export_spans(store, exporter) == 1100
    assert receiver.batches == 3
    assert len({span.span_id for span in receiver.spans}) == 1100
    assert export_spans(store, exporter, limit=3, newest_first=True) == 3


def test_a_receiver_that_refuses_is_told(stores, receiver, exporter, caplog):
    store = stores.open()
    store.put("work")
    receiver.status = 400

    with pytest.raises(ExportFailed, match="did not take 1 spans; 0 before"):
        export_spans(store, exporter)


def test_a_feed_sends_what_became_of_a_context(stores, receiver, exporter, wait_for):
    """Annotations that come within the delay are in the span; contexts of before the feed are not sent."""
    store = stores.open()
    store.put("before")
    with SpanFeed(store, exporter, delay=1.0) as feed:
        ref = store.put("work")
        store.annotate(ref, _duration_ms=5)
        wait_for(lambda: receiver.spans)
    [span] = receiver.spans

    assert (span.name, span.end_time_unix_nano - span.start_time_unix_nano) == ("work", 5_000_000)
    assert (feed.exported, feed.failed) == (1, 0)


def test_the_end_of_a_feed_sends_what_waits(stores, receiver, exporter):
    store = stores.open()
    with SpanFeed(store, exporter, delay=600.0, event_name="work:*") as feed:
        store.put("other")
        store.put_many(["work:a", "work:b"])

    assert [span.name for span in receiver.spans] == ["work:a", "work:b"]
    assert feed.exported == 2


def test_a_feed_counts_what_a_receiver_refuses_and_goes_on(stores, receiver, exporter, wait_for, caplog):
    store = stores.open()
    receiver.status = 400
    with SpanFeed(store, exporter, delay=0.0) as feed:
        store.put("lost")
        wait_for(lambda: feed.failed)
        receiver.status = 200
        store.put("taken")
        wait_for(lambda: feed.exported)

    assert [span.name for span in receiver.spans] == ["taken"]
    assert "400" in caplog.text
