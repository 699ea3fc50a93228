"""Requests as OpenTelemetry spans, by the conventions for generative AI. Never anything of their content.

Only where OpenTelemetry's environment variables ask for it is any of its code imported. Spans are sent by a thread of
its own, out of a bounded queue; a collector that is away costs spans and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from control.route_traffic import Outcome, model_of
from serve_apps.gateway.body import COMPLETIONS, EMBEDDINGS
from serve_apps.gateway.call import Call
from serve_apps.gateway.errors import LONGEST_NAME
from serve_apps.gateway.record import Record

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger("biplane.gateway")

ASKING = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PROTOCOLS = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}
SERVICE = "biplane-gateway"
SERVED_HERE = "local-vllm"
OPERATIONS = {COMPLETIONS: "text_completion", EMBEDDINGS: "embeddings"}
BROKEN = frozenset({Outcome.SERVER_ERROR, Outcome.CUT})
_CARRIED = (b"traceparent", b"tracestate")


def exporter_of(environment: Mapping[str, str]) -> str | None:
    """The name of the exporter that is asked for, None where none is. Raises ValueError for an unknown protocol."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or not any(environment.get(one) for one in ASKING):
        return None
    name = environment.get("OTEL_TRACES_EXPORTER") or "otlp"
    if name != "otlp":
        return None if name == "none" else name
    for variable in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := environment.get(variable):
            if protocol not in PROTOCOLS:
                raise ValueError(f"{variable}: found {protocol!r}; expected {' or '.join(PROTOCOLS)}")
            return PROTOCOLS[protocol]
    return PROTOCOLS["http/protobuf"]


def provider_of(environment: Mapping[str, str]) -> TracerProvider | None:
    """None where no spans are asked for. Raises ValueError where what is asked for is not there."""
    name = exporter_of(environment)
    if name is None:
        return None
    found = list(entry_points(group="opentelemetry_traces_exporter", name=name))
    if not found:
        raise ValueError(f"OTEL_TRACES_EXPORTER: found {name!r}; expected otlp, console or none")
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {"service.name": environment.get("OTEL_SERVICE_NAME") or SERVICE}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(found[0].load()()))
    return provider


def spans_of(environment: Mapping[str, str]) -> Spans | None:
    """None where none are asked for, and where they cannot be made, which is logged: requests are answered without."""
    try:
        provider = provider_of(environment)
        return Spans(provider) if provider else None
    except Exception:  # exporters read variables of their own
        log.exception("there are no spans: what the environment asks for cannot be made")
        return None


class Spans:
    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = provider.get_tracer(SERVICE)
        self._kind, self._failed = SpanKind.SERVER, StatusCode.ERROR
        self._in_context = set_span_in_context
        self._propagator = TraceContextTextMapPropagator()
        self.close = provider.shutdown

    def begin(self, call: Call) -> None:
        """What goes on from here is a child of the request's span, which is one of what the client says."""
        headers = call.scope["headers"]
        said = {name.decode(): value.decode("latin-1") for name, value in headers if name in _CARRIED}
        operation = OPERATIONS.get(call.asked.path, "chat")
        call.span = self._tracer.start_span(
            f"{operation} {call.asked.model[:LONGEST_NAME]}", self._propagator.extract(said), self._kind
        )
        told: dict[str, str] = {}
        self._propagator.inject(told, self._in_context(call.span))
        call.trace = tuple((name.encode(), value.encode("latin-1")) for name, value in told.items())
        call.scope["headers"] = [one for one in headers if one[0] not in _CARRIED] + list(call.trace)

    def end(self, call: Call, record: Record) -> None:
        if call.span is None:
            return
        call.span.set_attributes(attributes_of(record))
        if record.outcome in BROKEN:
            call.span.set_status(self._failed)
        call.span.end()


def attributes_of(record: Record) -> dict[str, Any]:
    """The attributes of a request's span; what is not known is absent."""
    usage, backend = record.usage, record.backend
    found: dict[str, Any] = {
        "gen_ai.operation.name": OPERATIONS.get(record.path, "chat"),
        "gen_ai.request.model": record.asked,
        "gen_ai.usage.input_tokens": usage.prompt,
        "gen_ai.usage.output_tokens": usage.completion,
        "gen_ai.usage.cache_read.input_tokens": usage.cached,
        "http.request.method": "POST",
        "http.response.status_code": record.status,
        "url.path": record.path,
        "biplane.request_id": record.request_id,
        "biplane.organization": record.organization,
        "biplane.outcome": record.outcome.value,
    }
    if backend and not record.hit:
        found["gen_ai.provider.name"] = backend.partition("/")[0] if record.route else SERVED_HERE
        found["gen_ai.response.model"] = model_of(backend)
        found["biplane.backend"] = backend
    if record.first_s is not None:
        found["gen_ai.response.time_to_first_chunk"] = record.first_s
    if record.route:
        found["biplane.route"] = record.route
    if record.attempts:
        found["biplane.attempts"] = record.attempts
    if record.hit:
        found["biplane.cache"] = record.hit
    if record.code:
        found["error.type"] = record.code
    return found
