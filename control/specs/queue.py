"""kind Queue: a tenant's share of the devices, and whom it lends to and borrows from."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from control.specs.base import Manifest, Name, Spec
from control.specs.problem import refuse
from control.specs.quantity import MOST

Devices = Annotated[int, Field(ge=0, le=MOST)]


class QueueSpec(Spec):
    """`quota`, `borrow` and `lend` count whole devices; a workload's queue is named in its `spec.queue`.

    Queues with one `parent` are a cohort: each may use what the others leave idle. `borrow` bounds what a queue takes
    beyond its quota, `lend` what others take of it; without them there is no bound. A parent's quota includes those of
    its children; 0 means the sum of theirs. `weight` is the queue's part of what is contended, relative to the others.
    """

    quota: Devices
    parent: Name | None = None
    borrow: Devices | None = None
    lend: Devices | None = None
    weight: Annotated[float, Field(gt=0, le=MOST)] = 1.0

    @model_validator(mode="after")
    def _borrows_only_in_a_cohort(self) -> Self:
        for field in ("borrow", "lend"):
            if getattr(self, field) is not None and self.parent is None:
                raise refuse(f"a queue without a parent has nobody to {field} {_WITH[field]}", "a parent", at=(field,))
        return self


_WITH = {"borrow": "from", "lend": "to"}


class Queue(Manifest):
    api_version: Literal["biplane/v1"] = Field(default="biplane/v1", alias="apiVersion")
    kind: Literal["Queue"] = "Queue"
    spec: QueueSpec
