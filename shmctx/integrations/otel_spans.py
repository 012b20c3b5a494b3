"""Contexts as OpenTelemetry spans: a correlation is a trace in any backend that takes OTLP.

`export_spans(store, OTLPSpanExporter(), correlation_id=...)` sends what is stored; otel_feed sends what comes.
"""

import math
from collections.abc import Mapping
from typing import Any, Unpack

from shmctx import w3c
from shmctx.context import Context
from shmctx.errors import ExportFailed, ExtraMissing
from shmctx.filters import Filters
from shmctx.integrations.otel import span_context
from shmctx.store import Store

try:
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
except ImportError as error:
    raise ExtraMissing("OpenTelemetry's SDK is not installed.", hint="pip install 'shmctx[otel]'") from error

GEN_AI = {"agent_id": "gen_ai.agent.id", "session_id": "gen_ai.conversation.id"}
"""Names of the semantic conventions for generative AI, which are still in development: opt in with `names=GEN_AI`."""

PAGE = 512  # spans in one export; what the SDK's own batches have
_FIELDS = ("ref", "event_id", "correlation_id", "agent_id", "client_id", "session_id", "user_id", "tenant_id")
_LONGEST = 366 * 24 * 3600 * 1e3  # ms; what lasted longer was not measured


def to_span(found: Context, resource: Resource, names: Mapping[str, str] | None = None) -> ReadableSpan:
    """A context as a span: from when it was put, as long as its `_duration_ms` says, in error where it says so.

    Its fields are attributes `shmctx.NAME`, or `names[NAME]`; of the custom ones those that are text, numbers or truth
    values, without their underscore. Data stays in the store.
    """
    own, custom = span_context(found), found.custom
    parent = found.parent_event_id
    above = None if parent is None else SpanContext(
        own.trace_id, int(w3c.span_id(parent), 16), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )  # fmt: skip
    plain = {name[1:]: value for name, value in custom.items() if isinstance(value, str | int | float)}
    told = plain | {name: getattr(found, name) for name in _FIELDS}
    return ReadableSpan(
        found.event_name,
        context=own,
        parent=above,
        resource=resource,
        attributes={(names or {}).get(key, f"shmctx.{key}"): value for key, value in told.items() if value is not None},
        kind=SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR, found.error_text) if found.error_text else Status(),
        start_time=found.time_ns,
        end_time=found.time_ns + _duration_ns(custom.get("_duration_ms")),
    )


def _duration_ns(told: Any) -> int:
    fit = type(told) in (int, float) and math.isfinite(told) and 0 <= told <= _LONGEST
    return round(told * 1e6) if fit else 0


def resource_of(store: Store) -> Resource:
    """What OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME say; without them the service is named as the store."""
    return Resource({"service.name": store.name}).merge(OTELResourceDetector().detect())


def export_spans(
    store: Store, exporter: SpanExporter, *, names: Mapping[str, str] | None = None, **filters: Unpack[Filters]
) -> int:
    """Send the contexts that fit, in batches, in the order asked for; returns how many were taken.

    `filters` are those of Store.query. Raises what query does, and ExportFailed when a batch is not taken.
    """
    resource, taken, limit = resource_of(store), 0, filters.pop("limit", None)
    while limit is None or taken < limit:
        filters["limit"] = PAGE if limit is None else min(PAGE, limit - taken)
        page = store.query(**filters)
        if not page:
            break
        if exporter.export([to_span(found, resource, names) for found in page]) is not SpanExportResult.SUCCESS:
            raise ExportFailed(f"The receiver did not take {len(page)} spans; {taken} before them it did.")
        taken += len(page)
        filters["after"] = page[-1].ref
    return taken
