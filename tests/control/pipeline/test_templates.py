"""The table of step types and what a person adds to it."""

from __future__ import annotations

from control.pipeline.templates import BUILTIN, Parameter, table_with
from control.specs.load import load_text
from control.specs.step_template import StepTemplate
from tests.control.specs.samples import STEP_TEMPLATE


def test_only_deploy_model_deploys() -> None:
    assert [step.name for step in BUILTIN.values() if step.deploys] == ["deploy-model"]


def test_every_upstream_parameter_without_a_default_is_some_steps_output() -> None:
    outputs = {output for step in BUILTIN.values() for output in step.outputs}
    upstream = {p.name for step in BUILTIN.values() for p in step.parameters if p.upstream}
    assert upstream <= outputs


def test_a_step_template_joins_the_table() -> None:
    (document,) = load_text(STEP_TEMPLATE, "f.yaml")
    assert isinstance(document.spec, StepTemplate)
    table = table_with([document.spec])
    assert table.keys() == {*BUILTIN, "clean"}
    assert table["clean"].entrypoint == "my_steps.clean:main"
    assert table["clean"].parameters == (Parameter("dataset-dir", upstream=True), Parameter("fraction", "0.10"))
    assert table["clean"].parameter("fraction") == Parameter("fraction", "0.10")
    assert table["clean"].parameter("share") is None
