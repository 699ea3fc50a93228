"""The processes under the control plane: Ray's head and the MLflow server. Starting twice is starting once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from control.kernel.home import LOOPBACK, RAY_IP, STORE_PASSWORD_VARIABLE, STORE_VARIABLE, Home, Settings
from control.kernel.recover import MARK, end, processes_of
from control.preflight import Refused, make_private
from control.scheduler.nodes import NODE_LABEL, RACK_LABEL, SIMULATED_RESOURCE
from control.serve_environment import serve_environment
from control.specs.cluster import Node

RAY_SECONDS = 60.0
MLFLOW_SECONDS = 180.0
_RAY_ESSENTIALS = ("gcs_server", "raylet", "dashboard.py")
NODE_MARK = "BIPLANE_NODE"
"""The environment variable that names the simulated node of a process; those of the head have none."""

RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",
    "RAY_enable_worker_prestart": "0",
    # How soon Ray knows what a removed placement group gave back; what does not fit at once waits a second.
    "RAY_raylet_report_resources_period_milliseconds": "20",
    "RAY_worker_niceness": "0",  # a replica must not yield to whatever else runs on its machine
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""How Ray runs under a plane; every node has to start with it."""


def plane_environment(home: Home, settings: Settings) -> dict[str, str]:
    """What every process of the plane inherits."""
    inherited = {k: v for k, v in os.environ.items() if k not in (STORE_VARIABLE, STORE_PASSWORD_VARIABLE)}
    return {
        **inherited,
        **home.environment,
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",  # a job's `python` is this one
        MARK: home.plane_id,
        **RAY_ENVIRONMENT,
        "SPT_NOENV": "1",  # a process title must not overwrite the environment by which we find the process
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "TOKENIZERS_PARALLELISM": "false",
        **serve_environment(home, settings),
    }


def ray_is_up(home: Home, settings: Settings) -> bool:
    """Whether Ray's head of this plane is whole: its three services run and the dashboard answers."""
    command_lines = [" ".join(command_line(p)) for p in processes_of(home.plane_id) if not node_of(p)]
    if not all(any(name in line for line in command_lines) for name in _RAY_ESSENTIALS):
        return False
    return _answers(f"{settings.dashboard_url}/api/version", home.ray_token_file)


def start_ray(home: Home, settings: Settings, node: Node | None) -> None:
    """Start Ray's head with the devices of `node`, after ending what is left of an earlier one. Raises Refused.

    Without a declared node Ray counts the devices of the machine.
    """
    end(p for p in processes_of(home.plane_id) if not _is_mlflow(p))
    for directory in (home.ray_directory, home.haproxy_directory):
        shutil.rmtree(directory, ignore_errors=True)
        make_private(directory)
    home.logs.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head"),
        f"--node-ip-address={RAY_IP}",
        f"--port={settings.ray_port}",
        f"--dashboard-host={LOOPBACK}",
        f"--dashboard-port={settings.dashboard_port}",
        f"--dashboard-agent-listen-port={settings.agent_port}",
        f"--ray-client-server-port={settings.client_port}",
        *("--min-worker-port=0", "--max-worker-port=0"),
        f"--temp-dir={home.ray_directory}",
        "--disable-usage-stats",
        *([] if node is None else as_declared(node)),
    ]
    log = home.logs / "ray-start.log"
    run_logged("Ray", command, plane_environment(home, settings), log)
    version = f"{settings.dashboard_url}/api/version"
    _wait_until(version, RAY_SECONDS, f"Ray's dashboard; see {log}", home.ray_token_file)


def start_mlflow(home: Home, settings: Settings) -> None:
    """Start the MLflow server unless it answers; it is waited for by `wait_for_mlflow`."""
    if mlflow_answers(settings):
        return
    end(p for p in processes_of(home.plane_id) if _is_mlflow(p))
    (home.mlflow / "artifacts").mkdir(parents=True, exist_ok=True)
    home.logs.mkdir(parents=True, exist_ok=True)
    with (home.logs / "mlflow.log").open("a") as output:
        subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server"),
                *("--host", LOOPBACK, "--port", str(settings.mlflow_port), "--workers", "1"),
                *("--backend-store-uri", f"sqlite:///{home.mlflow / 'mlflow.db'}"),
                *("--artifacts-destination", str(home.mlflow / "artifacts")),
            ],
            env=plane_environment(home, settings),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def mlflow_answers(settings: Settings) -> bool:
    return _answers(f"{settings.mlflow_url}/health")


def wait_for_mlflow(home: Home, settings: Settings) -> None:
    _wait_until(f"{settings.mlflow_url}/health", MLFLOW_SECONDS, f"MLflow; see {home.logs / 'mlflow.log'}")


def wait_for_gateway(settings: Settings, seconds: float) -> None:
    _wait_until(f"{settings.gateway_url}/healthz", seconds, "the gateway; see: biplane events")


def gateway_answers(settings: Settings, seconds: float) -> bool:
    """Whether the gateway answers within `seconds`."""
    try:
        wait_for_gateway(settings, seconds)
    except Refused:
        return False
    return True


def as_declared(node: Node) -> list[str]:
    """What `ray start` is told of a simulated node."""
    labels = {NODE_LABEL: node.name, **({RACK_LABEL: node.rack} if node.rack else {}), **node.labels}
    return [
        f"--num-cpus={node.cpus}",
        "--num-gpus=0",
        f"--memory={node.memory}",
        f"--resources={json.dumps({SIMULATED_RESOURCE: node.gpus})}",
        f"--labels={','.join(f'{key}={value}' for key, value in labels.items() if value)}",
    ]


def run_logged(what: str, command: list[str], environment: dict[str, str], log: Path) -> None:
    """Run the command that starts `what` to its end. Raises Refused with its last words when it fails."""
    with log.open("w") as output:
        code = subprocess.run(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, timeout=RAY_SECONDS * 2
        ).returncode
    if code != 0:
        raise Refused(f"{what} did not start (exit {code}); its last words:\n{_tail(log.read_text())}")


def node_of(process: psutil.Process) -> str:
    """The simulated node that a process of the plane belongs to; empty for the head's, and for what has ended."""
    try:
        return process.environ().get(NODE_MARK, "")
    except psutil.Error:
        return ""


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _is_mlflow(process: psutil.Process) -> bool:
    return any("mlflow" in word for word in command_line(process))


def _answers(url: str, token_file: Path | None = None) -> bool:
    headers = {} if token_file is None else {"Authorization": f"Bearer {token_file.read_text().strip()}"}
    try:
        return httpx.get(url, headers=headers, timeout=5.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _wait_until(url: str, seconds: float, what: str, token_file: Path | None = None) -> None:
    def give_up(_state: object) -> None:
        raise Refused(f"no answer within {seconds:.0f} s from {what}")

    Retrying(
        stop=stop_after_delay(seconds),
        wait=wait_fixed(0.2),
        retry=retry_if_result(lambda answered: not answered),
        retry_error_callback=give_up,
    )(_answers, url, token_file)


def _tail(text: str, lines: int = 15) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])
