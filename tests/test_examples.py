"""The examples that the documents show do what they say."""

from __future__ import annotations

from pathlib import Path

from tests.serve_apps.gateway.filters.asking import answer_of, context, filters

ROOT = Path(__file__).parent.parent


def test_the_filter_that_the_documents_show_is_the_one_that_works() -> None:
    example = (ROOT / "examples/shout.py").read_text().partition("class ")[2]
    assert example in (ROOT / "docs/gateway.md").read_text()
    answering = filters({"type": "examples.shout:Shout", "options": {"marks": 3}}).answering(context())
    assert answering is not None
    assert answering.whole(answer_of("yes"))["choices"][0]["message"]["content"] == "YES!!!"
