"""What the scheduler sees: declared nodes under their label, other nodes as Ray counts them."""

from __future__ import annotations

from control.kernel.plan import PutSpec
from control.kernel.present import NodeView
from control.kernel.store import Store
from control.scheduler.actor import Scheduler
from control.scheduler.state import Phase
from control.scheduler.view import live_nodes, observe
from control.specs.load import load_text
from tests.fakes.drive import FakeDrive, simulated_node
from tests.fakes.plane import CLUSTER

GIB = 1 << 30

POLICY = """\
apiVersion: nvidia.com/v1
kind: ClusterPolicy
metadata:
  name: policy
spec:
  scheduling:
    preemption:
      priorities:
        - name: training
          priority: 7
        - name: night
          priority: 1
"""

WORKLOAD = """\
apiVersion: biplane/v1
kind: Workload
metadata:
  name: mine
spec:
  type: batch
  devices: 2
  memory: 4Gi
"""


def stored(*texts: str) -> Store:
    store = Store("sqlite://")
    for text in texts:
        for document in load_text(text, "test.yaml"):
            spec = document.spec.model_dump(mode="json")
            put = PutSpec(kind=document.kind, name=document.name, event="Applied", reason="test", spec=spec)
            store.commit((put,), who="test", now=4.0)
    return store


def test_a_declared_node_has_the_devices_of_its_declaration_and_the_id_of_its_present_life() -> None:
    (node,) = observe(stored(CLUSTER), FakeDrive(simulated_node(node_id="now"))).nodes
    assert (node.name, node.node_id, node.resource, node.simulated) == ("sim-0", "now", "sim-gpu", True)
    assert [device.uuid for device in node.devices][:2] == ["SIM-sim-0-0", "SIM-sim-0-1"]
    assert {device.memory for device in node.devices} == {80 * GIB}
    assert node.memory == 512 * GIB


def test_a_node_that_nobody_declared_is_as_ray_counts_it() -> None:
    view = NodeView("abc", {"ray.io/accelerator-type": "A100"}, {"GPU": 2.0, "memory": 8.0 * GIB, "CPU": 4.0})
    (node,) = live_nodes([], [view])
    assert (node.name, node.resource, node.gpu_model, node.simulated) == ("abc", "GPU", "A100", False)
    assert [device.uuid for device in node.devices] == ["0", "1"]
    assert node.memory == 8 * GIB


def test_a_declared_node_that_ray_does_not_report_is_not_there() -> None:
    assert observe(stored(CLUSTER), FakeDrive()).nodes == ()


def test_a_policy_adds_classes_and_changes_the_ones_there_are() -> None:
    found = observe(stored(POLICY), FakeDrive()).priorities
    assert found == {"critical-inference": 100, "training": 7, "batch-scoring": 10, "night": 1}


def test_a_lease_that_was_written_is_read_back_as_it_was() -> None:
    store, drive = stored(CLUSTER, WORKLOAD), FakeDrive(simulated_node())
    scheduler = Scheduler(drive)
    plan = scheduler.decide(scheduler.observe(store, 5.0))
    store.commit(plan.records, who="scheduler", now=5.0)
    again = scheduler.observe(store, 6.0)
    (mine,) = again.workloads
    assert (mine.phase, mine.devices, mine.memory, mine.priority_class) == (Phase.LEASED, 2, 4 * GIB, "batch-scoring")
    assert mine.created_at == 4.0
    assert again.known_nodes == again.nodes
    assert not scheduler.decide(again)
