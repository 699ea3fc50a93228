"""Servers beside the plane, with its replicas' engine settings and environment: vLLM's own, and Ray Serve LLM as it
comes, in a Ray of its own.

Usage: python -m scripts.bench.serving_bare vllm|ray DIRECTORY --model NAME --port PORT [--engine JSON]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serve_apps.llm import CPU_WORKER_ENVIRONMENT, ENVIRONMENT

ENVIRONMENT_OF_ENGINE = ENVIRONMENT | CPU_WORKER_ENVIRONMENT
SIMULATED = {"enable_prefix_caching": True, "enforce_eager": True}
"""What `serve_apps.llm` sets for a simulated device where the deployment says nothing else."""


def flags(settings: Mapping[str, Any]) -> list[str]:
    """The settings as vLLM's server takes them."""
    words = []
    for name, value in settings.items():
        flag = name.replace("_", "-")
        match value:
            case True:
                words.append(f"--{flag}")
            case False:
                words.append(f"--no-{flag}")
            case _:
                words += [f"--{flag}", str(value)]
    return words


def become_vllm(directory: Path, model: str, port: int, settings: Mapping[str, Any]) -> None:
    """This process becomes the server, which then is the parent of its engine."""
    words = [
        *("-m", "vllm.entrypoints.openai.api_server", "--model", str(directory), "--served-model-name", model),
        *("--host", "127.0.0.1", "--port", str(port), "--disable-uvicorn-access-log", *flags(settings)),
    ]
    os.execve(sys.executable, [sys.executable, *words], {**os.environ, **ENVIRONMENT_OF_ENGINE})


def serve_with_ray(directory: Path, model: str, port: int, settings: Mapping[str, Any]) -> None:
    """Ray Serve LLM by its own builder, with nothing set that it does not need here; until it is killed."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray is imported
    import ray
    from ray import serve
    from ray.serve.llm import LLMConfig, build_openai_app

    ray.init(address="local", num_cpus=8, resources={"sim-gpu": 1}, include_dashboard=False)
    config = LLMConfig(
        model_loading_config={"model_id": model, "model_source": str(directory)},
        engine_kwargs=dict(settings),
        accelerator_config={"kind": "cpu"},
        placement_group_config={"bundles": [{"CPU": 1, "sim-gpu": 1}]},
        runtime_env={"env_vars": ENVIRONMENT_OF_ENGINE},
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(build_openai_app({"llm_configs": [config]}), route_prefix="/")
    signal.pause()


SERVERS = {"vllm": become_vllm, "ray": serve_with_ray}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.serving_bare", description=__doc__)
    parser.add_argument("server", choices=SERVERS)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--model", required=True, help="its name for clients")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--engine", type=json.loads, default={}, help="engine settings by vLLM's names, as JSON")
    given = parser.parse_args()
    SERVERS[given.server](given.directory, given.model, given.port, SIMULATED | given.engine)


if __name__ == "__main__":
    main()
