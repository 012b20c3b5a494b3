"""Headers: what a context becomes in them, and what comes in with them."""

import asyncio
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import SMALL

import shmctx
from shmctx import carriers, w3c
from shmctx.carriers import inject

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FOREIGN = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
SAID = {"correlation_id": TRACE, "parent_event_id": f"span_{SPAN}"}


@pytest.fixture(params=["sync", "async"])
def extract(request):
    if request.param == "sync":
        return carriers.extract
    return lambda store, headers: asyncio.run(carriers.extract_async(store, headers))


def test_a_context_comes_back_to_its_own_store_as_itself(store, extract):
    with store.span("call", agent_id="a") as context:
        headers = inject(store)

    assert list(headers) == ["traceparent", "tracestate", "baggage"]
    assert extract(store, headers) == {"parent": context}
    child = store[store.put("served", **extract(store, {name.title(): value for name, value in headers.items()}))]
    assert (child.parent_ref, child.agent_id) == (context.ref, "a")


def test_a_context_that_left_the_ring_is_found_too(stores, extract):
    store = stores.open(SMALL)
    with store.span("call", agent_id="a") as context:
        headers = inject(store)
    stores.evict(store, context.ref)

    assert extract(store, headers) == {"parent": context}


def test_without_a_context_there_is_nothing_to_say(store, extract):
    assert inject(store) == {}
    assert extract(store, {}) == {}


def test_a_foreign_trace_becomes_a_correlation(store, extract):
    with store.span("served", **extract(store, FOREIGN)) as context:
        onward = inject(store)

    assert (context.correlation_id, context.parent_event_id, context.depth) == (TRACE, f"span_{SPAN}", 1)
    assert w3c.parse_traceparent(onward["traceparent"]) == (TRACE, w3c.span_id(context.event_id), 1)


def test_a_store_that_cannot_read_the_ref_continues_by_the_baggage(store, elsewhere, extract):
    with store.span("call", agent_id="ä, 7", session={"id": "s 1", "secret": 1}) as context:
        headers = inject(store)
    fields = extract(elsewhere, headers)
    served = elsewhere[elsewhere.put("served", **fields)]

    assert (served.correlation_id, served.parent_event_id) == (context.correlation_id, context.event_id)
    assert (served.agent_id, served.session) == ("ä, 7", {"id": "s 1"})
    assert "secret" not in str(headers)


def test_a_ref_goes_only_to_where_it_can_be_read(store, elsewhere):
    with store.span("call"):
        assert "tracestate" not in inject(elsewhere)


def test_what_a_foreign_trace_brought_goes_on_to_the_next_hop(store, extract):
    """Its tracestate behind ours, and its decision not to record."""
    incoming = {"traceparent": f"00-{TRACE}-{SPAN}-00", "tracestate": "vendor=x y,shmctx=ctx_qdr4j00000000003,o@t=1"}
    with store.span("served", **extract(store, incoming)), store.span("inner") as inner:
        onward = inject(store)

    assert onward["tracestate"] == f"shmctx={inner.ref},vendor=x y,o@t=1"
    assert onward["traceparent"].endswith("-00")


def test_a_ref_counts_only_in_its_own_trace(store, extract):
    """Who guesses a ref cannot hang events onto its context."""
    victim = store.put("secret", agent_id="a")
    fields = extract(store, {**FOREIGN, "tracestate": f"shmctx={victim}"})

    assert fields == SAID
    assert extract(store, {"tracestate": f"shmctx={victim}"}) == {}


def test_baggage_of_another_trace_is_not_believed(store, extract):
    baggage = "shmctx.correlation_id=corr_other,shmctx.agent_id=a"

    assert extract(store, {**FOREIGN, "baggage": baggage}) == SAID
    assert extract(store, {"baggage": baggage}) == {"correlation_id": "corr_other", "agent_id": "a"}


def test_a_span_between_two_of_ours_leaves_the_nearest_of_ours_as_the_parent(store, extract):
    """A proxy that adds its own span hands the tracestate on."""
    with store.span("call") as context:
        headers = inject(store)
    trace = w3c.parse_traceparent(headers["traceparent"]).trace_id
    headers["traceparent"] = f"00-{trace}-{SPAN}-01"

    assert extract(store, headers) == {"parent": context}


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": "00-zz"}, {"traceparent": f"00-{'0' * 32}-{SPAN}-01"}, {"tracestate": "shmctx=x"},
        {"baggage": "shmctx.correlation_id=" + "x" * 257}, {"baggage": "shmctx.agent_id=%00"},
        {"baggage": "shmctx.session_id=%FF"}, {"baggage": "shmctx.agent_id="}, {"cookie": "traceparent"},
    ],
)  # fmt: skip
def test_what_is_damaged_says_nothing(store, extract, headers):
    assert extract(store, headers) == {}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from(["", "ctx_", "ctx_qdr4j00000000003", "x" * 300, "session:s"]) | st.text(max_size=30),
    st.dictionaries(st.sampled_from(["correlation_id", "agent_id", "session_id"]), st.text(max_size=300)),
)
def test_whatever_came_can_be_stored(store, extract, ref, told):
    baggage = ",".join(f"shmctx.{key}={quote(value, errors='surrogatepass')}" for key, value in told.items())
    fields = extract(store, {**FOREIGN, "tracestate": f"shmctx={ref}", "baggage": baggage})

    assert store[store.put("served", **fields)].correlation_id == TRACE


def test_inject_takes_any_context(store, extract):
    context = store[store.put("one")]
    with shmctx.bound(store[store.put("other")]):
        assert extract(store, inject(store, context)) == {"parent": context}
