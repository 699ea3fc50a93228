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
from pathlib import Path
from typing import Any

import httpx
import psutil
import ray
from ray import serve
from ray._common.utils import import_attr
from ray.serve.deployment import Application
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from actors.claims import claim
from control.data_plane import write_engine
from control.engine_report import EngineReport
from serve_apps.engine_adapters import adapter_paths, ensure_adapters
from serve_apps.engine_config import SIMULATED, LLMArgs, bundle, keep_within, llm_config
from serve_apps.engine_ending import is_ending
from serve_apps.engine_life import EngineLife
from serve_apps.handoff import Handoff
from serve_apps.http_server import ReplicaServer, WithoutLifespan, free_port
from serve_apps.internal_key import ENVIRONMENT_VARIABLE, RequireInternalKey, read_internal_key
from serve_apps.model_files import ensure_model_files

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


class Replica:
    """An engine behind vLLM's own HTTP application on a port of its own. Imported where it runs.

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

    async def begin(self, app: ASGIApp) -> None:
        """Answer with `app`, and say where."""
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


class PrefillEngine(Replica):
    """An engine that only reads prompts, for the replica of its application that writes the answers."""

    async def __init__(self, wanted: LLMArgs) -> None:  # type: ignore[misc]  # Serve awaits it
        await super().__init__(wanted)
        await self.begin(RequireInternalKey(await self._engine.build_asgi_app()))

    async def address(self) -> str:
        """Of its own HTTP server."""
        return self._server.url


@serve.ingress()
class Engine(Replica):
    """The replica that gateways know; Serve sends it requests, too, by HAProxy. `readers` read prompts for it."""

    async def __init__(self, wanted: LLMArgs, *readers: DeploymentHandle) -> None:  # type: ignore[misc]
        await super().__init__(wanted)
        self._readers = readers

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        app = await self._engine.build_asgi_app()
        if self._readers:
            app = Handoff(app, [reader.address.remote for reader in self._readers])
        app = RequireInternalKey(app)
        await self.begin(app)
        return WithoutLifespan(app)


def _engine(wanted: LLMArgs) -> Any:
    """The engine, not yet started. The devices are claimed: importing vLLM may open them."""
    from ray.serve.llm import LLMConfig

    config = llm_config(wanted)
    if wanted.transfers:
        os.environ.setdefault("VLLM_NIXL_SIDE_CHANNEL_PORT", str(free_port(ray.util.get_node_ip_address())))
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
    readers = [
        serve.deployment(PrefillEngine, name=f"prefill-{number}", **_options(reader)).bind(reader)
        for number, reader in enumerate(wanted.readers)
    ]
    return serve.deployment(Engine, name="engine", **_options(wanted)).bind(wanted, *readers)


def _options(wanted: LLMArgs) -> dict[str, Any]:
    """Serve's, for one engine on its part of the lease."""
    environment = ENVIRONMENT | (CPU_WORKER_ENVIRONMENT if wanted.resource == SIMULATED else {})
    return {
        "num_replicas": 1,
        "max_ongoing_requests": 1_000_000,  # the engine's own scheduler queues and batches
        # The bundle counts the replica's CPU.
        "ray_actor_options": {"num_cpus": 0, "runtime_env": {"env_vars": environment}},
        "placement_group_bundles": [bundle(wanted)],
        "placement_group_strategy": "STRICT_PACK",
        "placement_group_bundle_label_selector": [{"ray.io/node-id": wanted.node_id}],
        # A dead engine is noticed after three failed checks: three seconds instead of thirty.
        "health_check_period_s": 1,
        "health_check_timeout_s": 10,
        "graceful_shutdown_timeout_s": DRAIN_SECONDS,
        "graceful_shutdown_wait_loop_s": 0.2,
        "logging_config": {"enable_access_log": False},
    }
