"""How fast a workload gets its placement group on a live cluster of simulated nodes, and how a long queue drains.

The scheduler's control actor and the client are the real ones, each in a process of its own, on a store in a temporary
directory; the nodes are raylets on this machine (ray.cluster_utils), one after the other: 50 of them take some minutes
and 8 GiB. Usage: python -m scripts.bench.live [--nodes 50] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from control.client import Client
from control.kernel.home import Home, Settings
from control.kernel.plan import PutSpec, Remove
from control.kernel.recover import MARK, end_plane
from control.kernel.store import Object, Store
from control.services import RAY_ENVIRONMENT
from control.specs.document import Document
from control.specs.load import load_text

DEVICES = 8
SIZES = (1, 1, 2, 1, 4, 1, 1, 2)
"""Devices that are asked for, over and over."""
READY_SECONDS = 60.0
SETTLE_SECONDS = 900.0
POLL_SECONDS = 0.001
SCHEDULER = "scheduler"
SHARED_MACHINE = {
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_enable_metrics_collection": "false",
    "RAY_DASHBOARD_AGENT_CHECK_PARENT_INTERVAL_S": "60",
    "REPORTER_UPDATE_INTERVAL_MS": "3600000",
    "METRICS_RECORD_INTERVAL_S": "3600",
    "RAY_DASHBOARD_STATS_UPDATING_INTERVAL": "3600",
    "EVENT_AGENT_REPORT_INTERVAL_SECONDS": "60",
    "SCAN_EVENT_DIR_INTERVAL_SECONDS": "3600",
    "RAY_DASHBOARD_AGGREGATOR_AGENT_CHECK_MAIN_THREAD_LIVENESS_INTERVAL_SECONDS": "60",
    "RAY_DASHBOARD_AGGREGATOR_AGENT_PUBLISHER_MAX_BUFFER_SEND_INTERVAL_SECONDS": "60",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_debug_dump_period_milliseconds": "0",
    "RAY_event_stats": "false",
    "RAY_health_check_period_ms": "30000",
    "RAY_metrics_report_interval_ms": "3600000",
    "RAY_kill_idle_workers_interval_ms": "60000",
    "RAY_local_gc_interval_s": "3600",
}
"""A machine with many nodes is slow to start one more, and what Ray's processes of all of them do while they are idle,
such as looking at every process of the machine every few seconds, would be most of what it does."""


@dataclass(frozen=True)
class Drained:
    """`gap` is the longest time without a workload that got its placement group; all in seconds."""

    workloads: int
    seconds: float
    gap: float


class Bench:
    """The client's side, and Ray's answers to it."""

    def __init__(self, client: Client, nodes: int) -> None:
        self.client = client
        self.devices = nodes * DEVICES

    def bind(self, count: int) -> list[float]:
        """Seconds from each `apply` to the placement group; no more than half of the devices are ever held."""
        took: list[float] = []
        held: deque[tuple[str, int]] = deque()
        for document, size in workloads("one", count):
            while held and sum(devices for _, devices in held) + size > self.devices // 2:
                self.client.delete("Workload", held.popleft()[0])
            began = time.perf_counter()
            self.client.apply([document])
            while not self.is_placed(document.name):
                if time.perf_counter() - began > READY_SECONDS:
                    raise TimeoutError(f"{document.name} has no placement group: {self.reason(document.name)}")
                time.sleep(POLL_SECONDS)
            took.append(time.perf_counter() - began)
            held.append((document.name, size))
        for name, _ in held:
            self.client.delete("Workload", name)
        return took

    def drain(self, count: int) -> Drained:
        """Apply `count` at once; each is deleted as soon as it has its placement group, until none is left."""
        documents = [document for document, _ in workloads("queued", count)]
        waiting = {document.name for document in documents}
        began = time.perf_counter()
        self.client.apply(documents)
        progress, gap = time.perf_counter(), 0.0
        while waiting:
            placed = [o.name for o in self.client.get("Workload") if o.name in waiting and has_group(o)]
            now = time.perf_counter()
            gap = max(gap, now - progress)
            if placed:
                progress = now
                gone = [Remove(kind="Workload", name=name, event="Deleted", reason="it was short") for name in placed]
                self.client.commit(*gone)
                waiting.difference_update(placed)
            elif now - progress > READY_SECONDS:
                raise TimeoutError(f"{len(waiting)} are left: {self.reason(min(waiting))}")
            time.sleep(POLL_SECONDS)
        return Drained(count, time.perf_counter() - began, gap)

    def settle(self, nodes: int) -> None:
        """Wait until the scheduler knows every node and has nothing left to do."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            beats = [beat.body for beat in self.client.store.heartbeats() if beat.actor == SCHEDULER]
            idle = bool(beats) and not beats[0]["records"] and not beats[0]["effects"]
            if idle and len(self.client.get("Node")) == nodes:
                return
            time.sleep(1.0)
        raise TimeoutError(f"the scheduler is not at rest after {SETTLE_SECONDS:.0f} s")

    def is_placed(self, name: str) -> bool:
        return has_group(self.client.get("Workload", name)[0])

    def reason(self, name: str) -> str:
        return str(self.client.get("Workload", name)[0].status.get("reason", "the scheduler has not seen it"))


def workloads(prefix: str, count: int) -> Iterator[tuple[Document, int]]:
    """Batch workloads, with how many devices each asks for."""
    for number in range(count):
        size = SIZES[number % len(SIZES)]
        yield written("Workload", f"{prefix}-{number}", {"type": "batch", "devices": size}), size


def has_group(workload: Object) -> bool:
    """Whether Ray has placed the group of the workload's lease."""
    from ray._private.state import state

    group = workload.status.get("group")
    found = state.get_placement_group_by_name(f"workload:{group}", "biplane") if group else None
    return found is not None and found["state"] == "CREATED"


@contextmanager
def cluster(nodes: int, home: Home) -> Iterator[None]:
    """Simulated nodes on this machine, the scheduler's control actor on the first; this process is connected to Ray."""
    import ray
    from ray.cluster_utils import Cluster

    from control.kernel.actor import ControlActor

    def node(number: int) -> dict[str, Any]:
        labels = {"biplane.io/node": f"sim-{number}" if nodes > 1 else "sim"}
        return {"num_cpus": 16, "resources": {"sim-gpu": DEVICES}, "labels": labels, "object_store_memory": 80 << 20}

    head = {**node(0), "include_dashboard": False, "dashboard_port": 0, "temp_dir": str(home.ray_directory)}
    started = Cluster(initialize_head=True, head_node_args=head)
    try:
        for number in range(1, nodes):
            started.add_node(wait=True, **node(number))
        ray.init(address=started.address, namespace="biplane", log_to_driver=False)
        actor = ray.remote(ControlActor).options(name="control:scheduler", num_cpus=0, max_restarts=-1)
        handle = actor.remote("control.scheduler.actor:wire")
        ray.get(handle.pid.remote())
        yield
    finally:
        ray.shutdown()
        started.shutdown()


def declare(store: Store, nodes: int) -> None:
    node = {
        "name": "sim",
        "count": nodes,
        "simulated": True,
        "gpus": DEVICES,
        "gpu_model": "H100-80GB",
        "gpu_memory": "80Gi",
        "interconnect": "nvswitch",
        "memory": "512Gi",
    }
    document = written("Cluster", "bench", {"nodes": [node]})
    spec = document.spec.model_dump(mode="json")
    change = PutSpec(kind="Cluster", name="bench", event="Declared", reason="bench", spec=spec)
    store.commit((change,), who="bench", now=time.time())


def written(kind: str, name: str, spec: dict[str, Any]) -> Document:
    """The document as it is read from a person's file."""
    body = {"apiVersion": "biplane/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    (document,) = load_text(json.dumps(body), "live.py")
    return document


def measure(nodes: int, one_by_one: int, queued: int, home: Home) -> dict[str, Any]:
    client = Client(home)
    declare(client.store, nodes)
    began = time.perf_counter()
    with cluster(nodes, home):
        bench = Bench(client, nodes)
        bench.settle(nodes)
        setup = time.perf_counter() - began
        took = bench.bind(one_by_one)
        bench.settle(nodes)
        drained = bench.drain(queued)
    return {
        "nodes": nodes,
        "setup_s": round(setup, 1),
        "bind_ms": {"workloads": len(took), **in_milliseconds(took)},
        "drain": {
            "workloads": drained.workloads,
            "seconds": round(drained.seconds, 2),
            "per_s": round(drained.workloads / drained.seconds, 1),
            "longest_gap_s": round(drained.gap, 3),
        },
    }


def in_milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    figures = {"p50": cuts[49], "p90": cuts[89], "p99": cuts[98], "max": max(seconds)}
    return {name: round(value * 1000, 1) for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.live", description=__doc__)
    parser.add_argument("--nodes", type=int, default=50, help="simulated nodes of eight devices")
    parser.add_argument("--workloads", type=int, default=250, help="workloads bound one by one")
    parser.add_argument("--queued", type=int, default=1000, help="workloads that are applied at once")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on standard output")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="biplane-live.") as directory:
        home = Home(Path(directory))
        # Before Ray is imported; every process that it starts inherits it.
        os.environ.update({**RAY_ENVIRONMENT, **SHARED_MACHINE, "BIPLANE_HOME": directory, MARK: home.plane_id})
        Settings("bench", 0, 0, 0, 0, 0, 0, 0, 0, 0).write(home)
        try:
            figures = measure(given.nodes, given.workloads, given.queued, home)
        finally:
            end_plane(home.plane_id)
            shutil.rmtree(home.ray_directory, ignore_errors=True)
    if given.json:
        print(json.dumps(figures, separators=(",", ":")))
    else:
        json.dump(figures, sys.stdout, indent=2)
        print()


if __name__ == "__main__":
    main()
