"""The metrics of routes: what replicas counted, by labels that say where."""

from __future__ import annotations

import pytest

from control import traffic
from control.kernel.store import Heartbeat
from control.route_traffic import Counts, Pair, Share, Standing, document
from control.traffic import Traffic, bucket
from tests.control.metrics.test_page import NOW, told, value

PLACE = {"route": "chat", "backend": "openai/gpt-4o", "model": "gpt-4o", "gateway": "g1"}
SHARE = Share("chat", "openai/gpt-4o", "lab")
TIMES = Traffic(4, 1, {bucket(80.0): 2}, {}, {bucket(900.0): 3})


def beat(**more: int) -> Heartbeat:
    money = {"cost": 2_500_000_000, "saved": 100_000_000}
    counts = Counts(ok=3, cut=1, fallbacks=1, prompt=100, cached=40, completion=30, exact=2, **money)
    stand = Standing("chat", "openai/gpt-4o", "half_open", "")
    routes = document({SHARE: counts}, {Pair("chat", "openai/gpt-4o"): TIMES}, (stand,), {"invalid_api_key": 6})
    return Heartbeat(traffic.BEAT_PREFIX + "g1", NOW, {**traffic.document({}), **routes, **more})


def test_requests_are_told_by_how_they_ended_and_those_that_never_did_so_are_absent() -> None:
    found = told(beat())
    assert value(found, "biplane_gateway_requests_total", **PLACE, organization="lab", outcome="ok") == 3
    assert value(found, "biplane_gateway_requests_total", **PLACE, organization="lab", outcome="cut") == 1
    assert len(found["biplane_gateway_requests_total"]) == 2


def test_tokens_money_and_hits_are_told_by_organization() -> None:
    found = told(beat())
    expected = {
        "prompt_tokens": 100,
        "cached_tokens": 40,
        "completion_tokens": 30,
        "cost_dollars": 2.5,
        "saved_dollars": 0.1,
        "fallbacks": 1,
    }
    for name, count in expected.items():
        assert value(found, f"biplane_gateway_{name}_total", **PLACE, organization="lab") == count
    assert value(found, "biplane_gateway_cache_hits_total", **PLACE, organization="lab", kind="exact") == 2


def test_times_are_told_by_route_and_backend_in_seconds() -> None:
    found = told(beat())
    assert value(found, "biplane_gateway_time_to_first_content_seconds_count", **PLACE) == 2
    assert value(found, "biplane_gateway_request_seconds_sum", **PLACE) == pytest.approx(2.7, rel=0.05)


def test_errors_are_told_by_code() -> None:
    assert value(told(beat()), "biplane_gateway_errors_total", gateway="g1", code="invalid_api_key") == 6


def test_backends_are_told_with_their_state_and_whether_they_are_left_out() -> None:
    found = told(beat(log_dropped=5))
    assert value(found, "biplane_gateway_backend_state", **PLACE, state="half_open") == 1
    assert value(found, "biplane_gateway_backend_left_out", **PLACE) == 0
    assert value(found, "biplane_gateway_access_log_dropped_total", gateway="g1") == 5


def test_a_model_that_is_served_here_is_a_backend_of_no_route() -> None:
    local = document({Share("", "llama", "lab"): Counts(ok=1)}, {}, (), {})
    found = told(Heartbeat(traffic.BEAT_PREFIX + "g1", NOW, {**traffic.document({}), **local}))
    labels = {"route": "", "backend": "llama", "model": "llama", "gateway": "g1", "organization": "lab"}
    assert value(found, "biplane_gateway_requests_total", **labels, outcome="ok") == 1
