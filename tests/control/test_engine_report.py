"""An engine's report survives the store, and what is none is refused in words."""

import json

import pytest

from control.engine_report import EngineReport, document, parse

REPORT = EngineReport("http://127.0.0.1:9", 7, running=2, waiting=3, queue_ms={-3: 1, 40: 2}, adapters=("fr",))


def test_a_report_comes_back_from_json_as_it_went() -> None:
    assert parse(json.loads(json.dumps(document(REPORT)))) == REPORT


def test_what_a_newer_biplane_adds_is_left_out() -> None:
    assert parse({**document(REPORT), "colour": "red"}) == REPORT


@pytest.mark.parametrize("body", [{}, {"url": "x", "queue_ms": 3}, {"url": "x", "queue_ms": {"a": 1}}])
def test_what_is_no_report_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="no engine's report"):
        parse(body)


def test_a_busy_replica_counts_what_runs_and_what_waits() -> None:
    assert REPORT.busy == 5
