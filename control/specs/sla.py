"""`sla:` of a Deployment: what its users are promised, and how well its devices should be used."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from control.specs.base import Spec
from control.specs.problem import refuse, show
from control.specs.quantity import MOST
from control.specs.rollout import Milliseconds


def _parse_part(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        hint = ""
        if isinstance(value, int | float) and not isinstance(value, bool) and 1 < value <= 100:
            hint = f" ({value:g} % is {value / 100:g})"
        raise refuse(f"found {show(value)}", f"a part above 0 and at most 1, such as 0.8{hint}")
    return float(value)


Part = Annotated[float, BeforeValidator(_parse_part)]
"""Of something that can be full: above 0, at most 1."""


class Sla(Spec):
    """Objectives; one that is null is none. Times in milliseconds.

    At most 5 % of the times to first token may lie above `ttft_ms`, at most 1 % of the times between tokens above
    `itl_ms`, at most 1 % of the whole answers above `latency_p99_ms`. `utilization`, 0 to 1, is how busy its devices
    should be at least while requests come. `spares` are replicas beyond what the load needs, kept loaded: one that
    dies costs nothing.
    """

    ttft_ms: Milliseconds | None = None
    itl_ms: Milliseconds | None = 100.0
    latency_p99_ms: Milliseconds | None = None
    utilization: Part | None = 0.8
    spares: Annotated[int, Field(ge=0, le=MOST)] = 0
