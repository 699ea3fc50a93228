"""What an application asks of Ray and of vLLM for the part of a lease that it is built on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serve_apps.engine_config import LLMArgs, keep_within, llm_config
from serve_apps.internal_key import ENVIRONMENT_VARIABLE
from serve_apps.llm import DRAIN_SECONDS, build, warm_up


def args(path: Path, **part: Any) -> dict[str, Any]:
    """A replica on two real devices, unless the part says otherwise."""
    whole = {
        "node_id": "n0",
        "resource": "GPU",
        "milli": 1000,
        "devices": ["a", "b"],
        "share_memory": 0,
        "workload": "app.chat.1.s",
        "claims_directory": str(path / "claims"),
    }
    where = {"path": str(path), "source": "mlflow-artifacts:/1", "mlflow_url": "", "internal_key_file": "/key"}
    return {"app": "llm:chat:1", "model": "chat", "version": "1", **where, **whole, **part}


def bundle_of(given: dict[str, Any]) -> dict[str, float]:
    config = build(given)._bound_deployment._replica_config
    (bundle,) = config.placement_group_bundles
    return dict(bundle)


def test_it_is_one_replica_and_pinned_to_its_node(tmp_path: Path) -> None:
    deployment = build(args(tmp_path))._bound_deployment
    assert deployment.num_replicas == 1
    assert deployment._replica_config.placement_group_bundle_label_selector == [{"ray.io/node-id": "n0"}]
    assert deployment._replica_config.ray_actor_options["num_cpus"] == 0


@pytest.mark.parametrize(
    ("part", "bundle"),
    [
        ({}, {"CPU": 1, "GPU": 2.0}),
        ({"devices": ["a"], "milli": 250, "share_memory": 20 << 30}, {"CPU": 1, "GPU": 0.25}),
        ({"devices": ["MIG-1"], "milli": 125}, {"CPU": 1, "GPU": 0.125}),
        ({"devices": ["SIM-n0-0"], "resource": "sim-gpu"}, {"CPU": 1, "sim-gpu": 1.0}),
        ({"devices": []}, {"CPU": 1}),
    ],
    ids=["whole devices", "a share", "a slice", "a simulated device", "no device"],
)
def test_ray_counts_what_the_replica_was_given(tmp_path: Path, part: dict[str, Any], bundle: dict[str, float]) -> None:
    given = args(tmp_path, **part)
    assert bundle_of(given) == bundle
    assert llm_config(LLMArgs(**given))["placement_group_config"] == {"bundles": [bundle]}


@pytest.mark.parametrize(
    ("part", "parallel"),
    [
        ({}, 2),
        ({"devices": ["MIG-1"], "milli": 125}, 1),
        ({"devices": []}, 1),
        ({"engine": {"tensor_parallel_size": 1}}, 1),
        ({"engine": {"pipeline_parallel_size": 2}}, None),
        ({"resource": "sim-gpu"}, None),
    ],
)
def test_the_engine_is_spread_over_the_devices_of_its_replica(
    tmp_path: Path, part: dict[str, Any], parallel: int | None
) -> None:
    engine = llm_config(LLMArgs(**args(tmp_path, **part)))["engine_kwargs"]
    assert engine.get("tensor_parallel_size") == parallel
    assert engine["disable_log_stats"] is False, "reports are made of them"


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


def test_a_replica_that_ends_has_time_for_the_requests_that_it_has(tmp_path: Path) -> None:
    deployment = build(args(tmp_path))._bound_deployment
    assert deployment._deployment_config.graceful_shutdown_timeout_s == DRAIN_SECONDS


def test_adapters_have_room_in_the_engine_and_what_is_said_of_it_wins(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"r": 8}')
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    given = args(tmp_path, adapters={"polite": str(adapter)}, engine={"max_loras": 3})
    build(given)
    engine = llm_config(LLMArgs(**given))["engine_kwargs"]
    assert (engine["enable_lora"], engine["max_lora_rank"], engine["max_loras"]) == (True, 8, 3)


def test_engines_that_read_prompts_are_deployments_of_their_own_on_their_part_of_the_lease(tmp_path: Path) -> None:
    part = {"node_id": "n1", "resource": "sim-gpu", "milli": 1000, "devices": ["SIM-1"]}
    given = args(tmp_path, resource="sim-gpu", devices=["SIM-0"], prefill=[part])
    app = build(given)
    assert app._bound_deployment.name == "engine"
    (reader,) = app._bound_deployment.init_args[1:]
    config = reader._bound_deployment._replica_config
    assert config.placement_group_bundles == [{"CPU": 1, "sim-gpu": 1.0}]
    assert config.placement_group_bundle_label_selector == [{"ray.io/node-id": "n1"}]
    (made,) = reader._bound_deployment.init_args
    assert (made.devices, made.app, made.prefill) == (["SIM-1"], "llm:chat:1/prefill-0", [])
    for one, role in ((LLMArgs(**given), "kv_consumer"), (made, "kv_producer")):
        assert llm_config(one)["engine_kwargs"]["kv_transfer_config"] == {
            "kv_connector": "NixlConnector",
            "kv_role": role,
            "kv_load_failure_policy": "recompute",
            "kv_buffer_device": "cpu",
        }
    alone = llm_config(LLMArgs(**args(tmp_path)))["engine_kwargs"]
    assert "kv_transfer_config" not in alone


def test_an_adapter_that_is_none_is_never_deployed(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    with pytest.raises(ValueError, match="adapter polite: expected adapter_config"):
        build(args(tmp_path, adapters={"polite": str(tmp_path / "adapter")}))


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ({"/v1/chat/completions": 200}, 1),
        ({"/v1/chat/completions": 400, "/v1/completions": 200}, 2),
        ({"/v1/chat/completions": 404, "/v1/completions": 404, "/v1/embeddings": 200}, 3),
        ({}, 3),
    ],
    ids=["chat", "no chat template", "embeddings", "nothing of it"],
)
def test_the_warm_up_asks_for_what_the_model_can_do(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, int], asked: int
) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "key")
    routes: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        routes.append(scope["path"])
        assert (b"authorization", b"Bearer key") in scope["headers"]
        await Response(status_code=answers.get(scope["path"], 500))(scope, receive, send)

    asyncio.run(warm_up(app, "chat"))
    assert len(routes) == asked
