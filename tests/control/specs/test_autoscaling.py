"""`autoscaling:` of a Deployment: what little suffices, and how what is wrong is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from control.specs.autoscaling import AutoscalingSpec


def test_a_max_suffices() -> None:
    spec = AutoscalingSpec.model_validate({"max": 4})
    assert (spec.min, spec.queue, spec.kv_cache, spec.ongoing, spec.ttft_ms) == (1, 4, 0.8, None, None)
    assert (spec.up_after, spec.down_after, spec.idle, spec.wake) == (5, 300, 600, 180)
    assert not spec.sleeps


@pytest.mark.parametrize(
    "written",
    [
        {"min": 0, "max": 1, "idle": "10m", "wake": "2m"},
        {"min": 2, "max": 2, "queue": 0.5, "kv_cache": 1, "ongoing": 12.8},
        {"max": 1_000_000, "up_after": 0, "down_after": "500ms", "ttft_ms": 250},
        {"min": 1, "max": 3, "idle": 600},
    ],
)
def test_what_is_read_can_be_stored_and_read_again(written: dict[str, Any]) -> None:
    spec = AutoscalingSpec.model_validate(written)
    assert AutoscalingSpec.model_validate(spec.model_dump(mode="json")) == spec
    assert spec.sleeps == (spec.min == 0)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"min": 3, "max": 2}, "min 3 is more than max 2; expected a max of at least 3, or a min of at most 2"),
        ({"max": 2, "idle": "1m"}, "idle has no effect with min 1: it never sleeps; expected min 0, or no idle"),
        ({"min": 2, "max": 2, "wake": 60}, "wake has no effect with min 2: it never sleeps; expected min 0, or no wa"),
        ({"max": 2, "kv_cache": 80}, r"found 80; expected a part above 0 and at most 1, such as 0.8 \(80 % is 0.8\)"),
        ({"max": 2, "kv_cache": 0}, "found 0; expected a part"),
        ({"min": 0, "max": 2, "wake": 0}, "greater than or equal to 1"),
        ({"min": 0, "max": 2, "wake": "2h"}, "less than or equal to 3600"),
        ({"min": 0, "max": 2, "idle": 0}, "greater than or equal to 1"),
        ({"min": 0, "max": 2, "idle": "a while"}, "found 'a while'; expected a time such as 2h"),
        ({"min": 0, "max": 0}, "greater than or equal to 1"),
        ({"min": -1, "max": 1}, "greater than or equal to 0"),
        ({"max": True}, "valid integer"),
        ({"max": 2, "queue": 0}, "greater than 0"),
        ({"max": 2, "ongoing": 0}, "greater than 0"),
        ({"max": 2, "ttft_ms": 0}, "greater than 0"),
        ({"max": 2, "down_after": -1}, "greater than or equal to 0"),
        ({"max": 2, "minimum": 1}, "Extra inputs"),
        ({"min": 1}, "Field required"),
    ],
)
def test_what_is_wrong_is_refused_with_what_would_be_right(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AutoscalingSpec.model_validate(written)


def test_both_places_of_a_contradiction_are_told() -> None:
    with pytest.raises(ValidationError) as raised:
        AutoscalingSpec.model_validate({"min": 3, "max": 2})
    context = raised.value.errors()[0]["ctx"]
    assert (context["at"], context["also"]) == (("min",), ("max",))
