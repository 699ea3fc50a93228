"""A replica's report survives the store, and what is none is refused in words."""

from __future__ import annotations

import json

import pytest

from control.vector_report import VectorReport, document, parse

REPORT = VectorReport(rows=7, segments=2, leads=True, recall=0.99, search_ms={-3: 1, 40: 2})


def test_a_report_comes_back_from_json_as_it_went() -> None:
    assert parse(json.loads(json.dumps(document(REPORT)))) == REPORT


def test_what_a_newer_biplane_adds_is_left_out() -> None:
    assert parse({**document(REPORT), "colour": "red"}) == REPORT


@pytest.mark.parametrize("body", [{"search_ms": 3}, {"write_ms": {"a": 1}}])
def test_what_is_no_report_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="no report of a replica"):
        parse(body)
