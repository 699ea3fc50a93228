"""What an application asks of Ray and of vLLM for the part of a lease that it is built on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serve_apps.llm import LLMArgs, build, keep_within, llm_config


def args(path: Path, **part: Any) -> dict[str, Any]:
    """Two replicas of two real devices each, unless the part says otherwise."""
    whole = {
        "node_id": "n0",
        "resource": "GPU",
        "milli": 1000,
        "replica_devices": [["a", "b"], ["c", "d"]],
        "share_memory": 0,
        "workload": "app.chat.1.s",
        "claims_directory": str(path / "claims"),
    }
    where = {"path": str(path), "source": "mlflow-artifacts:/1", "mlflow_url": "", "internal_key_file": "/key"}
    return {"model": "chat", "version": "1", **where, **whole, **part}


def bundle_of(given: dict[str, Any]) -> dict[str, float]:
    config = build(given)._bound_deployment._replica_config
    (bundle,) = config.placement_group_bundles
    return dict(bundle)


def test_its_replicas_are_those_of_one_node_and_pinned_to_it(tmp_path: Path) -> None:
    deployment = build(args(tmp_path))._bound_deployment
    assert deployment.num_replicas == 2
    assert deployment._replica_config.placement_group_bundle_label_selector == [{"ray.io/node-id": "n0"}]
    assert deployment._replica_config.ray_actor_options["num_cpus"] == 0


@pytest.mark.parametrize(
    ("part", "bundle"),
    [
        ({}, {"CPU": 1, "GPU": 2.0}),
        ({"replica_devices": [["a"]], "milli": 250, "share_memory": 20 << 30}, {"CPU": 1, "GPU": 0.25}),
        ({"replica_devices": [["MIG-1"]], "milli": 125}, {"CPU": 1, "GPU": 0.125}),
        ({"replica_devices": [["SIM-n0-0"]], "resource": "sim-gpu"}, {"CPU": 1, "sim-gpu": 1.0}),
        ({"replica_devices": [[], []]}, {"CPU": 1}),
    ],
    ids=["whole devices", "a share", "a slice", "a simulated device", "no device"],
)
def test_ray_counts_what_each_replica_was_given(tmp_path: Path, part: dict[str, Any], bundle: dict[str, float]) -> None:
    given = args(tmp_path, **part)
    assert bundle_of(given) == bundle
    assert llm_config(LLMArgs(**given))["placement_group_config"] == {"bundles": [bundle]}


@pytest.mark.parametrize(
    ("part", "parallel"),
    [
        ({}, 2),
        ({"replica_devices": [["MIG-1"]], "milli": 125}, 1),
        ({"replica_devices": [[]]}, 1),
        ({"engine": {"tensor_parallel_size": 1}}, 1),
        ({"engine": {"pipeline_parallel_size": 2}}, None),
        ({"resource": "sim-gpu"}, None),
    ],
)
def test_the_engine_is_spread_over_the_devices_of_a_replica(
    tmp_path: Path, part: dict[str, Any], parallel: int | None
) -> None:
    engine = llm_config(LLMArgs(**args(tmp_path, **part)))["engine_kwargs"]
    assert engine.get("tensor_parallel_size") == parallel
    assert engine["middleware"] == ["serve_apps.internal_key.RequireInternalKey"]


def test_an_engine_on_a_share_of_a_device_takes_its_part_of_that_share_and_not_of_the_device() -> None:
    assert keep_within(20, 80, {})["gpu_memory_utilization"] == pytest.approx(0.92 / 4)
    assert keep_within(20, 80, {"gpu_memory_utilization": 0.8, "max_num_seqs": 4}) == {
        "gpu_memory_utilization": pytest.approx(0.2),
        "max_num_seqs": 4,
    }
    assert keep_within(100, 80, {"gpu_memory_utilization": 0.8})["gpu_memory_utilization"] == 0.8


def test_a_name_that_it_does_not_know_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="device_uuids"):
        build(args(tmp_path, device_uuids=["a"]))
