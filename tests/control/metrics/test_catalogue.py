"""The names and bounds of the metrics, and the files that lean on them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from control.metrics.catalogue import SECTIONS, SERIES
from control.metrics.histogram import OBJECTIVE, bounds, cumulative, estimated_sum
from control.metrics.metric import Kind
from control.traffic import RATIO, bucket

ROOT = Path(__file__).parents[3]


def test_names_have_base_units_and_counters_end_as_counters_do() -> None:
    for section in SECTIONS:
        for metric in section.metrics:
            assert metric.name.startswith("biplane_")
            assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
            assert not re.search(r"_(ms|milliseconds|percent|mib|gib)\b", metric.name)
            assert bool(metric.edges) == (metric.kind is Kind.HISTOGRAM)


@given(st.lists(st.floats(0.02, 1e6), max_size=100))
def test_no_value_is_on_the_wrong_side_of_a_bound(values: list[float]) -> None:
    edges = bounds(-14, 126)
    histogram = Counter(bucket(one) for one in values)
    found = cumulative(histogram, edges)
    assert found[-1] == ("+Inf", len(values))
    for edge, (bound, count) in zip(edges, found, strict=False):
        assert float(bound) == pytest.approx(RATIO**edge / 1000, rel=1e-5)
        below, at_most = RATIO**edge * (1 - 1e-9), RATIO**edge * (1 + 1e-9)
        assert sum(one < below for one in values) <= count <= sum(one < at_most for one in values)
    assert estimated_sum(histogram) == pytest.approx(sum(values) / 1000, rel=0.05)


def test_the_default_objective_lies_between_close_bounds() -> None:
    edges = bounds(-7, 91)
    after = next(edge for edge in edges if RATIO**edge > 100.0)
    assert edges[edges.index(after) - 1] == OBJECTIVE
    assert after == OBJECTIVE + 1


def queries(file: str) -> list[str]:
    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / file).read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def test_every_alert_asks_for_series_that_there_are_by_labels_that_they_have() -> None:
    labels = {
        metric.name + suffix: {*section.labels, *({"le"} if suffix == "_bucket" else ())}
        for section in SECTIONS
        for metric in section.metrics
        for suffix in metric.kind.suffixes
    }
    asked = [found for query in queries("alerts.yaml") for found in re.findall(r"(biplane_\w+)(?:{([^}]*)})?", query)]
    assert len(asked) > 15
    for name, matchers in asked:
        assert name in SERIES
        assert set(re.findall(r"(\w+)!?=", matchers)) <= labels[name], name


def test_alerts_speak_of_labels_that_their_query_leaves() -> None:
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            spoken = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
            kept = [set(re.findall(r"\w+", inner)) for inner in re.findall(r"\bby \(([^)]*)\)", rule["expr"])]
            if kept:
                assert spoken <= kept[0], rule["alert"]
            elif spoken:
                (name,) = set(re.findall(r"biplane_\w+", rule["expr"])) - {"biplane_replicas_wanted"}
                has = {m.name: set(section.labels) for section in SECTIONS for m in section.metrics}[name]
                assert spoken <= has, rule["alert"]


def test_the_scrape_example_reads_our_page_with_a_key_from_a_file_and_the_alerts_beside_it() -> None:
    directory = ROOT / "deploy" / "prometheus"
    config = yaml.safe_load((directory / "prometheus.yaml").read_text())
    (job,) = config["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    assert job["authorization"].keys() == {"type", "credentials_file"}
    assert all((directory / file).exists() for file in config["rule_files"])


def test_the_documentation_has_a_line_for_every_metric_as_it_is() -> None:
    lines = [line for line in (ROOT / "docs" / "metrics.md").read_text().splitlines() if line.startswith("| `biplane")]
    assert lines == [
        f"| `{metric.name}` | {metric.kind.value} | {', '.join(section.labels)} | {metric.meaning} | {section.source} |"
        for section in SECTIONS
        for metric in section.metrics
    ]
