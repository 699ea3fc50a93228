"""What replicas tell of routes is read as they counted it, and what came between two readings is never negative."""

from __future__ import annotations

import json
from typing import Any

import pytest

from control.route_traffic import Counts, Outcome, Pair, Share, Standing, document, parse
from control.traffic import Traffic

SHARE = Share("chat", "openai/gpt-4o mini", "lab")


def test_what_is_written_is_read_with_names_of_models_that_have_spaces() -> None:
    counts = Counts(ok=3, cut=1, prompt=12, cost=5_000_000_000, exact=1, saved=7)
    times = {Pair("chat", "openai/gpt-4o mini"): Traffic(4, 1, {40: 3}, {}, {50: 3}), Pair("", "llama"): Traffic(1)}
    stands = (Standing("chat", "openai/gpt-4o mini", "open", "5 failures in a row"),)
    told = json.loads(json.dumps(document({SHARE: counts}, times, stands, {"invalid_json": 2})))
    found = parse(told)
    assert (found.shares, found.times, found.standings) == ({SHARE: counts}, times, stands)
    assert found.errors == {"invalid_json": 2}


def test_a_heartbeat_of_a_replica_that_counts_no_routes_has_none() -> None:
    assert parse({"apps": {}}).shares == {}


@pytest.mark.parametrize(
    "body",
    [
        {"shares": [["chat", "x", "lab", {"unheard_of": 1}]]},
        {"shares": [["chat", "x"]]},
        {"shares": [["chat", "x", "lab", {"ok": "many"}]]},
        {"routes": {"nospace": {"requests": 1, "errors": 0}}},
        {"backends": [["chat"]]},
        {"routes": 3},
        {"errors": {"oops": "many"}},
    ],
)
def test_what_is_something_else_is_said_to_be_none(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no gateway replica's traffic"):
        parse(body)


def test_what_came_since_is_the_difference_and_all_of_it_where_the_replica_began_anew() -> None:
    assert Counts(ok=5, cost=9) - Counts(ok=3, cost=9) == Counts(ok=2)
    assert Counts(ok=5, cost=2) - Counts(ok=3, cost=9) == Counts(ok=5, cost=2)


def test_every_way_to_end_is_counted() -> None:
    assert {outcome.value for outcome in Outcome} <= set(Counts.__slots__)
