"""The mission's three files are accepted unchanged, audited to the last leaf, and previewed."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from control.gateway.preview import preview as preview_gateway
from control.pipeline.compile import check
from control.pipeline.preview import preview as preview_pipeline
from control.pipeline.templates import BUILTIN
from control.scheduler.preview import preview as preview_scheduler
from control.specs.audit import audit
from control.specs.document import Document
from control.specs.gateway import GatewayFile
from control.specs.gpu_policy import ClusterPolicy, ConfigMap
from control.specs.line import Line
from control.specs.load import load_file
from control.specs.workflow import Workflow
from tests.control.specs.samples import MISSION, MISSION_FILES

pytestmark = pytest.mark.skipif(not MISSION.is_dir(), reason="the mission's files are not here")


def leaf_count(value: Any) -> int:
    if isinstance(value, dict | list) and value:
        return sum(leaf_count(item) for item in (value.values() if isinstance(value, dict) else value))
    return 1


def load(name: str) -> list[Document]:
    return load_file(MISSION / name)


def previewed(document: Document) -> list[Line]:
    match document.spec:
        case Workflow() as spec:
            return preview_pipeline(spec, BUILTIN)
        case GatewayFile() as spec:
            return preview_gateway(spec)
        case ConfigMap() | ClusterPolicy() as spec:
            return preview_scheduler(spec)
    raise AssertionError(document.kind)


@pytest.mark.parametrize("name", MISSION_FILES)
def test_every_leaf_is_audited_exactly_once_at_its_own_line(name: str) -> None:
    text = (MISSION / name).read_text()
    for document, raw in zip(load(name), yaml.safe_load_all(text), strict=True):
        if document.kind == "ConfigMap":
            raw["data"]["mig-config"] = yaml.safe_load(raw["data"]["mig-config"])
        uses = audit(document)
        assert len({use.path for use in uses}) == len(uses) == leaf_count(raw)
        for use in uses:
            line = text.splitlines()[use.line - 1]
            assert str(use.value).lower() in line.lower() or float(use.value) == float(line.split()[1])


@pytest.mark.parametrize("name", MISSION_FILES)
def test_the_files_have_no_faults(name: str) -> None:
    for document in load(name):
        if isinstance(document.spec, Workflow):
            assert check(document.spec, BUILTIN) == []


def test_the_pipeline_is_four_steps_in_order() -> None:
    (document,) = load("pipeline.yaml")
    lines = previewed(document)
    assert [line.name for line in lines] == ["data-preparation", "training", "evaluation", "deployment"]
    assert {"4 devices", "128Gi memory", "learning-rate=2e-5", "env NCCL_DEBUG=INFO"} <= set(lines[1].facts)
    assert "only when {{tasks.evaluation.outputs.parameters.accuracy}} > 0.85" in lines[3].facts


def test_the_gpu_policy_cuts_one_device_and_ranks_three_classes() -> None:
    config_map, policy = load("gpu-policy.yaml")
    assert previewed(config_map) == [
        Line("MIG layout", "a100-mixed-workload, device 0", ("1 × 3g.40gb", "1 × 2g.20gb", "2 × 1g.10gb")),
        Line("MIG layout", "a100-mixed-workload, device 1", ("whole GPU, MIG off",)),
    ]
    assert [line.name for line in previewed(policy) if line.part == "priority class"] == [
        "critical-inference",
        "training",
        "batch-scoring",
    ]


def test_the_gateway_splits_traffic_70_20_10() -> None:
    (document,) = load("gateway.yaml")
    lines = previewed(document)
    assert [line.facts[1] for line in lines if line.part == "route"] == ["70%", "20%", "10%"]
    assert [line.facts[2] for line in lines if line.part == "route"] == [
        "$2.50 in, $10.00 out per million tokens (price list)",
        "$3.00 in, $15.00 out per million tokens (price list)",
        "$0.00 in, $0.00 out per million tokens (local: 0)",
    ]
    assert [line.facts for line in lines if line.part == "rate limit"] == [
        ("60 requests a minute", "50000 tokens a minute"),
        ("1000 requests a minute", "$2000.00 a day"),
    ]
    assert [line.name for line in lines if line.part == "fallback"] == ["openai → anthropic → local-vllm"]
    assert len([line for line in lines if line.part == "fallback trigger"]) == 3
