"""What the scheduler sees: stored workloads and rules, nodes, groups, and what of it lives on Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from control.kernel.ids import StepName
from control.kernel.plan import EnsureAgent, EnsureGroup, EnsureStep, PutSpec, PutStatus
from control.kernel.present import AppState, NodeView
from control.kernel.store import Object, Store
from control.scheduler import view
from control.scheduler.actor import Scheduler
from control.scheduler.nodes import LASTING_SECONDS
from control.scheduler.state import Eviction, Kind, Lease, Phase, Piece, Snapshot, Workload
from control.scheduler.view import Memory, known_nodes, observe
from control.specs.inventory import DeviceReport, NodeReport, SliceReport
from control.specs.load import load_text
from control.specs.step import StepRequest
from tests.fakes.drive import FakeDrive, simulated_node
from tests.fakes.plane import CLUSTER

GIB = 1 << 30

POLICY = """\
apiVersion: nvidia.com/v1
kind: ClusterPolicy
metadata:
  name: policy
spec:
  devicePlugin:
    config:
      name: time-slicing-config
      default: inference-sharing
  scheduling:
    preemption:
      enabled: true
      priorities:
        - name: training
          priority: 7
        - name: night
          priority: 1
"""

MAPS = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: time-slicing-config
data:
  inference-sharing: |
    version: v1
    sharing:
      timeSlicing:
        resources:
          - name: nvidia.com/gpu
            replicas: 6
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: layouts
data:
  mig-config: |
    version: v1
    mig-configs:
      halves:
        - devices: [0]
          mig-enabled: true
          mig-devices:
            "3g.40gb": 2
"""

QUEUE = """\
apiVersion: biplane/v1
kind: Queue
metadata:
  name: research
spec:
  quota: 4
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

PIECE = Piece("sim-0", "a" * 8, "sim-gpu", ("SIM-sim-0-0", "SIM-sim-0-1"), memory=4 * GIB)


def stored(*texts: str) -> Store:
    store = Store("sqlite://")
    for text in texts:
        for document in load_text(text, "test.yaml"):
            put(store, document.kind, document.name, document.spec.model_dump(mode="json"))
    return store


def put(store: Store, kind: str, name: str, spec: Mapping[str, Any]) -> None:
    change = PutSpec(kind=kind, name=name, event="Applied", reason="test", spec=spec)
    store.commit((change,), who="test", now=4.0)


def say(store: Store, name: str, **status: Any) -> None:
    """What the scheduler wrote of a workload."""
    record = PutStatus(kind="Workload", name=name, event="Leased", reason="test", status=status)
    store.commit((record,), who="scheduler", now=5.0)


def hold(store: Store, name: str, piece: Piece = PIECE, **more: Any) -> None:
    body = {**vars(piece), "devices": list(piece.devices)}
    say(store, name, phase="Leased", reason="here", lease={"pieces": [body], "since": 4.5}, **more)


def asking(name: str) -> dict[str, Any]:
    """A Workload of another name: those of steps and applications have dots in theirs."""
    (document,) = load_text(WORKLOAD, "test.yaml")
    spec: dict[str, Any] = document.spec.model_dump(mode="json")
    return spec


def with_slice(name: str, profile: str) -> dict[str, Any]:
    spec = asking(name)
    return {**spec, "spec": {**spec["spec"], "devices": 1, "slice": profile}}


def turn(scheduler: Scheduler, store: Store, drive: FakeDrive) -> None:
    """A pass, and everything that it asks for but new agents."""
    plan = scheduler.decide(scheduler.observe(store, 6.0))
    store.commit(plan.records, who="scheduler", now=6.0)
    for effect in plan.effects:
        if not isinstance(effect, EnsureAgent):
            drive.act(effect)


def look(store: Store, drive: FakeDrive | None = None, now: float = 6.0, memory: Memory | None = None) -> Snapshot:
    return observe(store, drive or FakeDrive(simulated_node()), now, "/state/devices", memory or Memory())


def the(snapshot: Snapshot, name: str = "mine") -> Workload:
    (found,) = [w for w in snapshot.workloads if w.name == name]
    return found


def test_a_workload_that_waits_is_what_was_applied() -> None:
    mine = the(look(stored(WORKLOAD)))
    assert (mine.kind, mine.devices, mine.memory, mine.priority_class) == (Kind.BATCH, 2, 4 * GIB, "batch-scoring")
    assert (mine.phase, mine.created_at, mine.waiting_since) == (Phase.PENDING, 4.0, 4.0)
    assert (mine.running, mine.bound) == (False, True)


def test_what_the_scheduler_wrote_of_a_workload_is_read_back() -> None:
    store = stored(WORKLOAD)
    hold(
        store,
        "mine",
        eviction={"by": "boss", "deadline": 9.0},
        evictions=2,
        failed_binds=1,
        generation=1,
        waiting_since=4.25,
    )
    mine = the(look(store))
    assert (mine.phase, mine.lease) == (Phase.LEASED, Lease((PIECE,), 4.5))
    assert (mine.eviction, mine.evictions, mine.failed_binds) == (Eviction("boss", 9.0), 2, 1)
    assert mine.waiting_since == 4.25


def test_a_plan_that_was_written_leaves_nothing_to_do() -> None:
    store, drive = stored(CLUSTER, WORKLOAD), FakeDrive(simulated_node())
    drive.hear("a" * 8, NodeReport())
    scheduler = Scheduler(drive)
    plan = scheduler.decide(scheduler.observe(store, 5.0))
    store.commit(plan.records, who="scheduler", now=5.0)
    for effect in plan.effects:
        drive.act(effect)
    again = scheduler.observe(store, 6.0)
    mine = the(again)
    assert (mine.phase, mine.running, mine.bound) == (Phase.LEASED, True, True)
    assert again.known_nodes == again.nodes
    assert not scheduler.decide(again)


def test_a_group_that_ray_has_not_placed_is_running_and_not_bound() -> None:
    store, drive = stored(WORKLOAD), FakeDrive(simulated_node())
    hold(store, "mine")
    drive.places = False
    group = the(look(store, drive)).group
    drive.act(EnsureGroup(kind="Workload", name="mine", reason="test", group=group, bundles=(("a", {"sim-gpu": 2}),)))
    found = look(store, drive)
    assert (the(found).running, the(found).bound) == (True, False)
    assert found.groups == {group: False}


def test_a_group_of_another_lease_is_alive_and_holds_nothing_of_this_one() -> None:
    store, drive = stored(WORKLOAD), FakeDrive(simulated_node())
    hold(store, "mine")
    drive.act(EnsureGroup(kind="Workload", name="mine", reason="test", group="mine:0000", bundles=()))
    assert (the(look(store, drive)).running, the(look(store, drive)).bound) == (True, False)


def test_since_when_a_lease_waits_for_its_group_is_counted_anew_for_every_group_and_by_every_life() -> None:
    store, drive, memory = stored(WORKLOAD), FakeDrive(simulated_node()), Memory()
    hold(store, "mine")
    assert [the(look(store, drive, now, memory)).unbound_since for now in (50.0, 60.0)] == [50.0, 50.0]
    assert the(look(store, drive, 70.0, Memory())).unbound_since == 70.0
    hold(store, "mine", replace(PIECE, node_id="b" * 8))
    assert the(look(store, drive, 80.0, memory)).unbound_since == 80.0
    group = the(look(store, drive)).group
    drive.act(EnsureGroup(kind="Workload", name="mine", reason="test", group=group, bundles=()))
    bound = the(look(store, drive, 90.0, memory))
    assert (bound.bound, bound.unbound_since) == (True, 0.0)


def test_a_workload_that_is_asked_for_anew_has_not_failed_to_bind_yet() -> None:
    store = stored(WORKLOAD)
    say(store, "mine", phase="Pending", reason="", failed_binds=5, generation=1)
    assert the(look(store)).failed_binds == 5
    put(store, "Workload", "mine", {**asking("mine"), "metadata": {"name": "mine", "labels": {"try": "again"}}})
    assert the(look(store)).failed_binds == 0


def test_the_scheduler_that_is_started_again_evicts_nobody_before_the_agents_have_spoken() -> None:
    """With real devices and with slices: their names are only in the reports of agents that nobody has asked yet."""
    slices = (SliceReport("1g.10gb", 0, "SIM-MIG-sim-0-0-1g.10gb-0"),)
    found = [DeviceReport(f"SIM-sim-0-{index}", "H100-80GB", 80 * GIB) for index in range(8)]
    found[0] = replace(found[0], mig=True, slices=slices)
    real = NodeView("f" * 20, {"biplane.io/node": "gpu-3"}, {"GPU": 2.0, "CPU": 8.0, "memory": 64.0 * GIB})
    store, drive = stored(CLUSTER), FakeDrive(simulated_node(), real)
    drive.hear("a" * 8, NodeReport(tuple(found)))
    drive.hear("f" * 20, NodeReport(tuple(DeviceReport(f"GPU-{i}", "NVIDIA H100 80GB HBM3", 80 * GIB) for i in (0, 1))))
    turn(Scheduler(drive), store, drive)
    put(store, "Workload", "real", asking("real"))
    put(store, "Workload", "sliced", with_slice("sliced", "1g.10gb"))
    turn(Scheduler(drive), store, drive)
    held = {w.name: w.lease for w in look(store, drive).workloads}
    assert all(held.values())
    drive.hear("a" * 8, None)
    drive.hear("f" * 20, None)
    put(store, "Workload", "late", asking("late"))
    turn(Scheduler(drive), store, drive)
    now = look(store, drive)
    assert {w.name: w.lease for w in now.workloads} == {**held, "late": None}
    assert not any(w.eviction for w in now.workloads)


def test_the_workload_of_a_step_runs_while_any_attempt_lives() -> None:
    step = StepName("tune-1", "life", "training", 2)
    store, drive = stored(), FakeDrive(simulated_node())
    put(store, "Workload", step.workload, asking(step.workload))
    hold(store, step.workload)
    assert not the(look(store, drive), step.workload).running
    request = StepRequest("tune-1", "training", "t", "k", "/d", "http://m", "e")
    drive.act(
        EnsureStep(
            kind="Run", name="tune-1", reason="test", actor=str(step), entrypoint="m:f", request=request, gang=False
        )
    )
    seen = the(look(store, drive), step.workload)
    assert (seen.running, seen.bound) == (True, True)


def test_the_workload_of_an_application_runs_while_serve_shows_it() -> None:
    store, drive = stored(), FakeDrive(simulated_node())
    put(store, "Workload", "app.chat.3.abcd.0", asking("app.chat.3.abcd.0"))
    hold(store, "app.chat.3.abcd.0")
    assert not the(look(store, drive), "app.chat.3.abcd.0").running
    drive.turn_app("llm:chat:3:abcd:0:0000", AppState.ENDING)
    assert the(look(store, drive), "app.chat.3.abcd.0").running


def test_serve_and_steps_are_not_looked_at_for_workloads_that_hold_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    store, drive = stored(WORKLOAD), FakeDrive(simulated_node())
    put(store, "Workload", "app.chat.3.abcd.0", asking("app.chat.3.abcd.0"))
    for name in ("apps", "actors"):
        monkeypatch.setattr(drive, name, lambda *_: pytest.fail("it looked"))
    assert len(look(store, drive).workloads) == 2


def test_the_rules_are_those_of_the_applied_documents() -> None:
    rules = look(stored(POLICY, MAPS, QUEUE)).rules
    assert rules.priorities == {"critical-inference": 100, "training": 7, "batch-scoring": 10, "night": 1}
    assert rules.preemption
    assert (rules.sharing.replicas, "time-slicing-config" in rules.sharing.source) == (6, True)
    assert rules.layouts["halves"][0] == {"3g.40gb": 2}
    assert [(queue.name, queue.quota) for queue in rules.queues] == [("research", 4)]


def test_without_documents_nobody_is_preempted_and_nothing_is_shared() -> None:
    rules = look(stored()).rules
    assert (rules.preemption, rules.sharing.replicas) == (False, 1)
    assert rules.priorities == {"critical-inference": 100, "training": 50, "batch-scoring": 10}


def test_a_configuration_that_is_named_and_not_there_is_replaced_by_a_default_that_says_so() -> None:
    sharing = look(stored(POLICY)).rules.sharing
    assert sharing.replicas == 4
    assert "default" in sharing.source


def test_devices_that_others_hold_are_counted_once_that_has_lasted() -> None:
    taken = replace(simulated_node(), used={"sim-gpu": 3.0})
    store, drive, memory = stored(CLUSTER, WORKLOAD), FakeDrive(taken), Memory()
    hold(store, "mine")
    counts = [look(store, drive, now, memory).nodes[0].foreign for now in (10.0, 10.0 + LASTING_SECONDS)]
    assert counts == [0, 1]


def test_an_agent_is_wanted_until_it_has_spoken() -> None:
    store, drive = stored(CLUSTER), FakeDrive(simulated_node())
    (agent,) = look(store, drive).agents_wanted
    assert (agent.name, agent.node_id, agent.args["path"]) == ("sim-0", "a" * 8, "/state/devices/sim-0.json")
    drive.hear("a" * 8, NodeReport((DeviceReport("SIM-sim-0-0", "H100-80GB", 80 * GIB, trouble="XID 79"),)))
    found = look(store, drive)
    assert found.agents_wanted == ()
    assert [device.trouble for device in found.nodes[0].devices] == ["XID 79"]


def test_a_cordon_is_read_from_the_store() -> None:
    store = stored(CLUSTER)
    put(store, "Cordon", "sim-0", {"reason": "new fans", "drain": True})
    put(store, "Cordon", "SIM-sim-0-1", {"reason": "it hums"})
    node = look(store).nodes[0]
    assert (node.cordon, node.drain, node.devices[1].cordon) == ("new fans", True, "it hums")


@pytest.mark.parametrize("kind", ["Cluster", "ClusterPolicy", "ConfigMap", "Cordon", "Node", "Queue", "Workload"])
def test_one_object_that_is_no_longer_valid_is_named_and_stops_nothing(kind: str) -> None:
    store = stored(CLUSTER, WORKLOAD)
    put(store, kind, "odd", {"spec": {"devices": "many"}})
    found = look(store)
    assert [(one.kind, one.name) for one in found.broken] == [(kind, "odd")]
    assert "no longer valid" in found.broken[0].reason
    assert the(found).devices == 2
    assert len(found.nodes) == 1


def test_a_holder_whose_spec_is_no_longer_valid_keeps_what_it_holds() -> None:
    store, drive = stored(CLUSTER), FakeDrive(simulated_node())
    put(store, "Workload", "odd", {"spec": {"devices": "many"}})
    hold(store, "odd")
    group = the(look(store, drive), "odd").group
    drive.act(EnsureGroup(kind="Workload", name="odd", reason="test", group=group, bundles=(("a", {"sim-gpu": 2}),)))
    drive.hear("a" * 8, NodeReport())
    scheduler = Scheduler(drive)
    found = scheduler.observe(store, 6.0)
    assert the(found, "odd").lease == Lease((PIECE,), 4.5)
    plan = scheduler.decide(found)
    assert plan.effects == ()
    assert [record.kind for record in plan.records] == ["Node"]


@pytest.mark.parametrize(
    "pieces",
    [
        (replace(PIECE, cpu=4000, memory=0),),
        (PIECE, replace(PIECE, node="sim-1", devices=("SIM-sim-1-0",), memory=GIB)),
        (replace(PIECE, devices=("SIM-MIG-0",), milli=125, profile="1g.10gb"),),
        (),
    ],
    ids=["cpu", "uneven gang", "slice", "nothing"],
)
def test_a_holder_whose_spec_cannot_be_read_holds_what_it_holds_whatever_that_is(pieces: tuple[Piece, ...]) -> None:
    store = stored(CLUSTER)
    put(store, "Workload", "odd", {"spec": {"devices": "many"}})
    bodies = [{**vars(piece), "devices": list(piece.devices)} for piece in pieces]
    say(store, "odd", phase="Leased", reason="here", lease={"pieces": bodies, "since": 4.5})
    odd = the(look(store), "odd")
    assert (odd.readable, odd.lease) == (False, Lease(pieces, 4.5))


def test_a_status_of_another_form_counts_as_none() -> None:
    store = stored(WORKLOAD)
    say(store, "mine", phase="Leased", reason="", lease={"node": "sim-0", "node_id": "a", "devices": []})
    mine = the(look(store))
    assert (mine.phase, mine.lease) == (Phase.PENDING, None)


def test_known_nodes_of_another_form_are_left_out() -> None:
    store = stored()
    put(store, "Node", "old", {"name": "old", "uuids": []})
    assert known_nodes(store.list("Node")) == ()


def test_what_did_not_change_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store, memory = stored(CLUSTER, POLICY, WORKLOAD), Memory()
    first = look(store, memory=memory)
    parse = view.workload_of
    parsed: list[str] = []

    def count(o: Object) -> Workload:
        parsed.append(o.name)
        return parse(o)

    monkeypatch.setattr(view, "workload_of", count)
    assert look(store, memory=memory) == first
    assert parsed == []
    hold(store, "mine")
    assert the(look(store, memory=memory)).lease is not None
    assert parsed == ["mine"]


def test_what_was_deleted_is_forgotten_also_when_it_comes_back_under_its_name() -> None:
    store, memory = stored(WORKLOAD), Memory()
    look(store, memory=memory)
    memory.keep(())
    assert memory._read == {}


def test_a_node_with_real_devices_is_named_by_its_label() -> None:
    real = NodeView("f" * 20, {"biplane.io/node": "gpu-3"}, {"GPU": 2.0, "CPU": 8.0})
    assert [node.name for node in look(stored(), FakeDrive(real)).nodes] == ["gpu-3"]
