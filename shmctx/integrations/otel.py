"""OpenTelemetry: contexts beside spans, under the same ids, from one service to the next.

A trace is a correlation and a span an event (shmctx.w3c). `OTEL_PROPAGATORS=tracecontext,baggage,shmctx` lets every
instrumented client and server carry contexts; `span_fields` continues the current span with a context.
"""

from typing import Any

from shmctx import carriers, w3c
from shmctx.api import current_store
from shmctx.context import Context
from shmctx.errors import ExtraMissing, ShmctxError
from shmctx.propagation import current
from shmctx.store import Store

try:
    from opentelemetry import context, trace
    from opentelemetry.baggage.propagation import W3CBaggagePropagator
    from opentelemetry.context import Context as OtelContext
    from opentelemetry.propagators import textmap
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as error:
    raise ExtraMissing("OpenTelemetry is not installed.", hint="pip install 'shmctx[otel]'") from error

HEADERS = ("traceparent", "tracestate", "baggage")
_RECEIVED = "shmctx.received"  # in an OpenTelemetry context: the headers that it was extracted from
_set_value = context.set_value  # methods have an argument of the module's name
_trace, _baggage = TraceContextTextMapPropagator(), W3CBaggagePropagator()


def span_context(found: Context) -> trace.SpanContext:
    """The ids of a context as those of a span, sampled."""
    ids = int(w3c.trace_id(found.correlation_id), 16), int(w3c.span_id(found.event_id), 16)
    return trace.SpanContext(*ids, is_remote=False, trace_flags=trace.TraceFlags(w3c.SAMPLED))


def as_parent(found: Context | None = None, under: OtelContext | None = None) -> OtelContext:
    """An OpenTelemetry context in which new spans are children of a context, by default the current one:
    `tracer.start_as_current_span(name, context=as_parent())`. Without any it is `under`, or the current one, as it is.
    """
    if (found := found or current()) is None:
        return context.get_current() if under is None else under
    return trace.set_span_in_context(trace.NonRecordingSpan(span_context(found)), under)


def span_fields(store: Store, under: OtelContext | None = None) -> dict[str, Any]:
    """Fields of a put that continue the current span: `store.span("work", **span_fields(store))`.

    The context gets the trace as its correlation, and as its parent the span, or a context of this store that came in
    with the trace. Nothing is adopted without a span, or where the current context is of its trace. Raises ColdError.
    """
    span = trace.get_current_span(under).get_span_context()
    if not span.is_valid:
        return {}
    trace_id, here = trace.format_trace_id(span.trace_id), current()
    if here is not None and w3c.trace_id(here.correlation_id) == trace_id:
        return {}
    received = context.get_value(_RECEIVED, under)
    told = carriers.extract(store, received) if isinstance(received, dict) else {}
    cause = told.get("parent")
    if cause is not None and w3c.trace_id(cause.correlation_id) == trace_id:
        return told
    if w3c.trace_id(told.get("correlation_id", "")) != trace_id:
        told = {"correlation_id": trace_id}
    told["parent_event_id"] = w3c.SPAN_PREFIX + trace.format_span_id(span.span_id)
    return told


class ContextPropagator(textmap.TextMapPropagator):
    """Carries the current context in `traceparent`, `tracestate` and `baggage`, beside what OpenTelemetry has in them.

    The entry point `shmctx`; last of several, because it writes all three whole. A current span keeps its own
    `traceparent`; the ref goes along where the context is of the span's trace, because only there it is believed.
    """

    @property
    def fields(self) -> set[str]:
        """The headers that inject writes."""
        return set(HEADERS)

    def inject(
        self,
        carrier: textmap.CarrierT,
        context: OtelContext | None = None,
        setter: textmap.Setter[textmap.CarrierT] = textmap.default_setter,
    ) -> None:
        """Write the headers of the current context and the current span; nothing without either."""
        for name, value in _sent(context).items():
            setter.set(carrier, name, value)

    def extract(
        self,
        carrier: textmap.CarrierT,
        context: OtelContext | None = None,
        getter: textmap.Getter[textmap.CarrierT] = textmap.default_getter,
    ) -> OtelContext:
        """The remote span and baggage as OpenTelemetry has them, and the headers for `span_fields`."""
        found = {name: ",".join(getter.get(carrier, name) or ()) for name in HEADERS}
        extracted = _baggage.extract(carrier, _trace.extract(carrier, context, getter), getter)
        return _set_value(_RECEIVED, {name: value for name, value in found.items() if value}, extracted)


def _sent(under: OtelContext | None) -> dict[str, str]:
    """What OpenTelemetry sends, with the current context in it."""
    headers: dict[str, str] = {}
    _trace.inject(headers, under)
    _baggage.inject(headers, under)
    here = current()
    try:
        ours = {} if here is None else carriers.inject(current_store(), here, baggage=headers.get("baggage"))
    except ShmctxError:  # its store is closed here: nobody could say more of it
        return headers
    span = w3c.parse_traceparent(headers.get("traceparent"))
    if span is None or here is None:
        return headers | ours
    if w3c.trace_id(here.correlation_id) == span.trace_id:
        state = w3c.parse_tracestate(ours["tracestate"])  # its ref goes before the caller's, which spans hand on
        merged = state | w3c.parse_tracestate(headers.get("tracestate")) | {carriers.MEMBER: state[carriers.MEMBER]}
        headers |= {"tracestate": w3c.format_tracestate(merged), "baggage": ours["baggage"]}
    return headers
