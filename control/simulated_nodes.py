"""The simulated nodes beyond the head: each is a raylet of its own on this machine, with the declared devices.

A node is known by the marks in the environment of its processes: its name, and the declaration that it was started
with. One that is declared no more or otherwise is ended with all that runs on it; the others are not touched.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from control.kernel.home import RAY_IP, Home, Settings
from control.kernel.ids import digest
from control.kernel.recover import end, processes_of
from control.preflight import Refused
from control.services import NODE_MARK, as_declared, command_line, node_of, plane_environment, run_logged
from control.specs.cluster import Cluster, Node

DECLARATION_MARK = "BIPLANE_NODE_DECLARATION"
"""The environment variable with the digest of the declaration that a node was started with."""
OBJECT_STORE_BYTES = 512 << 20
"""Of each node: they share the memory of one machine."""


def check_head(declared: Cluster | None, cluster: Cluster) -> None:
    """Nodes come and go while the plane runs, but for the first: it is Ray's head. Raises Refused."""
    wanted, runs = cluster.spec.nodes[0], None if declared is None else declared.spec.nodes[0]
    if runs != wanted:
        found = "without simulated nodes" if runs is None else f"with {runs.name} as its first node"
        other = f"{wanted.name}" if runs is None or runs.name != wanted.name else "another declaration of it"
        raise Refused(
            f"the plane runs {found}, the file declares {other}; that node holds the control plane and can only change"
            " when nothing runs: biplane down"
        )


def ensure_nodes(home: Home, settings: Settings, nodes: Sequence[Node], report: Callable[[str], None]) -> list[str]:
    """Exactly these nodes beside the head, as they are declared; the names of those that were started now.

    Raises Refused when one does not start.
    """
    processes = {process: name for process in processes_of(home.plane_id) if (name := node_of(process))}
    running = {name: _declaration(process) for process, name in processes.items() if _is_raylet(process)}
    kept = {node.name for node in nodes if running.get(node.name) == _digest(node)}
    if going := sorted(set(processes.values()) - kept):
        report(f"without {_named(going)}")
        end(process for process, name in processes.items() if name not in kept)
    missing = [node for node in nodes if node.name not in kept]
    if missing:
        report(f"simulated {_named([node.name for node in missing])}")
    # Starting one is mostly the start of three Python processes; all at once they would only wait for each other.
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 1)) as pool:
        list(pool.map(lambda node: _start(home, settings, node), missing))
    return [node.name for node in missing]


def _start(home: Home, settings: Settings, node: Node) -> None:
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start"),
        f"--address={settings.ray_address}",
        f"--node-ip-address={RAY_IP}",
        "--dashboard-agent-listen-port=0",
        *("--min-worker-port=0", "--max-worker-port=0"),
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        "--disable-usage-stats",
        *as_declared(node),
    ]
    marks = {NODE_MARK: node.name, DECLARATION_MARK: _digest(node)}
    environment = plane_environment(home, settings) | marks
    run_logged(f"node {node.name}", command, environment, home.logs / f"ray-start-{node.name}.log")


def _digest(node: Node) -> str:
    return digest(node.model_dump(mode="json"))


def _declaration(process: psutil.Process) -> str:
    try:
        return process.environ().get(DECLARATION_MARK, "")
    except psutil.Error:
        return ""


def _is_raylet(process: psutil.Process) -> bool:
    words = command_line(process)
    return bool(words) and Path(words[0]).name == "raylet"


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return f"node {shown}" if len(names) == 1 else f"nodes {shown}"
