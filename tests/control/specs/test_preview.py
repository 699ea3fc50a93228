"""Previews of what people write beside the mission's files."""

from __future__ import annotations

from control.pipeline.preview import preview as preview_pipeline
from control.pipeline.templates import BUILTIN
from control.scheduler.preview import preview as preview_scheduler
from control.specs.cluster import Cluster
from control.specs.deployment import Deployment
from control.specs.gpu_policy import ConfigMap
from control.specs.line import Line
from control.specs.load import load_text
from control.specs.queue import Queue
from control.specs.step_template import StepTemplate
from control.specs.workload import Workload
from tests.control.specs.samples import (
    CLUSTER,
    DEPLOYMENT,
    INFERENCE,
    QUEUE,
    STEP_TEMPLATE,
    TIME_SLICING,
    WORKLOAD,
    broken,
)


def test_a_workload_shows_its_ask() -> None:
    (document,) = load_text(WORKLOAD, "f.yaml")
    assert isinstance(document.spec, Workload)
    gives_way = "saves its work and gives way within 30s"
    facts = ("training workload", "2 devices", "priority class training", "1Gi memory", gives_way)
    assert preview_scheduler(document.spec) == [Line("workload", "job", facts)]


def test_elastic_training_shows_what_it_starts_with_and_how_it_stops() -> None:
    asked = """\
  devices: 8
  least: 2
  cpus: 16
  span: rack
  queue: research
  gpu_models: [H100-80GB, H200]
  duration: 1h30m
  preemptible: false
"""
    (document,) = load_text(broken(WORKLOAD, "  devices: 2\n", asked), "f.yaml")
    assert isinstance(document.spec, Workload)
    (line,) = preview_scheduler(document.spec)
    assert line.facts[1:] == (
        "2 to 8 devices",
        "priority class training",
        "queue research",
        "on H100-80GB or H200",
        "1Gi memory",
        "16 CPUs",
        "within one rack",
        "runs 1h30m",
        "never gives way",
    )


def test_inference_shows_its_latency_and_the_slices_that_may_keep_it() -> None:
    (document,) = load_text(INFERENCE, "f.yaml")
    assert isinstance(document.spec, Workload)
    (line,) = preview_scheduler(document.spec)
    assert line.facts[1:-1] == (
        "2 devices for 2 replicas",
        "priority class critical-inference",
        "queue product",
        "latency 200 ms at 40 requests/s",
        "slice 1g.10gb: 150 ms at 8 requests/s, 6Gi",
        "slice 2g.20gb: 90.5 ms at 25 requests/s, 6Gi",
    )


def test_a_share_and_a_slice_are_shown() -> None:
    for part, fact in (
        ("share: 0.25\n  device_memory: 20Gi", "0.25 of a device"),
        ("slice: 1g.10gb", "MIG slice 1g.10gb"),
    ):
        (document,) = load_text(broken(DEPLOYMENT, "version: 3", part), "f.yaml")
        assert isinstance(document.spec, Deployment)
        assert fact in preview_scheduler(document.spec)[0].facts


def test_a_queue_shows_what_it_has_borrows_and_lends() -> None:
    (document,) = load_text(QUEUE, "f.yaml")
    assert isinstance(document.spec, Queue)
    facts = ("8 devices of its own", "in cohort org", "borrows 4 at most", "lends 2 at most", "weight 1.5")
    assert preview_scheduler(document.spec) == [Line("queue", "research", facts)]


def test_a_sharing_configuration_shows_how_many_share_a_device_and_who() -> None:
    (document,) = load_text(TIME_SLICING, "f.yaml")
    assert isinstance(document.spec, ConfigMap)
    facts = ("4 workloads at most on a device", "inference only")
    assert preview_scheduler(document.spec) == [Line("time-slicing", "sharing", facts)]


def test_many_nodes_of_one_kind_are_one_line() -> None:
    more = "    - name: two\n      count: 50\n      rack: r1\n      labels: {nvidia.com/mig.config: mixed}\n"
    more += "".join(line + "\n" for line in CLUSTER.splitlines()[7:13])
    (document,) = load_text(broken(CLUSTER, "  ports:\n", more + "  ports:\n"), "f.yaml")
    assert isinstance(document.spec, Cluster)
    one, fifty = preview_scheduler(document.spec)[:2]
    assert (one.name, fifty.name) == ("one", "two-0 … two-49")
    assert fifty.facts[0] == "50 nodes"
    assert fifty.facts[-2:] == ("rack r1", "MIG layout mixed")


def test_a_deployment_shows_model_version_and_engine() -> None:
    (document,) = load_text(DEPLOYMENT, "f.yaml")
    assert isinstance(document.spec, Deployment)
    (line,) = preview_scheduler(document.spec)
    assert line.facts[:2] == ("model llama, version 3", "1 replicas of 1 devices")
    assert "engine max_model_len=256" in line.facts


def test_a_deployment_shows_between_how_many_replicas_it_moves_and_its_adapters() -> None:
    more = "  autoscaling: {min: 0, max: 4}\n  adapters: [{name: law, model: law, version: 2}]\n"
    (document,) = load_text(DEPLOYMENT + more, "f.yaml")
    assert isinstance(document.spec, Deployment)
    (line,) = preview_scheduler(document.spec)
    assert line.facts[1] == "0 to 4 replicas of 1 devices"
    assert line.facts[-1] == "adapter law (model law, version 2)"


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
