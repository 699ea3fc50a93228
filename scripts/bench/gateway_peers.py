"""What the gateway is measured beside: HAProxy as the limit of any proxy, LiteLLM's proxy, an application of Ray Serve.

HAProxy and LiteLLM are processes in front of the same upstream; the application is on the plane's own Ray.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from control.preflight import choose_port
from control.serve_environment import serve_environment
from scripts.bench.gateway_echo import PREFIX
from scripts.bench.serving_load import Route
from scripts.bench.serving_plane import CHAT, ROOT, Broken, Plane, process

WORKERS = 2
"""Of LiteLLM, and threads of HAProxy: as many as the gateway has replicas."""
ECHO_SECONDS = 120.0
MODEL = "bench"
_LITELLM_KEY = "sk-bench"
_HAPROXY = f"""
global
  nbthread {WORKERS}
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:%d
  default_backend out
backend out
  http-reuse always
  server upstream 127.0.0.1:%d
"""


@contextmanager
def haproxy(brought: Plane, upstream: int, directory: Path) -> Iterator[Route]:
    """The plane's own HAProxy program, in front of the port `upstream`. Raises Broken."""
    port = choose_port("HAProxy", 0, "")
    config = directory / "haproxy.cfg"
    config.write_text(_HAPROXY % (port, upstream))
    url = f"http://127.0.0.1:{port}"
    binary = serve_environment(brought.home, brought.client.settings)["BIPLANE_HAPROXY"]
    command = [binary, "-db", "-f", str(config)]
    with process("haproxy", command, directory / "haproxy.log", {}, f"{url}/v1/models"):
        yield Route(url + CHAT)


@contextmanager
def litellm(python: Path, upstream: int, directory: Path) -> Iterator[Route]:
    """LiteLLM's proxy, run by `python`, with a key of its own. Raises Broken."""
    port = choose_port("LiteLLM", 0, "")
    config = directory / "litellm.json"
    model = {"model": "openai/gpt-4o", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "none"}
    settings = {
        "model_list": [{"model_name": MODEL, "litellm_params": model}],
        "general_settings": {"master_key": _LITELLM_KEY},
    }
    config.write_text(json.dumps(settings))  # JSON is YAML
    url = f"http://127.0.0.1:{port}"
    command = [str(python), "-m", "litellm.proxy.proxy_cli", "--config", str(config), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", str(WORKERS)]
    # Its prices come with it; without this it asks for newer ones on the internet.
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with process("litellm", command, directory / "litellm.log", environment, f"{url}/health/liveliness"):
        yield Route(url + CHAT, _LITELLM_KEY)


def echo(brought: Plane) -> Route:
    """The application of scripts.bench.gateway_echo, once it answers; the plane's end is its end. Raises Broken."""
    client = brought.client
    started = subprocess.run(
        [sys.executable, "-m", "scripts.bench.gateway_echo", client.settings.ray_address],
        cwd=ROOT,
        env={**os.environ, **client.environment()},
        capture_output=True,
        text=True,
        timeout=ECHO_SECONDS,
    )
    if started.returncode:
        raise Broken(f"the echo application did not start: {started.stderr[-2000:]}; {brought.hints}")
    return Route(client.settings.serve_url + PREFIX)
