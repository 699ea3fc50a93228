"""Spans: what they say, whose children they are, and that there are none where nobody asks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import SpanKind, StatusCode

from serve_apps.gateway.spans import Spans, attributes_of, exporter_of, provider_of, spans_of
from tests.serve_apps.gateway.test_backends import ask, backend, cut, provider, publish, refusing
from tests.serve_apps.gateway.test_limits import counted, stream
from tests.serve_apps.gateway.test_requests import run
from tests.serve_apps.gateway.test_route_figures import record
from tests.serve_apps.gateway.upstream import CHAT, answer_json, chat_body, world

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def kept() -> Iterator[tuple[Spans, InMemorySpanExporter]]:
    exporter, traced = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    traced.add_span_processor(SimpleSpanProcessor(exporter))
    yield Spans(traced), exporter
    traced.shutdown()


def test_a_request_is_a_child_of_the_client_s_span_and_the_parent_of_the_backend_s(
    kept: tuple[Spans, InMemorySpanExporter],
) -> None:
    spans, exporter = kept

    async def story() -> None:
        async with world(answer_json, spans=spans) as it, provider(counted) as one:
            await publish(it, backend("openai", one.url))
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=b"}
            async with it.client.post(CHAT, json=chat_body(model="gpt"), headers=headers) as response:
                assert response.status == 200
            (span,) = finished(exporter)
            assert span.parent is not None
            assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
            assert one.headers[-1]["traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01"
            assert one.headers[-1]["tracestate"] == "a=b"
            assert (span.name, span.kind, span.status.status_code) == ("chat gpt", SpanKind.SERVER, StatusCode.UNSET)
            said = dict(span.attributes or {})
            assert said.pop("biplane.request_id")
            assert said == {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt",
                "gen_ai.response.model": "openai-model",
                "gen_ai.usage.input_tokens": 100,
                "gen_ai.usage.output_tokens": 20,
                "gen_ai.usage.cache_read.input_tokens": 0,
                "http.request.method": "POST",
                "http.response.status_code": 200,
                "url.path": CHAT,
                "biplane.organization": "default",
                "biplane.outcome": "ok",
                "biplane.route": "any",
                "biplane.backend": "openai/openai-model",
            }

    run(story())


def test_an_engine_gets_the_gateway_s_span_in_place_of_the_client_s(kept: tuple[Spans, InMemorySpanExporter]) -> None:
    spans, exporter = kept

    async def story() -> None:
        async with world(answer_json, spans=spans) as it:
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            async with it.client.post(CHAT, json=chat_body(), headers=headers) as response:
                assert response.status == 200
            (span,) = finished(exporter)
            assert it.engine.headers[-1]["traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01"
            assert (span.attributes or {})["gen_ai.provider.name"] == "local-vllm"

    run(story())


def test_what_failed_and_what_broke_off_is_an_error_with_its_type(kept: tuple[Spans, InMemorySpanExporter]) -> None:
    spans, exporter = kept

    async def story() -> None:
        async with world(answer_json, spans=spans) as it, provider(refusing(500)) as down, provider(cut) as broken:
            await publish(it, backend("openai", down.url), retries=0)
            assert (await ask(it))[0] == 503
            await publish(it, backend("openai", broken.url), retries=0)
            await stream(it)
            failed, half = finished(exporter)
            assert failed.status.status_code is half.status.status_code is StatusCode.ERROR
            assert (failed.attributes or {})["error.type"] == "model_unavailable"
            assert (half.attributes or {})["error.type"] == "stream_interrupted"
            assert (failed.attributes or {})["biplane.attempts"] == ("openai/openai-model answered 500",)

    run(story())


def finished(exporter: InMemorySpanExporter) -> tuple[ReadableSpan, ...]:
    return exporter.get_finished_spans()


def test_names_of_attributes_are_those_of_the_conventions() -> None:
    known = {getattr(gen_ai_attributes, name) for name in dir(gen_ai_attributes) if name.isupper()}
    used = {name for name in attributes_of(record()) if name.startswith("gen_ai.")}
    assert len(used) == 8
    assert used <= known


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, None),
        ({"OTEL_SERVICE_NAME": "x"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "otlp_proto_http"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "otlp_proto_grpc"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, None),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, None),
    ],
)
def test_spans_are_made_where_the_environment_asks_for_them(environment: dict[str, str], name: str | None) -> None:
    assert exporter_of(environment) == name
    if name is None:
        assert provider_of(environment) is None


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin9"}, "found 'zipkin9'; expected otlp, console or none"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke"}, "expected grpc or http/protobuf"),
    ],
)
def test_what_nobody_knows_is_refused_with_what_there_is(
    environment: dict[str, str], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match=message):
        provider_of(environment)
    assert spans_of(environment) is None, "the gateway answers without"
    assert message in caplog.text


def test_an_exporter_that_is_asked_for_is_made() -> None:
    made = provider_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SERVICE_NAME": "front"})
    assert made is not None
    assert made.resource.attributes["service.name"] == "front"
    made.shutdown()


def test_without_being_asked_for_nothing_of_opentelemetry_is_loaded() -> None:
    code = "import sys, serve_apps.gateway.app; assert not [n for n in sys.modules if n.startswith('opentelemetry')]"
    subprocess.run([sys.executable, "-c", code], check=True)
