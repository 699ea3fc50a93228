"""The explicit table of step types: which function a template's name starts, what it takes and gives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from control.specs.base import LABEL_RULE, Milestone, is_label
from control.specs.step_template import StepTemplate
from control.specs.workload import WorkloadType

Form = Literal["text", "count", "label"]

GPU_COUNT = "gpu-count"
"""The parameter that says how many devices a step asks for."""
GPU_COUNT_MIN = "gpu-count-min"
"""The parameter that says with how few devices a step starts when there are not more; 0: only with all of them."""


@dataclass(frozen=True)
class Parameter:
    """Required when `default` is None; a default may hold references, like any value.

    `upstream`: when not given, it is the output of this name of the nearest ancestor task that has one.
    `today`: a regular expression for the values that the step acts on now; others wait for `waits_for`.
    """

    name: str
    default: str | None = None
    upstream: bool = False
    form: Form = "text"
    today: str = ".*"
    waits_for: Milestone | None = None

    def expected(self, text: str) -> str:
        """What a value must be, where `text` is not that; empty when it is, or is known only when the task runs."""
        if "{{" in text or text == self.default:
            return ""
        match self.form:
            case "text":
                return ""
            case "count":
                return "" if text.isascii() and text.isdigit() and int(text) > 0 else "a whole number, 1 or more"
            case "label":
                return "" if is_label(text) else LABEL_RULE

    def waits(self, text: str) -> bool:
        """Whether a step refuses this value until `waits_for`."""
        return self.waits_for is not None and "{{" not in text and re.fullmatch(self.today, text) is None


@dataclass(frozen=True)
class StepType:
    """`entrypoint` is `module:function`.

    `gang`: the step starts workers that hold its devices, and holds none itself. `deploys`: the runner makes
    a Deployment of the version that the step registered.
    """

    name: str
    entrypoint: str
    parameters: tuple[Parameter, ...] = ()
    outputs: tuple[str, ...] = ()
    workload: WorkloadType = "batch"
    gang: bool = False
    deploys: bool = False

    def parameter(self, name: str) -> Parameter | None:
        return next((parameter for parameter in self.parameters if parameter.name == name), None)


Table = Mapping[str, StepType]

_PREPROCESS = StepType(
    name="preprocess",
    entrypoint="train_jobs.prepare:main",
    parameters=(
        Parameter("dataset", "builtin:status-codes", today=r"(builtin:|file://)?[^:]*", waits_for="operation"),
        Parameter("max-length", "128"),
        Parameter("seed", "0"),
    ),
    outputs=("dataset-dir", "train-rows", "heldout-rows", "digest"),
)

_TRAIN = StepType(
    name="train-model",
    entrypoint="train_jobs.train:main",
    parameters=(
        Parameter("base-model", "scratch", today="scratch", waits_for="lifecycle"),
        Parameter("learning-rate", "1e-3"),
        Parameter("epochs", "1"),
        Parameter(GPU_COUNT, "1"),
        Parameter(GPU_COUNT_MIN, "0", form="count"),
        Parameter("batch-size", "32"),
        Parameter("seed", "0"),
        Parameter("checkpoint-every", "100"),
        Parameter("max-length", "128"),
        Parameter("dataset-dir", upstream=True),
    ),
    outputs=("model-dir", "run-id", "loss", "steps", "seconds"),
    workload="training",
    gang=True,
)

_EVALUATE = StepType(
    name="evaluate",
    entrypoint="train_jobs.evaluate:main",
    parameters=(
        Parameter("model-dir", upstream=True),
        Parameter("dataset-dir", upstream=True),
        Parameter("run-id", upstream=True),
        Parameter("max-new-tokens", "32"),
    ),
    outputs=("accuracy", "correct", "total"),
)

# What is not given stays as the deployment has it; a new one gets defaults of its own.
_DEPLOY = StepType(
    name="deploy-model",
    entrypoint="train_jobs.register:main",
    parameters=(
        Parameter("model-dir", upstream=True),
        Parameter("run-id", upstream=True),
        Parameter("accuracy", "", upstream=True),
        Parameter("model-name", "{{workflow.name}}", form="label"),
        Parameter("replicas", "", form="count"),
        Parameter("max-model-len", "", form="count"),
        Parameter("min-accuracy", ""),
    ),
    outputs=("model", "version", "source", "path", "deployment"),
    deploys=True,
)

BUILTIN: Table = {step.name: step for step in (_PREPROCESS, _TRAIN, _EVALUATE, _DEPLOY)}


def table_with(templates: Iterable[StepTemplate]) -> Table:
    """The built-in table with StepTemplates added; one of a built-in's name takes its place."""
    added = {
        template.name: StepType(
            name=template.name,
            entrypoint=template.spec.entrypoint,
            parameters=tuple(
                Parameter(parameter.name, parameter.default, parameter.upstream)
                for parameter in template.spec.parameters
            ),
            outputs=template.spec.outputs,
            workload=template.spec.workload,
        )
        for template in templates
    }
    return {**BUILTIN, **added}
