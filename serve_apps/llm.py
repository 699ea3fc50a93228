"""One model version as one Serve application: a real vLLM engine behind its replica's own HTTP port.

Deployed by name (`serve_apps.llm:build`) at a route prefix of its own, on nodes started with the variables
that `biplane up` sets. HAProxy sends each request straight to the replica with the fewest open ones. There is
deliberately no `LLMRouter`: it costs about 0.4 GB per application and node and only chooses a replica.

Building imports neither vLLM nor `ray.serve.llm` (half a minute and half a GB), so that whoever deploys stays
small; the replica imports both. A replica that dies takes its engine with it and leaves nothing behind.
"""

import os
from dataclasses import dataclass, field
from typing import Any

import httpx
from ray import serve
from ray.serve.deployment import Application
from starlette.types import ASGIApp

from serve_apps.internal_key import ENVIRONMENT_VARIABLE
from serve_apps.model_files import ensure_model_files

SIMULATED = "sim-gpu"
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
CPU_WORKER_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB; the default takes a large share of the machine's memory
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # replicas share cores; binding would stack them on the same ones
    "OMP_NUM_THREADS": "1",  # a simulated device is one CPU; else every engine starts a thread per core
}


@dataclass(frozen=True)
class LLMArgs:
    """What `build` reads; unknown or missing names raise TypeError, so that a typing error never deploys.

    `engine` are vLLM's engine arguments by name; `device_uuids` and `node_id` are the lease's. Where `path` does
    not exist yet, it is filled from the artifact at `source`.
    """

    model: str
    version: str
    path: str
    source: str
    mlflow_url: str
    internal_key_file: str
    replicas: int = 1
    resource: str = SIMULATED
    devices: int = 1
    device_uuids: list[str] = field(default_factory=list)
    node_id: str | None = None
    engine: dict[str, Any] = field(default_factory=dict)


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
    not use.
    """

    async def __init__(self, config: dict[str, Any]) -> None:  # type: ignore[misc]  # Serve awaits it
        from ray.serve.llm import LLMConfig

        from serve_apps.engine import LeanEngine

        wanted = LLMConfig(**config)
        self._model = wanted.model_id
        self._engine = LeanEngine(wanted)
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
        "num_replicas": wanted.replicas,
        "max_ongoing_requests": 1_000_000,  # the engine's own scheduler queues and batches
        # The bundle counts the replica's CPU.
        "ray_actor_options": {"num_cpus": 0, "runtime_env": {"env_vars": environment}},
        "placement_group_bundles": [_bundle(wanted)],
        "placement_group_strategy": "STRICT_PACK",
        # A dead engine is noticed after three failed checks: three seconds instead of thirty.
        "health_check_period_s": 1,
        "health_check_timeout_s": 10,
        "logging_config": {"enable_access_log": False},
    }
    if wanted.node_id is not None:
        options["placement_group_bundle_label_selector"] = [{"ray.io/node-id": wanted.node_id}]
    return serve.deployment(Engine, **options).bind(_llm_config(wanted))


def _bundle(wanted: LLMArgs) -> dict[str, float]:
    """All of a replica's devices in one bundle: a lease is on one node and is claimed once."""
    return {"CPU": 1, wanted.resource: wanted.devices}


def _llm_config(wanted: LLMArgs) -> dict[str, Any]:
    """The keyword arguments of `ray.serve.llm.LLMConfig`. Serve shows them: no secret goes in."""
    simulated = wanted.resource == SIMULATED
    engine: dict[str, Any] = {"enable_prefix_caching": True, **wanted.engine}
    if simulated:
        engine.setdefault("enforce_eager", True)  # compiling costs a minute on a CPU and saves nothing there
    elif "pipeline_parallel_size" not in engine:
        engine.setdefault("tensor_parallel_size", wanted.devices)
    engine["middleware"] = ["serve_apps.internal_key.RequireInternalKey"]
    return {
        "model_loading_config": {"model_id": wanted.model, "model_source": wanted.path},
        "engine_kwargs": engine,
        # Ray's name for one process tree on one node; "gpu" would spread actors over one bundle per device.
        "accelerator_config": {"kind": "cpu"},
        "placement_group_config": {"bundles": [_bundle(wanted)]},
        "callback_config": {
            "callback_class": "serve_apps.engine.PrepareEngine",
            "callback_kwargs": {
                "internal_key_file": wanted.internal_key_file,
                "device_uuids": [] if simulated else wanted.device_uuids,
            },
        },
    }
