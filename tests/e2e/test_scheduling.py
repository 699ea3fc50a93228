"""Devices given out on a real plane: preemption, sharing, a device that fails, slices cut on demand, a drained node.

The tests of this file tell one story and share one plane: each goes on where the one before ended.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from control.kernel.store import Object
from tests.e2e.plane import Plane, until

POLICY = """\
apiVersion: nvidia.com/v1
kind: ClusterPolicy
metadata: {name: policy}
spec:
  devicePlugin: {config: {name: shares, default: two}}
  scheduling: {preemption: {enabled: true}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: shares}
data:
  two: |
    version: v1
    sharing: {timeSlicing: {resources: [{name: nvidia.com/gpu, replicas: 2}]}}
"""


@pytest.fixture(scope="module")
def live(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> Plane:
    """The plane, brought back if it was taken down, with a node that may be cut on demand beside its first."""
    cluster = yaml.safe_load(plane.cluster.read_text())
    second = {**cluster["spec"]["nodes"][0], "name": "sim-1", "gpus": 2, "labels": {"biplane.io/mig": "dynamic"}}
    cluster["spec"]["nodes"].append(second)
    file = tmp_path_factory.mktemp("cluster") / "two.yaml"
    file.write_text(yaml.safe_dump(cluster))
    plane.biplane("up", "--cluster", str(file), timeout=600)
    plane.apply(POLICY)
    until(lambda: len(plane.client.get("Node")) == 2)
    return plane


def want(plane: Plane, name: str, **spec: Any) -> None:
    document = {"apiVersion": "biplane/v1", "kind": "Workload", "metadata": {"name": name}, "spec": spec}
    plane.apply(yaml.safe_dump(document))


def workload(plane: Plane, name: str) -> Object:
    (found,) = plane.client.get("Workload", name)
    return found


def is_in(plane: Plane, name: str, phase: str) -> bool:
    return bool(workload(plane, name).status.get("phase") == phase)


def devices(plane: Plane, name: str) -> list[str]:
    lease = workload(plane, name).status["lease"]
    return [uuid for piece in lease["pieces"] for uuid in piece["devices"]]


def clear(plane: Plane) -> None:
    for one in plane.client.get("Workload"):
        plane.biplane("delete", f"workload/{one.name}")
    until(lambda: plane.client.occupancy().held_milli == 0)


def test_a_lower_class_stops_for_a_higher_one_and_goes_on_afterwards(live: Plane) -> None:
    want(live, "low", type="batch", devices=8, grace="2s")
    until(lambda: is_in(live, "low", "Leased"))
    want(live, "high", type="inference", devices=4)
    until(lambda: is_in(live, "high", "Leased"))
    assert not set(devices(live, "high")) & set(devices(live, "low") if is_in(live, "low", "Leased") else ())
    told = [one["reason"] for one in live.biplane("explain", "workload/low")["findings"]]
    assert any("4 of its 8" in reason for reason in told), told
    live.biplane("delete", "workload/high")
    until(lambda: is_in(live, "low", "Leased"))
    clear(live)


def test_two_share_a_device_and_a_third_gets_another(live: Plane) -> None:
    for name in ("a", "b", "c"):
        want(live, name, type="inference", devices=1, share=0.5, device_memory="20Gi")
    until(lambda: all(is_in(live, name, "Leased") for name in "abc"))
    assert len({uuid for name in "abc" for uuid in devices(live, name)}) == 2
    clear(live)


def test_who_stands_on_a_device_that_fails_moves_and_the_device_comes_back(live: Plane) -> None:
    want(live, "w", type="batch", devices=8, grace="1s")
    until(lambda: is_in(live, "w", "Leased"))
    failed = devices(live, "w")[0]
    file = live.home.devices / "sim-0.trouble.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"trouble": {failed: "XID 79: GPU has fallen off the bus"}}))
    until(lambda: is_in(live, "w", "Pending"))
    assert "XID 79" in json.dumps(live.biplane("gpus"))
    file.unlink()
    until(lambda: is_in(live, "w", "Leased"))
    clear(live)


def test_a_device_is_cut_for_who_waits_for_a_slice(live: Plane) -> None:
    want(live, "slice", type="inference", devices=1, slice="3g.40gb")
    until(lambda: is_in(live, "slice", "Leased"), seconds=90)
    (uuid,) = devices(live, "slice")
    assert uuid.startswith("SIM-MIG-sim-1-")
    clear(live)


def test_a_drained_node_is_left(live: Plane) -> None:
    want(live, "w", type="batch", devices=2, grace="1s")
    until(lambda: is_in(live, "w", "Leased"))
    (node,) = {piece["node"] for piece in workload(live, "w").status["lease"]["pieces"]}
    live.biplane("drain", node)
    until(lambda: is_in(live, "w", "Leased") and node not in str(workload(live, "w").status["lease"]))
    live.biplane("uncordon", node)
    clear(live)
