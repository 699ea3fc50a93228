"""What replicas are told of a gateway document: all that a route's requests need, and no secret."""

from __future__ import annotations

import json

from control.gateway.route_table import routes_of
from control.specs.gateway import GatewayFile
from control.specs.load import load_text
from serve_apps.gateway.cache.policy import CachePolicy
from serve_apps.gateway.table import BackendSpec, parse_table
from tests.control.specs.samples import GATEWAY


def test_a_route_has_its_backends_with_their_addresses_and_where_their_keys_are() -> None:
    (document,) = load_text(GATEWAY.replace("weight: 70", "weight: 70\n          api_key: {file: /keys/one}"), "f.yaml")
    assert isinstance(document.spec, GatewayFile)
    (told,) = routes_of(document.spec.gateway)
    table = parse_table(b'{"version": 1, "models": {}, "keys": {}, "routes": [%b]}' % json.dumps(told).encode())
    route = table.routes["/v1/chat/completions", None]
    assert route.backends == (
        BackendSpec("openai", "gpt-4o", 70.0, "openai", "https://api.openai.com", (("file", "/keys/one"),)),
        BackendSpec("local-vllm", "llama", 30.0, "openai", "http://vllm:8000", ()),
    )
    assert route.chain == ("openai", "local-vllm")
    assert [one.text for one in route.triggers] == ["error_rate > 0.05", "latency_p99 > 5000ms"]
    assert (route.timeout_s, route.retries, route.pool_size, route.streaming) == (30.0, 2, 10, True)


def test_without_a_key_of_its_own_a_backend_has_its_provider_s_variable() -> None:
    (document,) = load_text(GATEWAY, "f.yaml")
    assert isinstance(document.spec, GatewayFile)
    (told,) = routes_of(document.spec.gateway)
    assert [one["secret"] for one in told["backends"]] == [{"env": "OPENAI_API_KEY"}, {}]


def test_a_route_caches_only_when_it_says_so() -> None:
    for cache, policy in (
        ("", None),
        ("      cache: {}\n", CachePolicy(0.8, 3600.0, 10_000, True)),
        (
            "      cache: {ttl: 10m, threshold: 0.9, semantic: false, max_entries: 5}\n",
            CachePolicy(0.9, 600.0, 5, False),
        ),
    ):
        (document,) = load_text(GATEWAY.replace("      match:", cache + "      match:"), "f.yaml")
        assert isinstance(document.spec, GatewayFile)
        (told,) = routes_of(document.spec.gateway)
        table = parse_table(b'{"version": 1, "models": {}, "keys": {}, "routes": [%b]}' % json.dumps(told).encode())
        assert table.routes["/v1/chat/completions", None].cache == policy
