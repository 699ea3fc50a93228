"""Previews of what people write beside the mission's files."""

from __future__ import annotations

from control.pipeline.preview import preview as preview_pipeline
from control.pipeline.templates import BUILTIN
from control.scheduler.preview import preview as preview_scheduler
from control.specs.cluster import Cluster
from control.specs.deployment import Deployment
from control.specs.line import Line
from control.specs.load import load_text
from control.specs.step_template import StepTemplate
from control.specs.workload import Workload
from tests.control.specs.samples import CLUSTER, DEPLOYMENT, STEP_TEMPLATE, WORKLOAD


def test_a_workload_shows_its_ask() -> None:
    (document,) = load_text(WORKLOAD, "f.yaml")
    assert isinstance(document.spec, Workload)
    facts = ("training workload", "2 devices", "priority class training", "1Gi memory")
    assert preview_scheduler(document.spec) == [Line("workload", "job", facts)]


def test_a_deployment_shows_model_version_and_engine() -> None:
    (document,) = load_text(DEPLOYMENT, "f.yaml")
    assert isinstance(document.spec, Deployment)
    (line,) = preview_scheduler(document.spec)
    assert line.facts[:2] == ("model llama, version 3", "1 replicas of 1 devices")
    assert "engine max_model_len=256" in line.facts


def test_a_cluster_shows_its_node_and_all_ports() -> None:
    (document,) = load_text(CLUSTER, "f.yaml")
    assert isinstance(document.spec, Cluster)
    node, *ports = preview_scheduler(document.spec)
    assert node.facts[0] == "4 simulated A100, 80G each"
    assert [(line.name, line.facts[0]) for line in ports] == [
        ("gateway", "a free one"),
        ("dashboard", "8265"),
        ("mlflow", "5001"),
        ("ray", "6380"),
    ]


def test_a_step_template_shows_what_it_takes_and_gives() -> None:
    (document,) = load_text(STEP_TEMPLATE, "f.yaml")
    assert isinstance(document.spec, StepTemplate)
    (line,) = preview_pipeline(document.spec, BUILTIN)
    assert line.facts[2:] == (
        "parameter dataset-dir: upstream, required",
        "parameter fraction: default '0.10'",
        "output cleaned",
    )
