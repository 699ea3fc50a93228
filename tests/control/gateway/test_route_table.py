"""What replicas are told of a gateway document: all that a route's requests need, and no secret."""

from __future__ import annotations

import json
from dataclasses import replace

from control.gateway.route_table import limits_of, routes_of
from control.price import FREE, Price
from control.specs.gateway import Gateway, GatewayFile
from control.specs.load import load_text
from serve_apps.gateway.cache.policy import CachePolicy
from serve_apps.gateway.table import BackendSpec, Limit, Table, Whose, parse_table
from tests.control.specs.samples import GATEWAY, broken

GPT_4O = Price(2_500, 1_250, 2_500, 10_000)


def gateway_of(text: str) -> Gateway:
    (document,) = load_text(text, "f.yaml")
    assert isinstance(document.spec, GatewayFile)
    return document.spec.gateway


def read(gateway: Gateway) -> Table:
    """The table as a replica has it."""
    told = {"routes": routes_of(gateway), "limits": limits_of(gateway)}
    return parse_table(json.dumps({"version": 1, "models": {}, **told}).encode())


def test_a_route_has_its_backends_with_their_addresses_and_where_their_keys_are() -> None:
    text = GATEWAY.replace("weight: 70", "weight: 70\n          api_key: {file: /keys/one}")
    route = read(gateway_of(text)).routes["/v1/chat/completions", None]
    assert route.backends == (
        BackendSpec("openai", "gpt-4o", 70.0, "openai", "https://api.openai.com", (("file", "/keys/one"),), GPT_4O),
        BackendSpec("local-vllm", "llama", 30.0, "openai", "http://vllm:8000", (), FREE),
    )
    assert route.chain == ("openai", "local-vllm")
    assert [one.text for one in route.triggers] == ["error_rate > 0.05", "latency_p99 > 5000ms"]
    assert (route.timeout_s, route.retries, route.pool_size, route.streaming) == (30.0, 2, 10, True)
    assert route.gateway == "front"


def test_without_a_key_of_its_own_a_backend_has_its_provider_s_variable() -> None:
    (told,) = routes_of(gateway_of(GATEWAY))
    assert [one["secret"] for one in told["backends"]] == [{"env": "OPENAI_API_KEY"}, {}]


def test_a_backend_s_limits_are_there_in_tokens_and_nano_dollars_and_an_unknown_price_is_none() -> None:
    limits = "weight: 70\n          max_tokens_per_min: 100000\n          cost_budget_daily: 0.1"
    text = broken(broken(GATEWAY, "weight: 70", limits), "model: gpt-4o", "model: gpt-9o")
    one, two = read(gateway_of(text)).routes["/v1/chat/completions", None].backends
    assert (one.price, one.tokens_per_minute, one.cost_per_day) == (None, 100_000, 100_000_000)
    assert (two.price, two.tokens_per_minute, two.cost_per_day) == (FREE, None, None)


def test_a_document_s_own_price_is_the_backend_s() -> None:
    prices = (
        "  prices:\n    - {provider: openai, model: gpt-4o, input: 2, output: 9, cached_input: 0.5}\n  rate_limits:\n"
    )
    one, _ = read(gateway_of(broken(GATEWAY, "  rate_limits:\n", prices))).routes["/v1/chat/completions", None].backends
    assert one.price == Price(2_000, 500, 2_000, 9_000)


def test_limits_of_keys_and_organizations_are_those_of_their_document() -> None:
    limits = "requests_per_minute: 60\n    - key: organization\n      tokens_per_minute: 9\n      cost_per_day: 2000.5"
    assert read(gateway_of(broken(GATEWAY, "requests_per_minute: 60", limits))).limits == (
        Limit("front", Whose.API_KEY, 60, None, None),
        Limit("front", Whose.ORGANIZATION, None, 9, 2_000_500_000_000),
    )


def test_weight_price_and_limits_are_not_what_makes_a_backend_the_same_and_all_else_is() -> None:
    spec = BackendSpec("openai", "gpt-4o", 1.0, "openai", "https://here", (("env", "KEY"),))
    same = replace(spec, weight=2.0, price=FREE, tokens_per_minute=5, cost_per_day=5)
    assert same != spec
    assert same.place == spec.place
    others = [replace(spec, provider="local-vllm"), replace(spec, model="gpt-5"), replace(spec, url="https://there")]
    assert spec.place not in [one.place for one in (*others, replace(spec, secret=()), replace(spec, dialect="x"))]


def test_a_route_caches_only_when_it_says_so() -> None:
    for cache, policy in (
        ("", None),
        ("      cache: {}\n", CachePolicy(0.8, 3600.0, 10_000, True)),
        (
            "      cache: {ttl: 10m, threshold: 0.9, semantic: false, max_entries: 5}\n",
            CachePolicy(0.9, 600.0, 5, False),
        ),
    ):
        table = read(gateway_of(broken(GATEWAY, "      match:", cache + "      match:")))
        assert table.routes["/v1/chat/completions", None].cache == policy
