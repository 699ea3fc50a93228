"""Quantities, triggers and defaults."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from control.specs.base import Metadata
from control.specs.cluster import ClusterSpec
from control.specs.deployment import Deployment, DeploymentSpec
from control.specs.problem import nearest
from control.specs.quantity import Cpus, Seconds, parse_bytes, show_bytes, show_seconds
from control.specs.trigger import parse_trigger
from control.specs.workload import Workload, WorkloadSpec, WorkloadType


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("128Gi", 128 * 2**30),
        ("512Mi", 512 * 2**20),
        ("80GB", 80 * 10**9),
        ("80G", 80 * 10**9),
        ("1.5Ki", 1536),
        ("7", 7),
        ("64 GiB", 64 * 2**30),
        (1024, 1024),
        (0, 0),
    ],
)
def test_bytes_are_read_as_people_write_them(written: object, amount: int) -> None:
    assert parse_bytes(written) == amount


@pytest.mark.parametrize("written", ["", "Gi", "1.5", "-1", -1, 1.5, True, None, "1gi", "9999999Ei", "1e3"])
def test_what_is_no_amount_of_bytes_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="expected an amount of bytes such as 128Gi"):
        parse_bytes(written)


@pytest.mark.parametrize("text", ["128Gi", "80G", "512Mi", "0", "1000001", "1Ti", "1500M"])
def test_bytes_are_shown_short_and_exact(text: str) -> None:
    assert show_bytes(parse_bytes(text)) == text


def test_cpus_may_be_thousandths() -> None:
    adapter: TypeAdapter[float] = TypeAdapter(Cpus)
    assert [adapter.validate_python(written) for written in ("500m", "2", 3)] == [0.5, 2.0, 3.0]
    with pytest.raises(ValidationError):
        adapter.validate_python("many")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("2h", 7200.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("90s", 90.0),
        ("500ms", 0.5),
        ("1.5d", 129600.0),
        (30, 30.0),
    ],
)
def test_times_are_read_as_people_write_them(written: object, seconds: float) -> None:
    assert TypeAdapter(Seconds).validate_python(written) == seconds


@pytest.mark.parametrize("written", ["", "h", "30", "1s1h", "2 weeks", "-1s", -1, True, None])
def test_what_is_no_time_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Seconds).validate_python(written)


@pytest.mark.parametrize("text", ["0.5s", "90s", "2m", "1h30m", "2h", "3601s"])
def test_times_are_shown_short_and_exact(text: str) -> None:
    assert show_seconds(TypeAdapter(Seconds).validate_python(text)) == text


def test_a_trigger_is_in_seconds_fractions_and_statuses() -> None:
    written = ["latency_p99 > 5000ms", "latency_p50>=2s", "error_rate > 0.05", "provider_status != healthy"]
    assert [parse_trigger(text).value for text in written] == [5.0, 2.0, 0.05, "healthy"]


def test_a_trigger_is_over_a_minute_unless_it_says_over_what() -> None:
    written = ["error_rate > 0.05", "error_rate>0.05  over 30s", "latency_p99 > 2s over 5000ms"]
    assert [parse_trigger(text).window_s for text in written] == [60.0, 30.0, 5.0]


@pytest.mark.parametrize(
    ("kind", "priority"),
    [("training", "training"), ("inference", "critical-inference"), ("batch", "batch-scoring")],
)
def test_a_workload_without_a_priority_class_has_its_types(kind: WorkloadType, priority: str) -> None:
    spec = WorkloadSpec(type=kind)
    assert Workload(metadata=Metadata(name="job"), spec=spec).spec.priority == priority
    assert WorkloadSpec(type=kind, priority_class="own").priority == "own"


@pytest.mark.parametrize(("kind", "reach", "saves"), [("training", "cluster", True), ("batch", "node", False)])
def test_training_goes_as_far_as_it_has_to_and_saves_its_work(kind: WorkloadType, reach: str, saves: bool) -> None:
    spec = WorkloadSpec(type=kind)
    assert (spec.reach, spec.saves, spec.preemptible, spec.grace) == (reach, saves, True, 30.0)
    assert (WorkloadSpec(type=kind, span="node").reach, WorkloadSpec(type=kind, checkpoints=not saves).saves) == (
        "node",
        not saves,
    )


def test_each_replica_of_a_deployment_asks_for_itself() -> None:
    spec = DeploymentSpec(
        model="llama",
        replicas=3,
        devices=2,
        memory=10,
        cpus=1.5,
        device_memory=7,
        queue="product",
        gpu_models=("H100",),
    )
    one = WorkloadSpec(
        type="inference", devices=2, memory=10, cpus=1.5, device_memory=7, queue="product", gpu_models=("H100",)
    )
    assert spec.workload == one
    assert spec.together(3) == one.model_copy(update={"replicas": 3, "devices": 6, "memory": 30, "cpus": 4.5})
    split = spec.model_copy(update={"prefill": 2})
    assert split.together(2) == one.model_copy(update={"replicas": 6, "devices": 12, "memory": 60, "cpus": 9.0})


@pytest.mark.parametrize("many", [{"replicas": 4}, {"autoscaling": {"min": 1, "max": 4}}])
def test_the_requests_of_a_deployment_are_shared_by_its_replicas(many: dict[str, Any]) -> None:
    spec = DeploymentSpec.model_validate({"model": "llama", "latency_ms": 20.0, "requests_per_second": 100.0, **many})
    assert (spec.most, spec.workload.requests_per_second) == (4, 25.0)
    assert spec.together(4).requests_per_second == 100.0


NODE = {"simulated": True, "gpus": 2, "gpu_model": "H100", "gpu_memory": "80Gi", "interconnect": "pcie", "memory": 1}


def test_a_count_of_nodes_becomes_nodes_with_names_of_their_own() -> None:
    spec = ClusterSpec.model_validate({"nodes": [{"name": "a", "count": 3, **NODE}, {"name": "b", **NODE}]})
    assert [(one.name, one.count) for one in spec.nodes] == [("a-0", 1), ("a-1", 1), ("a-2", 1), ("b", 1)]
    assert ClusterSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_labels_say_how_a_node_is_cut() -> None:
    labels: list[dict[str, str]] = [{}, {"nvidia.com/mig.config": "mixed", "zone": "a"}, {"biplane.io/mig": "dynamic"}]
    written = [{"name": f"n{place}", "labels": one, **NODE} for place, one in enumerate(labels)]
    spec = ClusterSpec.model_validate({"nodes": written})
    assert [(one.layout, one.carve) for one in spec.nodes] == [("", False), ("mixed", False), ("", True)]


def test_a_deployment_counts_as_inference_and_is_of_the_latest_version() -> None:
    deployment = Deployment(metadata=Metadata(name="chat"), spec=DeploymentSpec(model="llama"))
    assert (deployment.spec.priority, deployment.spec.version) == ("critical-inference", "latest")


def test_the_nearest_name_is_none_where_nothing_is_alike() -> None:
    assert nearest("gpus", ["nvidia.com/gpu", "memory", "cpu"]) == "nvidia.com/gpu"
    assert nearest("xylophone", ["nvidia.com/gpu", "memory", "cpu"]) is None
