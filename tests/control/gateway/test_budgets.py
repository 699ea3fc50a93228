"""What is left of limits and budgets, by the accounts that requests are charged on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from control.accounts import Window
from control.gateway.budgets import budgets_of
from control.gateway.ledger.book import Line, Place
from control.gateway.route_table import limits_of, routes_of
from control.specs.api_key import ApiKey
from control.specs.gateway import Gateway, GatewayFile
from serve_apps.gateway.accounts.charges import accounts_at, accounts_of
from serve_apps.gateway.keys import Key
from serve_apps.gateway.table import parse_table

NOW = 1_700_000_000.0
DAY = Window.DAY.slot(NOW)


def gateway(**changes: Any) -> Gateway:
    backend = {"provider": "openai", "model": "gpt-4o", "max_tokens_per_min": 1000, "cost_budget_daily": 5.0}
    route = {"name": "chat", "match": {"path": "/v1/chat/completions"}, "backends": [backend]}
    return GatewayFile.model_validate({"gateway": {"name": "front", "routes": [route], **changes}}).gateway


def key(**changes: Any) -> ApiKey:
    return ApiKey.model_validate({"sha256": "a" * 64, "organization": "lab", **changes})


LIMITS = [
    {"key": "api_key", "requests_per_minute": 60, "tokens_per_minute": 500},
    {"key": "organization", "cost_per_day": 20.0},
]
OWN = {"requests_per_minute": 6, "cost_per_day": 2.5}


def test_accounts_are_those_that_requests_are_charged_on() -> None:
    front = gateway(rate_limits=LIMITS)
    table = parse_table(_raw(front))
    alice = key(limits=OWN)
    (route,) = table.routes.values()
    charged = {
        *accounts_of(Key("alice", "lab", limits=alice.limits), table.limits, "front"),
        *accounts_at(route, route.backends[0]),
    }
    lines = [(Place(a.name, a.window, a.window.slot(NOW), "h"), Line(1, 2)) for a in charged]
    found = budgets_of([front], {"alice": alice}, lines, NOW)
    assert {one.account for one in found} == charged
    assert {(one.spent, one.reserved) for one in found} == {(2, 1)}


def _raw(front: Gateway) -> bytes:
    return json.dumps({"version": 1, "models": {}, "routes": routes_of(front), "limits": limits_of(front)}).encode()


def test_what_is_spent_and_lent_by_all_holders_is_not_left() -> None:
    place = Place("front/chat/openai/gpt-4o/cost", Window.DAY, DAY, "one")
    lines = [(place, Line(10**9, 3 * 10**9)), (place._replace(holder="two"), Line(2 * 10**9, 0))]
    tokens, cost = budgets_of([gateway()], {}, lines, NOW)
    assert (cost.spent, cost.reserved, cost.left) == (3 * 10**9, 3 * 10**9, 0), "never below nothing"
    assert cost.full_at == Window.DAY.ends(DAY)
    assert (tokens.spent, tokens.left, tokens.full_at) == (0, 1000, NOW)
    assert str(cost.whose) == "openai/gpt-4o on route chat"


def test_a_minute_is_full_again_when_its_last_units_count_no_more() -> None:
    place = Place("front/chat/openai/gpt-4o/tokens", Window.MINUTE, Window.MINUTE.slot(NOW - 30), "one")
    returned = place._replace(slot=Window.MINUTE.slot(NOW))
    tokens, _ = budgets_of([gateway()], {}, [(place, Line(0, 7)), (returned, Line(0, 0))], NOW)
    assert tokens.left == 993
    assert tokens.full_at == Window.MINUTE.ends(place.slot)


def test_of_what_documents_allow_only_what_is_used_is_told_and_of_keys_their_own() -> None:
    keys = {"alice": key(limits=OWN), "bob": key(), "gone": key(limits=OWN, revoked_at=1.0)}
    front = gateway(rate_limits=LIMITS)
    used = [(Place("front/organization/lab/cost", Window.DAY, DAY, "h"), Line(0, 5))]
    found = [(str(one.whose), one.gateway, one.account.what) for one in budgets_of([front], keys, used, NOW)]
    assert found[2:] == [
        ("organization lab", "front", "cost"),
        ("key alice", "", "requests"),
        ("key alice", "", "cost"),
    ]


@pytest.mark.parametrize("name", ["key/gone/cost"])
def test_what_a_revoked_key_spent_is_still_told(name: str) -> None:
    keys = {"gone": key(limits=OWN, revoked_at=1.0)}
    (*_, last) = budgets_of([], keys, [(Place(name, Window.DAY, DAY, "h"), Line(0, 5))], NOW)
    assert last.spent == 5
