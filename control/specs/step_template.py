"""kind StepTemplate: a step that a person adds to the pipeline's table."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from control.specs.base import Identifier, Items, Manifest, Spec, Text, named_once
from control.specs.problem import refuse, show
from control.specs.workload import WorkloadType

_ENTRYPOINT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def _is_entrypoint(text: str) -> str:
    if not _ENTRYPOINT.fullmatch(text):
        raise refuse(f"found {show(text)}", "module:function, such as my_steps.clean:main")
    return text


class StepParameter(Spec):
    """Required when `default` is None. `upstream`: taken from the nearest ancestor task that outputs it."""

    name: Identifier
    default: Text | None = None
    upstream: bool = False


def _are_once(outputs: tuple[str, ...]) -> tuple[str, ...]:
    for index, name in enumerate(outputs):
        if name in outputs[:index]:
            raise refuse(f"output '{name}' is listed twice", "every name once", at=(index,))
    return outputs


class StepTemplateSpec(Spec):
    entrypoint: Annotated[str, AfterValidator(_is_entrypoint)]
    parameters: Annotated[Items[StepParameter], named_once("parameter")] = ()
    outputs: Annotated[Items[Identifier], AfterValidator(_are_once)] = ()
    workload: WorkloadType = "batch"


class StepTemplate(Manifest):
    api_version: Literal["biplane/v1"] = Field(default="biplane/v1", alias="apiVersion")
    kind: Literal["StepTemplate"] = "StepTemplate"
    spec: StepTemplateSpec
