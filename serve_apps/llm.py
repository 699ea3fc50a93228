"""One model version as one Serve application: a real vLLM engine behind its replica's own HTTP port.

Deployed by name (`serve_apps.llm:build`) at a route prefix of its own, on nodes started with the variables
that `biplane up` sets. HAProxy sends each request straight to the replica with the fewest open ones. There is
deliberately no `LLMRouter`: it costs about 0.4 GB per application and node and only chooses a replica.

Building imports neither vLLM nor `ray.serve.llm` (half a minute and half a GB), so that whoever deploys stays
small; the replica imports both. A replica that dies takes its engine with it and leaves nothing behind.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from ray import serve
from ray.serve.deployment import Application
from starlette.types import ASGIApp

from actors.claim_part import SLOTS, claim_part
from control.specs.engine import NO_EFFECT_ON_CPU, engine_arguments
from serve_apps.internal_key import ENVIRONMENT_VARIABLE
from serve_apps.model_files import ensure_model_files

SIMULATED = "sim-gpu"
CLAIM_SECONDS = 30.0
"""How long a replica waits for the one that had its devices before: a killed engine takes seconds to go."""
UTILIZATION = 0.92
"""What vLLM takes of a device's memory unless it is told."""
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
CPU_WORKER_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB; the default takes a large share of the machine's memory
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # replicas share cores; binding would stack them on the same ones
    "OMP_NUM_THREADS": "1",  # a simulated device is one CPU; else every engine starts a thread per core
}


@dataclass(frozen=True)
class LLMArgs:
    """What `build` reads; unknown or missing names raise TypeError, so that a typing error never deploys.

    Where `path` does not exist yet, it is filled from the artifact at `source`. The rest is the lease's part on one
    node: `replica_devices` has the device UUIDs of each replica, of each of which it gets `milli` thousandths, counted
    as Ray's `resource`. Where that is a share of a device, `share_memory` bytes of it are the replica's; a MIG slice
    is a device of its own. Replicas claim their devices for `workload`. `engine` are vLLM's engine arguments by name.
    """

    model: str
    version: str
    path: str
    source: str
    mlflow_url: str
    internal_key_file: str
    node_id: str
    resource: str
    milli: int
    replica_devices: list[list[str]]
    share_memory: int
    workload: str
    claims_directory: str
    engine: dict[str, Any] = field(default_factory=dict)

    @property
    def devices(self) -> int:
        """How many each replica has."""
        return len(self.replica_devices[0])


async def warm_up(app: ASGIApp, model: str) -> None:
    """One chat request before the replica counts as ready: the first costs seconds of late imports.

    Whatever it is answered is fine: a model without a chat template refuses it and serves other routes.
    """
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
    headers = {"authorization": f"Bearer {os.environ[ENVIRONMENT_VARIABLE]}"}
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://engine", timeout=120) as client:
        await client.post("/v1/chat/completions", json=body, headers=headers)


@serve.ingress()
class Engine:
    """The replica: vLLM's own HTTP application on the replica's port. Imported where it runs.

    `ray.serve.llm.LLMServer` is this plus a telemetry actor of 0.4 GB and Serve's multiplexing, which we do
    not use. It claims devices before it imports what could open them; where none is free within CLAIM_SECONDS it
    raises DeviceInUse, and Serve tries another replica.
    """

    async def __init__(self, wanted: LLMArgs) -> None:  # type: ignore[misc]  # Serve awaits it
        shares = SLOTS if wanted.share_memory else 1
        claims, parts = Path(wanted.claims_directory), wanted.replica_devices
        await asyncio.to_thread(claim_part, claims, parts, wanted.workload, shares=shares, wait_seconds=CLAIM_SECONDS)

        from ray.serve.llm import LLMConfig
        from vllm.platforms import current_platform

        from serve_apps.engine import LeanEngine

        config = llm_config(wanted)
        if wanted.share_memory and wanted.resource != SIMULATED:
            whole = current_platform.get_device_total_memory()
            config["engine_kwargs"] = keep_within(wanted.share_memory, whole, config["engine_kwargs"])
        self._model = wanted.model
        self._engine = LeanEngine(LLMConfig(**config))
        await self._engine.start()

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        app: ASGIApp = await self._engine.build_asgi_app()
        await warm_up(app, self._model)
        return app

    async def check_health(self) -> None:
        """Raises where the engine is dead; Serve then replaces the replica."""
        await self._engine.check_health()


def build(args: dict[str, Any]) -> Application:
    """The Serve application of one model version; `args` are the fields of `LLMArgs`."""
    wanted = LLMArgs(**args)
    ensure_model_files(wanted.path, wanted.source, wanted.mlflow_url)
    environment = ENVIRONMENT | (CPU_WORKER_ENVIRONMENT if wanted.resource == SIMULATED else {})
    options: dict[str, Any] = {
        "name": "engine",
        "num_replicas": len(wanted.replica_devices),
        "max_ongoing_requests": 1_000_000,  # the engine's own scheduler queues and batches
        # The bundle counts the replica's CPU.
        "ray_actor_options": {"num_cpus": 0, "runtime_env": {"env_vars": environment}},
        "placement_group_bundles": [_bundle(wanted)],
        "placement_group_strategy": "STRICT_PACK",
        "placement_group_bundle_label_selector": [{"ray.io/node-id": wanted.node_id}],
        # A dead engine is noticed after three failed checks: three seconds instead of thirty.
        "health_check_period_s": 1,
        "health_check_timeout_s": 10,
        "logging_config": {"enable_access_log": False},
    }
    return serve.deployment(Engine, **options).bind(wanted)


def _bundle(wanted: LLMArgs) -> dict[str, float]:
    """All of a replica's devices in one bundle: they are on one node and are claimed once."""
    amount = wanted.devices * wanted.milli / 1000
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
        engine.setdefault("tensor_parallel_size", max(1, wanted.devices))
    engine["middleware"] = ["serve_apps.internal_key.RequireInternalKey"]
    return {
        "model_loading_config": {"model_id": wanted.model, "model_source": wanted.path},
        "engine_kwargs": engine,
        # Ray's name for one process tree on one node; "gpu" would spread actors over one bundle per device.
        "accelerator_config": {"kind": "cpu"},
        "placement_group_config": {"bundles": [_bundle(wanted)]},
        "callback_config": {
            "callback_class": "serve_apps.engine.PrepareEngine",
            "callback_kwargs": {"internal_key_file": wanted.internal_key_file},
        },
    }


def keep_within(memory: int, whole: int, engine: Mapping[str, Any]) -> dict[str, Any]:
    """Engine arguments with which vLLM takes no more than `memory` of the `whole` bytes of its device.

    What is given as `gpu_memory_utilization`, to vLLM a part of the whole, is then a part of `memory`.
    """
    given = engine.get("gpu_memory_utilization", UTILIZATION)
    return {**engine, "gpu_memory_utilization": given * min(1.0, memory / whole)}
