"""How routes and keys are, in sentences: what replicas find, and what is left."""

from __future__ import annotations

from control import traffic
from control.accounts import Account, Window
from control.explain import Finding
from control.explain_gateway import key_findings, route_findings
from control.gateway.budgets import Budget, Holder
from control.kernel.store import Heartbeat
from control.metrics.reading import Reading, reading_of
from control.route_traffic import Standing, document
from control.specs.api_key import ApiKey
from control.specs.gateway import Gateway, GatewayFile

NOW = 1_700_000_000.0
DOLLAR = 10**9
OPEN = Standing("chat", "openai/gpt-4o", "open", "left alone for 4 s")
WELL = OPEN._replace(state="healthy", why="")
LEFT = "$90.00 left of $100.00 by front: $4.00 spent, $6.00 reserved"


def gateway() -> Gateway:
    backends = [{"provider": "openai", "model": "gpt-4o"}, {"provider": "local-vllm", "model": "llama"}]
    route = {"name": "chat", "match": {"path": "/v1/chat/completions"}, "backends": backends}
    return GatewayFile.model_validate({"gateway": {"name": "front", "routes": [route]}}).gateway


def saying(*each: Standing) -> Reading:
    """Of so many replicas, each with one standing."""
    bodies = [{**traffic.document({}), **document({}, {}, (one,), {})} for one in each]
    return reading_of((), [Heartbeat(f"{traffic.BEAT_PREFIX}g{n}", NOW, body) for n, body in enumerate(bodies)], NOW)


def budget(whose: Holder, gateway: str = "front") -> Budget:
    return Budget(whose, gateway, Account("a", Window.DAY, 100 * DOLLAR, "cost"), 4 * DOLLAR, 6 * DOLLAR, NOW)


def test_a_backend_is_told_as_replicas_find_it_with_its_own_budgets() -> None:
    mine, other = Holder("backend", "openai/gpt-4o", "chat"), Holder("backend", "openai/gpt-4o", "other")
    budgets = budget(mine), budget(other), budget(mine, "another document")
    assert list(route_findings(gateway(), saying(OPEN, OPEN), budgets)) == [
        Finding(1, "route chat", "", "takes /v1/chat/completions"),
        Finding(2, "openai/gpt-4o", "open", "left alone for 4 s"),
        Finding(3, "cost/day of openai/gpt-4o on route chat", "", LEFT),
        Finding(2, "local-vllm/llama", "", "no gateway says how it is"),
    ]


def test_where_replicas_differ_it_is_told_at_how_many() -> None:
    found = list(route_findings(gateway(), saying(OPEN, WELL, WELL), ()))
    said = "healthy at 2 of 3 gateways: it gets requests; open at 1 of 3 gateways: left alone for 4 s"
    assert found[1] == Finding(2, "openai/gpt-4o", "", said)


def test_a_key_is_told_with_its_standing_and_what_it_and_its_organization_may_still_use() -> None:
    key = ApiKey.model_validate({"sha256": "a" * 64, "organization": "lab", "expires_at": NOW + 60})
    mine = [budget(Holder("key", "alice"), ""), budget(Holder("organization", "lab"))]
    others = [budget(Holder("key", "bob")), budget(Holder("organization", "alice"))]
    assert list(key_findings("alice", key, mine + others, NOW)) == [
        Finding(1, "standing", "valid", "until 2023-11-14 22:14 UTC"),
        Finding(1, "cost/day of key alice", "", LEFT.replace(" by front", "")),
        Finding(1, "cost/day of organization lab", "", LEFT),
    ]


def test_a_revoked_key_is_told_since_when() -> None:
    key = ApiKey.model_validate({"sha256": "a" * 64, "revoked_at": NOW})
    assert list(key_findings("alice", key, (), NOW)) == [
        Finding(1, "standing", "revoked", "since 2023-11-14 22:13 UTC")
    ]
