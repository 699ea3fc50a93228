"""The table of step types and what a person adds to it."""

from __future__ import annotations

from types import ModuleType

import pytest

from control.pipeline.templates import BUILTIN, Parameter, table_with
from control.specs.load import load_text
from control.specs.step_template import StepTemplate
from tests.control.specs.samples import STEP_TEMPLATE
from train_jobs import evaluate, prepare, register, train


def test_only_deploy_model_deploys() -> None:
    assert [step.name for step in BUILTIN.values() if step.deploys] == ["deploy-model"]


def test_every_upstream_parameter_without_a_default_is_some_steps_output() -> None:
    outputs = {output for step in BUILTIN.values() for output in step.outputs}
    upstream = {p.name for step in BUILTIN.values() for p in step.parameters if p.upstream}
    assert upstream <= outputs


@pytest.mark.parametrize(
    ("template", "module"),
    [("preprocess", prepare), ("train-model", train), ("evaluate", evaluate), ("deploy-model", register)],
)
def test_a_default_of_the_table_is_the_default_of_the_step_itself(template: str, module: ModuleType) -> None:
    step = BUILTIN[template]
    assert step.entrypoint == f"{module.__name__}:main"
    table = {p.name: p.default for p in step.parameters if p.default is not None}
    both = table.keys() & module.DEFAULTS.keys()
    assert both
    assert {name: table[name] for name in both} == {name: module.DEFAULTS[name] for name in both}


@pytest.mark.parametrize(
    ("template", "name", "acted", "waiting"),
    [
        (
            "preprocess",
            "dataset",
            ["builtin:status-codes", "file:///data/rows.jsonl", "/data/rows.jsonl", "rows.jsonl"],
            ["s3://data/train.jsonl", "https://example.org/rows.jsonl", "hf://datasets/rows"],
        ),
        ("train-model", "base-model", ["scratch"], ["meta-llama/Llama-3.1-8B", "scratch-2", ""]),
        ("train-model", "epochs", ["1", "many"], []),
    ],
)
def test_a_parameter_knows_which_values_its_step_acts_on_today(
    template: str, name: str, acted: list[str], waiting: list[str]
) -> None:
    parameter = BUILTIN[template].parameter(name)
    assert parameter is not None
    assert [value for value in (*acted, *waiting) if parameter.waits(value)] == waiting
    assert not parameter.waits("{{workflow.parameters.unknown-yet}}")


def test_a_step_template_joins_the_table() -> None:
    (document,) = load_text(STEP_TEMPLATE, "f.yaml")
    assert isinstance(document.spec, StepTemplate)
    table = table_with([document.spec])
    assert table.keys() == {*BUILTIN, "clean"}
    assert table["clean"].entrypoint == "my_steps.clean:main"
    assert table["clean"].parameters == (Parameter("dataset-dir", upstream=True), Parameter("fraction", "0.10"))
    assert table["clean"].parameter("fraction") == Parameter("fraction", "0.10")
    assert table["clean"].parameter("share") is None
