"""The scheduler among the other domains: what becomes of leases when the world under them changes."""

from __future__ import annotations

from dataclasses import replace

from control.kernel.plan import EndStep
from tests.fakes.drive import simulated_node
from tests.fakes.plane import CLUSTER, WORKFLOW, Plane

SECOND = CLUSTER.partition("  nodes:\n")[2].replace("sim-0", "sim-1")
NEXT = """\
apiVersion: biplane/v1
kind: Workload
metadata: {name: next}
spec: {type: training, devices: 8}
"""


def two_nodes() -> Plane:
    plane = Plane()
    plane.apply(CLUSTER + SECOND)
    plane.drive.alive_nodes.append(simulated_node("sim-1", "b" * 8))
    return plane


def holds(plane: Plane, workload: str) -> bool:
    found = plane.store.get("Workload", workload)
    return found is not None and found.status.get("lease") is not None


def test_when_a_gang_loses_a_node_its_step_ends_before_anybody_gets_the_devices_of_the_others() -> None:
    plane = two_nodes()
    plane.apply(WORKFLOW.replace('value: "2"', 'value: "16"'))
    step = plane.step("training")
    for _ in range(30):
        if str(step) in plane.drive.alive:
            break
        plane.work()
        plane.turn()
    assert str(step) in plane.drive.alive
    plane.apply(NEXT)
    plane.drive.alive_nodes = [one for one in plane.drive.alive_nodes if one.node_id != "b" * 8]
    ends = len(plane.drive.acts)
    while str(step) in plane.drive.alive:
        plane.turn("scheduler")
        assert not holds(plane, "next")
        plane.turn("pipeline")
    assert [type(effect) for effect in plane.drive.acts[ends:] if effect.kind != "Node"] == [EndStep]
    plane.until(lambda: holds(plane, "next"))
    assert plane.task("training")["state"] == "Placing"
    assert not holds(plane, step.workload)


def test_while_the_successor_of_a_node_is_there_beside_it_nothing_is_evicted_or_moved() -> None:
    plane = two_nodes()
    plane.apply(NEXT)
    plane.settle()
    (name,) = [name for name in ("sim-0", "sim-1") if name in str(plane.store.get("Workload", "next"))]
    (node,) = [one for one in plane.drive.alive_nodes if one.labels["biplane.io/node"] == name]
    lease = plane.store.get("Workload", "next").status["lease"]  # type: ignore[union-attr]
    plane.drive.alive_nodes.append(replace(node, node_id="0" * 8, report=None))
    for _ in range(3):
        plane.turn("scheduler")
    status = plane.store.get("Workload", "next").status  # type: ignore[union-attr]
    assert (status["lease"], status["eviction"]) == (lease, None)
    plane.drive.alive_nodes.remove(node)
    plane.turn("scheduler")
    status = plane.store.get("Workload", "next").status  # type: ignore[union-attr]
    (piece,) = status["lease"]["pieces"]
    assert (piece["node_id"], piece["devices"], status["eviction"]) == ("0" * 8, lease["pieces"][0]["devices"], None)
