"""`autoscaling:` of a Deployment: between how many replicas it moves, and by what."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from control.specs.base import Spec
from control.specs.problem import refuse
from control.specs.quantity import MOST, Seconds
from control.specs.rollout import Milliseconds
from control.specs.sla import Part

_ASLEEP = ("idle", "wake")
"""What has an effect only on a model that may sleep."""


class AutoscalingSpec(Spec):
    """From `min` to `max` replicas, besides the spares of the SLA; with `min: 0` an idle model sleeps.

    A replica is meant to have at most `queue` requests waiting, `kv_cache` of its KV cache in use (0 to 1) and
    `ongoing` requests at once in its engine (null: four fifths of the most that it runs), and all but the slowest
    twentieth of the first tokens to come within `ttft_ms` milliseconds (null: the SLA's). Any of them above its target
    for `up_after` seconds adds replicas; all of them well below for `down_after` seconds takes some away. `idle` is
    how many seconds without a request make a model sleep, `wake` how many a request is held while it wakes up.
    """

    min: Annotated[int, Field(ge=0, le=MOST)] = 1
    max: Annotated[int, Field(ge=1, le=MOST)]
    queue: Annotated[float, Field(gt=0, le=MOST)] = 4.0
    kv_cache: Part = 0.8
    ongoing: Annotated[float, Field(gt=0, le=MOST)] | None = None
    ttft_ms: Milliseconds | None = None
    up_after: Seconds = 5.0
    down_after: Seconds = 300.0
    idle: Annotated[Seconds, Field(ge=1)] = 600.0
    wake: Annotated[Seconds, Field(ge=1, le=3600)] = 180.0

    @property
    def sleeps(self) -> bool:
        """Whether it may have no replica at all."""
        return self.min == 0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.min > self.max:
            expected = f"a max of at least {self.min}, or a min of at most {self.max}"
            raise refuse(f"min {self.min} is more than max {self.max}", expected, at=("min",), also=("max",))
        for name in _ASLEEP:
            if not self.sleeps and getattr(self, name) != type(self).model_fields[name].default:
                found = f"{name} has no effect with min {self.min}: it never sleeps"
                raise refuse(found, f"min 0, or no {name}", at=(name,), also=("min",))
        return self
