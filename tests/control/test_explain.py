"""Why something is as it is, down to the scheduler's answer."""

from __future__ import annotations

from control.explain import explain
from tests.control.router.world import deployment, plane_with
from tests.control.vectors.world import World, collection
from tests.fakes.plane import WORKFLOW, Plane

HOG = "apiVersion: biplane/v1\nkind: Workload\nmetadata: {name: hog}\nspec: {type: inference, devices: 7}\n"


def told(plane: Plane, kind: str) -> list[tuple[int, str, str, str]]:
    return [(f.depth, f.about, f.phase, f.reason) for f in explain(plane.only(kind), plane.store.list(), plane.clock())]


def test_a_workflow_that_waits_for_devices_leads_to_what_the_scheduler_said() -> None:
    plane = Plane()
    plane.apply(HOG)
    plane.settle()
    plane.apply(WORKFLOW)
    plane.settle()
    found = told(plane, "Workflow")
    workload = f"Workload/{plane.step('training').workload}"
    assert [about for _, about, _, _ in found if about] == [
        "Workflow/tune",
        "Run/tune-1",
        "task data",
        "task training",
        workload,
        "task evaluation",
        "task deployment",
    ]
    assert found[4] == (
        3,
        workload,
        "Pending",
        "sim-0 has 1 of its 8 H100-80GB free, 2 are asked for",
    )
    assert [reason for depth, about, _, reason in found if depth == 4 and not about] == [
        "it is number 1 of 1 who wait",
        "it would fit on sim-0 once enough of hog have left, nobody knows when",
        "in 24.0 h it goes ahead of every class",
    ]
    assert (2, "task evaluation", "Waiting", "waits for training") in found


def test_a_deployment_that_serves_leads_to_the_devices_that_it_holds() -> None:
    plane = plane_with(1, deployment(devices=2))
    plane.settle()
    (_, about, phase, reason), workload, *_ = told(plane, "Deployment")
    assert (about, phase, reason) == ("Deployment/chat", "Ready", "version 1 serves")
    assert workload[0] == 1
    assert workload[3].endswith("; holds SIM-sim-0-0, SIM-sim-0-1 on sim-0")


def test_a_run_that_deploys_leads_to_its_deployment() -> None:
    plane = Plane()
    plane.apply(WORKFLOW)
    plane.settle()
    assert "Deployment/tune" in [about for _, about, _, _ in told(plane, "Run")]


def test_what_nobody_has_looked_at_yet_says_so() -> None:
    plane = Plane()
    plane.apply(HOG)
    assert told(plane, "Workload")[0][3] == "its domain has not looked at it yet"
    assert told(plane, "Cluster")[0][3] == "generation 1 is what is wanted"


def test_a_workload_that_waits_says_for_each_node_which_rule_fails_and_what_would_help() -> None:
    plane = Plane()
    plane.apply(HOG.replace("inference", "batch"))
    plane.settle()
    urgent = HOG.replace("hog", "urgent")
    plane.apply(urgent)
    plane.settle()
    (subject,) = [o for o in plane.store.list("Workload") if o.name == "urgent"]
    found = explain(subject, plane.store.list(), plane.clock())
    assert ("Node/sim-0", "sim-0 has 1 of its 8 H100-80GB free, 7 are asked for") in [
        (f.about, f.reason) for f in found
    ]
    assert "preemption is off; with it hog would have to stop for it" in [f.reason for f in found]


def test_a_collection_leads_to_its_shards_their_replicas_and_what_they_lack() -> None:
    world = World(2, collection(replicas=2))
    world.settle()
    world.replicas.kill(world.leader())
    for _ in range(5):
        world.turn(3.0)
    world.remove_node("n1")
    world.turn(3.0)
    found = told(world.plane, "Collection")
    assert found[0][:3] == (0, "Collection/docs", "Degraded")
    assert [about for depth, about, _, _ in found if depth == 1] == ["shard 0"]
    lacks = [reason for _, about, _, reason in found if about == "lacks"]
    assert any("its node n1 is not there" in lack for lack in lacks)
    assert ("replica 1", "away", "on n1") in [(about, phase, reason) for _, about, phase, reason in found]


def test_a_collection_whose_rows_move_tells_how_far_each_new_shard_is() -> None:
    world = World(2, collection(shards=1, replicas=2))
    world.settle()
    world.replicas.unreachable.add(world.leader())
    world.plane.apply(collection(shards=2, replicas=2))
    for _ in range(15):
        world.turn()
    found = told(world.plane, "Collection")
    assert found[0][2] == "Moving"
    assert "new shard 1: has copied about 0 %; new shard 2: has copied about 0 %" in found[0][3]
    assert [about for depth, about, _, _ in found if depth == 1] == ["shard 0", "new shard 1", "new shard 2"]


def test_a_replica_on_a_gpu_that_waits_leads_to_what_the_scheduler_said() -> None:
    plane = Plane()
    plane.apply(HOG.replace("devices: 7", "devices: 8"))
    plane.settle()
    plane.apply(collection(replicas=1, index="{device: gpu}"))
    for _ in range(4):
        plane.turn()
    found = told(plane, "Collection")
    assert any("8 of its 8" in reason or "0 of its 8" in reason for _, _, _, reason in found), found
    assert [about for _, about, _, _ in found if about.startswith("Workload/vectors.docs.")]
