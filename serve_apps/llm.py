"""One replica of a model version as one Serve application: a real vLLM engine behind its replica's own HTTP port.

Deployed by name (`serve_apps.llm:build`) at a route prefix of its own, on nodes started with the variables
that `biplane up` sets. Gateways send requests straight to the replica's own server, whose address its reports have;
HAProxy sends them to Serve's port of the same replica. There is deliberately no `LLMRouter`: it costs about 0.4 GB per
application and node and only chooses a replica.

Building imports neither vLLM nor `ray.serve.llm` (half a minute and half a GB), so that whoever deploys stays
small; the replica imports both. A replica that dies takes its engine with it and leaves nothing behind.
"""

import asyncio
import functools
import gc
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import ray
from ray import serve
from ray._common.utils import import_attr
from ray.serve.deployment import Application
from starlette.types import ASGIApp

from actors.claims import claim
from control.data_plane import write_engine
from control.engine_report import EngineReport
from control.specs.engine import NO_EFFECT_ON_CPU, engine_arguments
from control.specs.footprint import UTILIZATION
from serve_apps.engine_adapters import adapter_arguments, adapter_paths, ensure_adapters
from serve_apps.engine_ending import is_ending
from serve_apps.engine_life import EngineLife
from serve_apps.http_server import ReplicaServer, WithoutLifespan
from serve_apps.internal_key import ENVIRONMENT_VARIABLE, RequireInternalKey, read_internal_key
from serve_apps.model_files import ensure_model_files

SIMULATED = "sim-gpu"
SLOTS = 1000
"""As many may share a device as there are thousandths of it; the scheduler sees to it that it is enough for them."""
CLAIM_SECONDS = 30.0
"""How long a replica waits for the one that had its devices before: a killed engine takes seconds to go."""
DRAIN_SECONDS = 30.0
"""How long a replica that Serve ends may take for the requests that it has. Whoever ends it in good time waits longer
before that (`control/router/retire.py`): this is for devices that are wanted back."""
WARM_UP_SECONDS = 300.0
ENGINE_CLASS = "RAYLLM_VLLM_ENGINE_CLS"
"""Ray's own hook: `module.Class` of an engine that is started instead. Only where it answers is reported then."""
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
CPU_WORKER_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB; the default takes a large share of the machine's memory
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # replicas share cores; binding would stack them on the same ones
    "OMP_NUM_THREADS": "1",  # a simulated device is one CPU; else every engine starts a thread per core
}


@dataclass(frozen=True)
class LLMArgs:
    """What `build` reads; unknown or missing names raise TypeError, so that a typing error never deploys.

    `app` is the application's name. Where `path` does not exist yet, it is filled from the artifact at `source`. The
    rest is the replica's part of the lease: of each of `devices`, UUIDs on one node, it gets `milli` thousandths,
    counted as Ray's `resource`. Where that is a share of a device, `share_memory` bytes of it are the replica's; a MIG
    slice is a device of its own. The replica claims its devices for `workload`. `engine` are vLLM's engine arguments by
    name, `adapters` LoRA adapters by the name that requests call them: a local directory, or an artifact.
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


async def warm_up(app: ASGIApp, model: str) -> None:
    """Requests before the replica counts as ready, until one is answered: the first costs seconds of late imports.

    Whatever they are answered is fine: a model without a chat template refuses the first, one for embeddings the
    first two. Raises TimeoutError after WARM_UP_SECONDS.
    """
    asked: tuple[tuple[str, dict[str, Any]], ...] = (
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}),
        ("/v1/completions", {"prompt": "hello", "max_tokens": 2}),
        ("/v1/embeddings", {"input": "hello"}),
    )
    headers = {"authorization": f"Bearer {os.environ[ENVIRONMENT_VARIABLE]}"}
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        asyncio.timeout(WARM_UP_SECONDS),
        httpx.AsyncClient(transport=transport, base_url="http://engine", timeout=None) as client,
    ):
        for route, body in asked:
            if (await client.post(route, json={"model": model, **body}, headers=headers)).is_success:
                return


@serve.ingress()
class Engine:
    """The replica: vLLM's own HTTP application on Serve's port and on one of its own. Imported where it runs.

    `ray.serve.llm.LLMServer` is this plus a telemetry actor of 0.4 GB and Serve's multiplexing, which we do
    not use. It claims devices before it imports what could open them; where they are not free within CLAIM_SECONDS it
    raises DeviceInUse, and Serve tries again.
    """

    async def __init__(self, wanted: LLMArgs) -> None:  # type: ignore[misc]  # Serve awaits it
        self._wanted = wanted
        self._started = {"worker": round(time.time() - psutil.Process().create_time(), 3)}
        self._clock = time.monotonic()
        os.environ[ENVIRONMENT_VARIABLE] = read_internal_key(wanted.internal_key_file)
        shares = SLOTS if wanted.share_memory else 1
        directory = Path(wanted.claims_directory)
        await asyncio.to_thread(
            claim, directory, wanted.devices, wanted.workload, shares=shares, wait_seconds=CLAIM_SECONDS
        )
        self._lap("claim")
        self._engine = _engine(wanted)
        self._lap("imports")
        await self._engine.start()
        self._lap("engine")

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        app = RequireInternalKey(await self._engine.build_asgi_app())
        await warm_up(app, self._wanted.model)
        gc.collect()
        gc.freeze()  # what was imported stays: looking through it again costs streams tens of milliseconds
        self._lap("warm-up")
        self._server = ReplicaServer(app, ray.util.get_node_ip_address())
        await self._server.start()
        about = EngineReport(self._server.url, pid=os.getpid(), started_s=self._started)
        watched = not os.environ.get(ENGINE_CLASS)
        if watched:
            about = self._engine.describe(about)
            self._engine.figures.clear()
        write = functools.partial(write_engine, self._wanted.app)
        self._life = EngineLife(about, self._engine if watched else None, ending=is_ending, write=write)
        await self._life.start()
        return WithoutLifespan(app)

    async def check_health(self) -> None:
        """Raises where nobody watches the engine; Serve then replaces the replica. A dead one ends it by itself."""
        self._life.check_health()

    async def __del__(self) -> None:
        """Serve ends the replica when this returns: when the last request in flight has its answer."""
        await self._server.close()
        await self._life.stop()

    def _lap(self, part: str) -> None:
        """The part of the start that ends now."""
        now = time.monotonic()
        self._started[part], self._clock = round(now - self._clock, 3), now


def _engine(wanted: LLMArgs) -> Any:
    """The engine, not yet started. The devices are claimed: importing vLLM may open them."""
    from ray.serve.llm import LLMConfig

    config = llm_config(wanted)
    if hook := os.environ.get(ENGINE_CLASS):
        return import_attr(hook)(LLMConfig(**config))
    from vllm.platforms import current_platform

    from serve_apps.engine import LeanEngine

    if wanted.share_memory and wanted.resource != SIMULATED:
        whole = current_platform.get_device_total_memory()
        config["engine_kwargs"] = keep_within(wanted.share_memory, whole, config["engine_kwargs"])
    return LeanEngine(LLMConfig(**config), adapter_paths(wanted.adapters, wanted.path))


def build(args: dict[str, Any]) -> Application:
    """The Serve application of one replica; `args` are the fields of `LLMArgs`."""
    wanted = LLMArgs(**args)
    ensure_model_files(wanted.path, wanted.source, wanted.mlflow_url)
    ensure_adapters(wanted.adapters, wanted.path, wanted.mlflow_url)
    environment = ENVIRONMENT | (CPU_WORKER_ENVIRONMENT if wanted.resource == SIMULATED else {})
    options: dict[str, Any] = {
        "name": "engine",
        "num_replicas": 1,
        "max_ongoing_requests": 1_000_000,  # the engine's own scheduler queues and batches
        # The bundle counts the replica's CPU.
        "ray_actor_options": {"num_cpus": 0, "runtime_env": {"env_vars": environment}},
        "placement_group_bundles": [_bundle(wanted)],
        "placement_group_strategy": "STRICT_PACK",
        "placement_group_bundle_label_selector": [{"ray.io/node-id": wanted.node_id}],
        # A dead engine is noticed after three failed checks: three seconds instead of thirty.
        "health_check_period_s": 1,
        "health_check_timeout_s": 10,
        "graceful_shutdown_timeout_s": DRAIN_SECONDS,
        "graceful_shutdown_wait_loop_s": 0.2,
        "logging_config": {"enable_access_log": False},
    }
    return serve.deployment(Engine, **options).bind(wanted)


def _bundle(wanted: LLMArgs) -> dict[str, float]:
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
    engine = adapter_arguments(adapter_paths(wanted.adapters, wanted.path)) | engine
    engine["disable_log_stats"] = False  # reports are made of them, and the watch looks at them
    return {
        "model_loading_config": {"model_id": wanted.model, "model_source": wanted.path},
        "engine_kwargs": engine,
        "log_engine_metrics": False,  # into Ray's own metrics, once more, at every step
        # Ray's name for one process tree on one node; "gpu" would spread actors over one bundle per device.
        "accelerator_config": {"kind": "cpu"},
        "placement_group_config": {"bundles": [_bundle(wanted)]},
        "callback_config": {"callback_class": "serve_apps.engine.PrepareEngine"},
    }


def keep_within(memory: int, whole: int, engine: Mapping[str, Any]) -> dict[str, Any]:
    """Engine arguments with which vLLM takes no more than `memory` of the `whole` bytes of its device.

    What is given as `gpu_memory_utilization`, to vLLM a part of the whole, is then a part of `memory`.
    """
    given = engine.get("gpu_memory_utilization", UTILIZATION)
    return {**engine, "gpu_memory_utilization": given * min(1.0, memory / whole)}
