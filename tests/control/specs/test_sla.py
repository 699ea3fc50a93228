"""`sla:` of a Deployment: the default objective, and how what is wrong is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from control.specs.sla import Sla


def test_the_default_objective_is_80_percent_utilization_at_100_ms_between_tokens() -> None:
    assert Sla() == Sla(ttft_ms=None, itl_ms=100.0, latency_p99_ms=None, utilization=0.8, spares=0)


def test_what_is_read_can_be_stored_and_read_again() -> None:
    sla = Sla.model_validate({"ttft_ms": 500, "itl_ms": None, "latency_p99_ms": 30_000.5, "spares": 1})
    assert Sla.model_validate(sla.model_dump(mode="json")) == sla


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"utilization": 80}, r"found 80; expected a part above 0 and at most 1, such as 0.8 \(80 % is 0.8\)"),
        ({"utilization": 0}, "found 0; expected a part above 0 and at most 1, such as 0.8"),
        ({"utilization": True}, "found true; expected a part"),
        ({"utilization": "high"}, "found 'high'; expected a part"),
        ({"utilization": float("nan")}, "found nan; expected a part"),
        ({"ttft_ms": 0}, "greater than 0"),
        ({"itl_ms": -1}, "greater than 0"),
        ({"latency_p99_ms": "fast"}, "valid number"),
        ({"spares": -1}, "greater than or equal to 0"),
        ({"spares": 1.5}, "valid integer"),
        ({"ttft": 100}, "Extra inputs"),
    ],
)
def test_what_is_wrong_is_refused_with_what_would_be_right(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Sla.model_validate(written)
