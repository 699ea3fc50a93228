"""`rollout:` of a Deployment: what little suffices, and how what is wrong is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from control.specs.rollout import RolloutSpec


def arms(*percents: float) -> list[dict[str, Any]]:
    return [{"name": f"arm-{n}", "version": n + 1, "percent": percent} for n, percent in enumerate(percents)]


def test_the_name_of_a_strategy_suffices() -> None:
    spec = RolloutSpec.model_validate({"strategy": "canary"})
    assert spec.steps == (5, 25, 50, 100)
    assert (spec.hold, spec.least_requests, spec.no_traffic) == (60, 200, "wait")
    assert spec.analysis.error_rate == 0.005
    assert spec.analysis.on_failure == "rollback"


@pytest.mark.parametrize(
    "written",
    [
        {"strategy": "canary", "steps": ["1%", 12.5, 100], "hold": "2m", "analysis": {"judges": ["faithful"]}},
        {"strategy": "blue-green", "keep": "10m", "mirror": 20, "sticky": "user"},
        {"strategy": "shadow", "then": "canary", "steps": [50, 100]},
        {"strategy": "ab", "arms": arms(33.3, 33.3, 33.4), "sticky": "session"},
        {"strategy": "rolling"},
    ],
)
def test_what_is_read_can_be_stored_and_read_again(written: dict[str, Any]) -> None:
    spec = RolloutSpec.model_validate(written)
    assert RolloutSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_a_shadow_gets_copies_of_a_tenth_and_takes_nothing_by_itself() -> None:
    spec = RolloutSpec.model_validate({"strategy": "shadow"})
    assert (spec.mirrored, spec.promotes) == (0.1, "")
    assert RolloutSpec.model_validate({"strategy": "shadow", "then": "instant"}).promotes == "instant"
    assert RolloutSpec.model_validate({"strategy": "blue-green"}).mirrored == 0


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"strategy": "canary", "steps": [25, 5, 100]}, "found 5 % after 25 %; expected steps that rise"),
        ({"strategy": "canary", "steps": [5, 5, 100]}, "found 5 % after 5 %; expected steps that rise"),
        ({"strategy": "canary", "steps": [5, 50]}, "the last step is 50 %; expected a last step of 100 %"),
        ({"strategy": "canary", "steps": [5, 120]}, "found 120; expected a percentage above 0 and at most 100"),
        ({"strategy": "canary", "steps": [0, 100]}, "found 0; expected a percentage above 0"),
        ({"strategy": "canary", "steps": ["lots"]}, "found 'lots'; expected a percentage"),
        ({"strategy": "canary", "steps": [float("nan")]}, "found nan; expected a percentage"),
        ({"strategy": "canary", "steps": []}, "nothing is listed; expected at least one"),
        (
            {"strategy": "ab", "arms": arms(50, 40)},
            "50 \\+ 40 = 90 %; expected 100 % together, which 50 for arm 'arm-1'",
        ),
        ({"strategy": "ab", "arms": arms(90, 90)}, "90 \\+ 90 = 180 %; expected 100 % together"),
        ({"strategy": "ab", "arms": arms(100)}, "an A/B test with 1 arm"),
        ({"strategy": "ab"}, "an A/B test with 0 arm"),
        ({"strategy": "ab", "arms": [*arms(50), *arms(50)]}, "arm 'arm-0' is given twice"),
        ({"strategy": "canary", "arms": arms(50, 50)}, "arms has no effect with strategy canary; expected strategy ab"),
        ({"strategy": "instant", "steps": [50, 100]}, "steps has no effect with strategy instant"),
        (
            {"strategy": "canary", "then": "instant"},
            "then has no effect with strategy canary; expected strategy shadow",
        ),
        ({"strategy": "canary", "analysis": {"error_rate": 5}}, "found 5; expected a share .* \\(5 % is 0.05\\)"),
        ({"strategy": "canary", "analysis": {"ttft": 0.8}}, "found 0.8; expected a factor over the stable arm"),
        ({"strategy": "canary", "analysis": {"judges": ["a", "a"]}}, "judge 'a' is given twice"),
        ({"strategy": "canary", "analysis": {"limits": {"ttft_ms": 0}}}, "greater than 0"),
        ({"strategy": "canary", "hold": "soon"}, "found 'soon'; expected a time"),
        ({"strategy": "canaries"}, "Input should be 'canary'"),
        ({}, "Field required"),
    ],
)
def test_what_is_wrong_is_refused_with_what_would_be_right(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RolloutSpec.model_validate(written)
