"""What applying a document would do, for every kind of document there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from control.pipeline.templates import BUILTIN
from control.preview import preview
from control.specs.document import Document
from control.specs.load import load_file, load_text
from tests.control.router.world import deployment
from tests.control.specs.samples import CONFIG_MAP, WORKFLOW
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
