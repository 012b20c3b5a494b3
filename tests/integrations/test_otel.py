"""Contexts beside OpenTelemetry's spans: adopted ids, headers of both, in real tracers and propagators."""

import asyncio
import contextlib
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import shmctx
from shmctx import carriers, w3c
from shmctx.integrations.otel import ContextPropagator, as_parent, span_fields

ALONE = ContextPropagator()
TOGETHER = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator(), ContextPropagator()])


@pytest.fixture
def tracer():
    provider = TracerProvider()
    yield provider.get_tracer("test")
    provider.shutdown()


@contextlib.contextmanager
def attached(found):
    """An OpenTelemetry context is the current one, as long as the block runs."""
    token = context.attach(found)
    yield
    context.detach(token)


def ids(span):
    found = span.get_span_context()
    return trace.format_trace_id(found.trace_id), trace.format_span_id(found.span_id)


def test_a_context_adopts_the_current_span(stores, tracer):
    store = stores.open()
    with tracer.start_as_current_span("outer") as span, store.span("work", **span_fields(store)) as work:
        trace_id, span_id = ids(span)
        assert (work.correlation_id, work.parent_event_id) == (trace_id, f"span_{span_id}")
        with tracer.start_as_current_span("inner"):
            assert store[store.put("step", **span_fields(store))].parent_ref == work.ref


def test_without_a_span_nothing_is_adopted(stores):
    assert span_fields(stores.open()) == {}


def test_a_span_can_be_the_child_of_a_context(stores, tracer):
    store = stores.open()
    with store.span("work") as work, tracer.start_as_current_span("inner", context=as_parent()) as span:
        assert ids(span)[0] == w3c.trace_id(work.correlation_id)
        assert trace.format_span_id(span.parent.span_id) == w3c.span_id(work.event_id)
        assert span_fields(store) == {}
    assert as_parent() == context.get_current()


@pytest.mark.parametrize("propagator", [ALONE, TOGETHER], ids=["alone", "together"])
def test_a_receiver_finds_the_exact_parent(stores, tracer, propagator):
    """A context and a span of one trace: the span's id in traceparent, the context's ref beside it."""
    store = stores.open()
    headers = {}
    with (
        tracer.start_as_current_span("client") as span,
        store.span("call", **span_fields(store)) as call,
        attached(baggage.set_baggage("k", "v w")),
    ):
        propagator.inject(headers)
    extracted = propagator.extract(headers)

    assert headers["traceparent"].split("-")[1:3] == list(ids(span))
    assert headers["tracestate"] == f"shmctx={call.ref}"
    assert baggage.get_baggage("k", extracted) == "v w"
    with attached(extracted), tracer.start_as_current_span("server") as served:
        assert ids(served)[0] == ids(span)[0]
        assert span_fields(store)["parent"] == call


def test_a_service_in_between_sends_its_own_ref_not_its_caller_s(stores, tracer):
    store = stores.open()
    first, second = {}, {"tracestate": "stale"}
    with store.span("a"):
        TOGETHER.inject(first)
    received = TOGETHER.extract(first | {"tracestate": first["tracestate"] + ",vendor=1"})
    with attached(received), tracer.start_as_current_span("b"), store.span("b", **span_fields(store)) as between:
        TOGETHER.inject(second)

    assert second["tracestate"] == f"shmctx={between.ref},vendor=1"


def test_a_context_alone_becomes_a_remote_span(stores):
    store = stores.open()
    headers = {}
    with store.span("call") as call:
        TOGETHER.inject(headers)
        assert headers == carriers.inject(store)
    remote = trace.get_current_span(TOGETHER.extract(headers)).get_span_context()

    assert remote.is_remote
    assert trace.format_trace_id(remote.trace_id) == w3c.trace_id(call.correlation_id)


def test_a_service_without_the_segment_gets_the_correlation_s_own_name(stores, segment_name, tracer, db):
    here = stores.open()
    there = stores.open(name=f"{segment_name}-b", db=db.with_name("other.db"))
    headers = {}
    with here.span("call", correlation_id="order-17", agent_id="a-7"):
        ALONE.inject(headers)
    with attached(ALONE.extract(headers)), tracer.start_as_current_span("server") as span:
        context_there = there[there.put("served", **span_fields(there))]

    assert (context_there.correlation_id, context_there.agent_id) == ("order-17", "a-7")
    assert context_there.parent_event_id == f"span_{ids(span)[1]}"


def test_a_span_of_another_trace_keeps_its_headers(stores, tracer):
    """A ref beside the traceparent of another trace would not be believed."""
    store = stores.open()
    headers = {}
    with store.span("work"), tracer.start_as_current_span("client") as span:
        ALONE.inject(headers)

    assert headers["traceparent"].split("-")[1:3] == list(ids(span))
    assert "tracestate" not in headers


@pytest.mark.parametrize("headers", [{}, {"traceparent": "x"}, {"tracestate": "shmctx=ctx_1", "baggage": "=;,%"}])
def test_headers_that_cannot_be_used_count_as_absent(stores, headers):
    extracted = ALONE.extract(headers)

    assert not trace.get_current_span(extracted).get_span_context().is_valid
    assert span_fields(stores.open(), extracted) == {}


def test_nothing_is_injected_without_a_context_or_when_its_store_is_closed(stores):
    headers = {}
    ALONE.inject(headers)
    store = stores.open()
    with store.span("work"):
        store.close()
        ALONE.inject(headers)

    assert headers == {}


def test_the_entry_point_leads_to_the_propagator():
    """As `OTEL_PROPAGATORS=shmctx` finds it in an installed package."""
    group = "opentelemetry_propagator"
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    entry = EntryPoint("shmctx", project["entry-points"][group]["shmctx"], group)

    assert "tracestate" in entry.load()().fields


def test_an_async_generator_that_is_closed_elsewhere_is_no_error(stores, tracer, caplog):
    """What spans answer with "Failed to detach context" leaves contexts as they were."""
    store = stores.open()

    async def items():
        with store.span("stream", **span_fields(store)):
            yield shmctx.current()

    async def run():
        made = items()
        with tracer.start_as_current_span("request"):
            found = await asyncio.create_task(anext(made))
            await asyncio.create_task(made.aclose())
            assert shmctx.current() is None
        return found

    assert asyncio.run(run()).event_name == "stream"
    assert caplog.text == ""
