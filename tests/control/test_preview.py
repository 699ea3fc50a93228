"""What applying a document would do, for every kind of document there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from control.pipeline.templates import BUILTIN
from control.preview import preview
from control.specs.audit import FieldUse
from control.specs.document import Document
from control.specs.load import load_file, load_text
from tests.control.router.world import deployment
from tests.control.specs.samples import CONFIG_MAP, MISSION, WORKFLOW
from tests.fakes.plane import CLUSTER

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("text", [WORKFLOW, CONFIG_MAP, CLUSTER, deployment()], ids=["flow", "mig", "cluster", "model"])
def test_every_document_has_lines_and_every_field_its_use(text: str) -> None:
    (document,) = load_text(text, "mine.yaml")
    assert_told(document)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_every_example_can_be_shown(file: Path) -> None:
    for document in load_file(file):
        assert_told(document)


def assert_told(document: Document) -> None:
    shown = preview(document, BUILTIN)
    assert (shown.kind, shown.name) == (document.kind, document.name)
    assert shown.lines
    assert all(line.part and line.name for line in shown.lines)
    assert all(use.acted or use.waits_for for use in shown.fields)
    assert [use.line for use in shown.fields if use.line < 1] == []


ARTICLE = MISSION / "pipeline.yaml"
TASKS = "spec.templates[d].dag.tasks"


def uses_of(document: Document) -> dict[str, FieldUse]:
    return {use.path: use for use in preview(document, BUILTIN).fields}


def with_arguments(dataset: str, base_model: str) -> Document:
    text = f"""\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: w}}
spec:
  entrypoint: d
  arguments: {{parameters: [{{name: base, value: meta-llama/Llama-3.1-8B}}]}}
  templates:
    - name: d
      dag:
        tasks:
          - {{name: data, template: preprocess, arguments: {{parameters: [{{name: dataset, value: "{dataset}"}}]}}}}
          - name: training
            template: train-model
            dependencies: [data]
            arguments: {{parameters: [{{name: epochs, value: "2"}}, {{name: base-model, value: "{base_model}"}}]}}
"""
    (document,) = load_text(text, "mine.yaml")
    return document


@pytest.mark.parametrize(
    ("dataset", "base_model"),
    [("builtin:status-codes", "scratch"), ("file:///rows.jsonl", "scratch"), ("rows.jsonl", "scratch")],
)
def test_an_argument_that_its_step_can_use_is_acted_on(dataset: str, base_model: str) -> None:
    assert [use for use in uses_of(with_arguments(dataset, base_model)).values() if not use.acted] == []


def test_an_argument_that_its_step_refuses_until_later_waits_with_its_line_and_the_others_act() -> None:
    uses = uses_of(with_arguments("s3://data/train.jsonl", "meta-llama/Llama-3.1-8B"))
    note = "until then the step refuses it"
    assert [use for use in uses.values() if not use.acted] == [
        FieldUse(
            f"{TASKS}[data].arguments.parameters[dataset].value", 11, "s3://data/train.jsonl", False, "operation", note
        ),
        FieldUse(
            f"{TASKS}[training].arguments.parameters[base-model].value",
            15,
            "meta-llama/Llama-3.1-8B",
            False,
            "lifecycle",
            note,
        ),
    ]


def test_an_argument_that_only_the_run_knows_is_not_called_waiting() -> None:
    uses = uses_of(with_arguments("builtin:status-codes", "{{workflow.parameters.base}}"))
    assert uses[f"{TASKS}[training].arguments.parameters[base-model].value"].acted


@pytest.mark.skipif(not ARTICLE.is_file(), reason="the mission's files are not here")
def test_the_article_s_data_set_and_base_model_wait_and_its_other_arguments_act() -> None:
    (document,) = load_file(ARTICLE)
    arguments = {
        path: use for path, use in uses_of(document).items() if ".arguments." in path and use.path[-6:] == ".value"
    }
    found = {use.value: (use.acted, use.waits_for) for use in arguments.values()}
    assert found == {
        "s3://data/train.jsonl": (False, "operation"),
        "4096": (True, None),
        "meta-llama/Llama-3.1-8B": (False, "lifecycle"),
        "2e-5": (True, None),
        "3": (True, None),
        "4": (True, None),
    }
    assert all(use.note == "until then the step refuses it" for use in arguments.values() if not use.acted)
    text = ARTICLE.read_text(encoding="utf-8").splitlines()
    assert all(use.value in text[use.line - 1] for use in arguments.values())
