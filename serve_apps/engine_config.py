"""What a replica is made with, and what of it Ray and vLLM are told. Imports neither vLLM nor `ray.serve.llm`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from control.specs.engine import NO_EFFECT_ON_CPU, engine_arguments
from control.specs.footprint import UTILIZATION
from serve_apps.engine_adapters import adapter_arguments, adapter_paths

SIMULATED = "sim-gpu"
TRANSFER = {"kv_connector": "NixlConnector", "kv_load_failure_policy": "recompute"}
"""How KV caches go from one engine to another. One that cannot be fetched any more is computed again."""


@dataclass(frozen=True)
class LLMArgs:
    """What `build` reads; unknown or missing names raise TypeError, so that a typing error never deploys.

    `app` is the application's name. Where `path` does not exist yet, it is filled from the artifact at `source`. The
    rest is the replica's part of the lease: of each of `devices`, UUIDs on one node, it gets `milli` thousandths,
    counted as Ray's `resource`. Where that is a share of a device, `share_memory` bytes of it are the replica's; a MIG
    slice is a device of its own. The replica claims its devices for `workload`. `engine` are vLLM's engine arguments by
    name, `adapters` LoRA adapters by the name that requests call them: a local directory, or an artifact. `prefill` has
    the rest of the lease: `node_id`, `resource`, `milli` and `devices` of each engine that only reads prompts for this
    one, whose own arguments say that it `reads`.
    """

    app: str
    model: str
    version: str
    path: str
    source: str
    mlflow_url: str
    internal_key_file: str
    node_id: str
    resource: str
    milli: int
    devices: list[str]
    share_memory: int
    workload: str
    claims_directory: str
    engine: dict[str, Any] = field(default_factory=dict)
    adapters: dict[str, str] = field(default_factory=dict)
    prefill: list[dict[str, Any]] = field(default_factory=list)
    reads: bool = False

    @property
    def transfers(self) -> bool:
        """Whether KV caches go from one of its engines to another."""
        return self.reads or bool(self.prefill)

    @property
    def readers(self) -> list[LLMArgs]:
        """What its engines are made with that only read prompts."""
        return [
            replace(self, **part, app=f"{self.app}/prefill-{number}", prefill=[], reads=True)
            for number, part in enumerate(self.prefill)
        ]


def bundle(wanted: LLMArgs) -> dict[str, float]:
    """All of the replica's devices in one bundle: they are on one node and are claimed once."""
    amount = len(wanted.devices) * wanted.milli / 1000
    return {"CPU": 1, wanted.resource: amount} if amount else {"CPU": 1}


def llm_config(wanted: LLMArgs) -> dict[str, Any]:
    """The keyword arguments of `ray.serve.llm.LLMConfig`."""
    given = wanted.engine
    if wanted.resource == SIMULATED:
        given = {name: value for name, value in given.items() if name not in NO_EFFECT_ON_CPU}
    engine: dict[str, Any] = {"enable_prefix_caching": True, **engine_arguments(given)}
    if wanted.resource == SIMULATED:
        engine.setdefault("enforce_eager", True)  # compiling costs a minute on a CPU and saves nothing there
    elif "pipeline_parallel_size" not in engine:
        engine.setdefault("tensor_parallel_size", max(1, len(wanted.devices)))
    if wanted.transfers:
        role = {"kv_role": "kv_producer" if wanted.reads else "kv_consumer"}
        on_cpu = {"kv_buffer_device": "cpu"} if wanted.resource == SIMULATED else {}
        engine["kv_transfer_config"] = {**TRANSFER, **role, **on_cpu, **engine.get("kv_transfer_config", {})}
    engine = adapter_arguments(adapter_paths(wanted.adapters, wanted.path)) | engine
    engine["disable_log_stats"] = False  # reports are made of them, and the watch looks at them
    return {
        "model_loading_config": {"model_id": wanted.model, "model_source": wanted.path},
        "engine_kwargs": engine,
        "log_engine_metrics": False,  # into Ray's own metrics, once more, at every step
        # Ray's name for one process tree on one node; "gpu" would spread actors over one bundle per device.
        "accelerator_config": {"kind": "cpu"},
        "placement_group_config": {"bundles": [bundle(wanted)]},
        "callback_config": {"callback_class": "serve_apps.engine.PrepareEngine"},
    }


def keep_within(memory: int, whole: int, engine: Mapping[str, Any]) -> dict[str, Any]:
    """Engine arguments with which vLLM takes no more than `memory` of the `whole` bytes of its device.

    What is given as `gpu_memory_utilization`, to vLLM a part of the whole, is then a part of `memory`.
    """
    given = engine.get("gpu_memory_utilization", UTILIZATION)
    return {**engine, "gpu_memory_utilization": given * min(1.0, memory / whole)}
