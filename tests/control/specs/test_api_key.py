"""What is stored of a key: the old form is read, what makes no sense is refused, and when it is good."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from control.specs.api_key import ApiKey, matches

DIGEST = "ab" * 32


def test_a_key_of_which_only_the_hash_was_stored_may_do_all() -> None:
    key = ApiKey.model_validate({"sha256": DIGEST})
    assert (key.organization, key.routes, key.models, key.priority) == ("default", (), (), "normal")
    assert key.standing(1e12) == "valid"


def test_what_is_stored_is_read_as_what_it_was() -> None:
    told = {
        "sha256": DIGEST,
        "organization": "lab",
        "routes": ["chat"],
        "models": ["gpt-4*", "tiny"],
        "expires_at": 2e9,
        "priority": "low",
        "limits": {"requests_per_minute": 60, "tokens_per_minute": None, "cost_per_day": 0.5},
        "revoked_at": None,
        "previous_sha256": "cd" * 32,
        "previous_until": 1e9,
    }
    key = ApiKey.model_validate(told)
    assert key.model_dump(mode="json") == told


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"sha256": "abc"}, "found 'abc'; expected a SHA-256 as 64 lower-case hex digits"),
        ({"organization": "The Lab"}, "found 'The Lab'; expected a name of at most 63"),
        ({"models": ["gpt-*-mini"]}, r"found 'gpt-\*-mini'; expected the name of a model, or how names begin"),
        ({"models": [" "]}, "expected the name of a model"),
        ({"priority": "urgent"}, "'high', 'normal' or 'low'"),
        ({"limits": {"requests_per_minute": 0}}, "greater than 0"),
        ({"limits": {"cost_per_day": -0.1}}, "greater than or equal to 0"),
        ({"limits": {"cost_per_day": float("inf")}}, "finite number"),
        ({"previous_sha256": DIGEST}, "one of previous_sha256 and previous_until; expected both or neither"),
        ({"secret": "bp-1"}, "Extra inputs"),
    ],
)
def test_what_is_wrong_is_refused(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ApiKey.model_validate({"sha256": DIGEST, **written})


def test_a_key_ends_with_its_time_or_when_it_is_revoked() -> None:
    key = ApiKey(sha256=DIGEST, expires_at=10.0)
    assert [key.standing(now) for now in (9.9, 10.0)] == ["valid", "expired"]
    assert ApiKey(sha256=DIGEST, expires_at=10.0, revoked_at=20.0).standing(0.0) == "revoked"


def test_a_pattern_is_a_name_or_how_names_begin() -> None:
    models = ("gpt-4o", "tiny")
    assert [matches(one, models) for one in ("gpt-4*", "gpt-4o", "*", "gpt-4", "gpt-5*")] == [True] * 3 + [False] * 2
