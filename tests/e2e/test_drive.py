"""The door to Ray, on a small Ray of its own: what holds devices is held, found again, and given back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private.state import state
from ray.cluster_utils import Cluster

from control.kernel.agents import AgentFailed
from control.kernel.drive import RayDrive
from control.kernel.ids import NAMESPACE, StepName
from control.kernel.plan import CutDevice, Effect, EndGroup, EndStep, EnsureAgent, EnsureGroup, EnsureStep, SignalStep
from control.kernel.present import NodeView, StepState
from control.services import RAY_ENVIRONMENT
from control.specs.inventory import CutOrder, SimulatedNode, SlicePlace
from control.specs.step import EVICT_FILE, DeviceGrant, GrantPiece, StepRequest

DEVICES = 4


@dataclass
class World:
    """Two simulated nodes, `a` (the head) and `b`, and the drive of a first life of a control actor."""

    cluster: Cluster
    second: Any
    drive: RayDrive
    home: Path

    def node(self, name: str, drive: RayDrive | None = None) -> NodeView:
        found = {view.labels["biplane.io/node"]: view for view in (drive or self.drive).nodes()}
        return found[name]

    def ensure_group(self, name: str, *on: tuple[str, float], drive: RayDrive | None = None) -> None:
        bundles = tuple((self.node(node).node_id, {"sim-gpu": amount}) for node, amount in on)
        (drive or self.drive).act(EnsureGroup(kind="Workload", name=name, reason="test", group=name, bundles=bundles))

    def end_group(self, name: str, drive: RayDrive | None = None) -> None:
        (drive or self.drive).act(EndGroup(kind="Workload", name=name, reason="test", group=name))

    def ensure_agent(self, name: str, drive: RayDrive | None = None) -> None:
        links = tuple(tuple("X" if i == j else "NV18" for j in range(DEVICES)) for i in range(DEVICES))
        node = SimulatedNode(name, DEVICES, "H100-80GB", 80 << 30, "nvswitch", links, (0,) * DEVICES)
        args = {"path": str(self.home / f"{name}.json"), "node": asdict(node)}
        driver = "actors.devices.simulated:SimulatedDriver"
        node_id = self.node(name).node_id
        (drive or self.drive).act(
            EnsureAgent(kind="Node", name=name, reason="test", node_id=node_id, driver=driver, args=args)
        )

    def cut(self, node: str, profile: str, start: int) -> None:
        order = CutOrder(f"SIM-{node}-0", mig=True, create=(SlicePlace(profile, start),))
        node_id = self.node(node).node_id
        self.drive.act(CutDevice(kind="Node", name=node, reason="test", node_id=node_id, order=order))

    def used(self, node: str) -> float:
        return round(self.node(node).used["sim-gpu"], 4)


def until(holds: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**RAY_ENVIRONMENT, "BIPLANE_HOME": str(home)}.items():
            patch.setenv(name, value)

        def node(name: str) -> dict[str, Any]:
            labels = {"biplane.io/node": name}
            return {"num_cpus": 4, "resources": {"sim-gpu": DEVICES}, "labels": labels, "object_store_memory": 80 << 20}

        cluster = Cluster(initialize_head=True, head_node_args={**node("a"), "include_dashboard": False})
        try:
            second = cluster.add_node(wait=True, **node("b"))
            ray.init(address=cluster.address, namespace=NAMESPACE, log_to_driver=False)
            yield World(cluster, second, RayDrive(), home)
        finally:
            ray.shutdown()
            cluster.shutdown()


def test_a_group_holds_devices_on_the_nodes_of_its_lease_until_it_ends(world: World) -> None:
    world.ensure_group("gang", ("a", 2), ("b", 1))
    until(lambda: world.drive.groups() == {"gang": True}, 5)
    until(lambda: (world.used("a"), world.used("b")) == (2.0, 1.0), 5)
    world.end_group("gang")
    assert world.drive.groups() == {}
    until(lambda: (world.used("a"), world.used("b")) == (0.0, 0.0), 5)


def test_asking_twice_is_asking_once_and_so_is_asking_from_a_second_life(world: World) -> None:
    for _ in range(2):
        world.ensure_group("once", ("a", 1))
    later = RayDrive()
    world.ensure_group("once", ("a", 1), drive=later)
    until(lambda: later.groups() == {"once": True}, 5)
    for drive in (later, world.drive, world.drive):
        world.end_group("once", drive=drive)
    until(lambda: world.used("a") == 0.0, 5)


def test_groups_that_nobody_remembers_are_found_by_the_next_life(world: World) -> None:
    world.ensure_group("leaked", ("b", 0.25))
    until(lambda: RayDrive().groups() == {"leaked": True}, 5)
    later = RayDrive()
    world.end_group("leaked", drive=later)
    assert later.groups() == {}
    world.end_group("leaked")


def test_a_group_for_which_there_is_no_room_waits_and_is_placed_later(world: World) -> None:
    world.ensure_group("first", ("a", DEVICES))
    until(lambda: world.drive.groups()["first"], 5)
    world.ensure_group("second", ("a", 1))
    assert world.drive.groups() == {"first": True, "second": False}
    assert RayDrive().groups() == {"first": True, "second": False}
    world.end_group("first")
    until(lambda: world.drive.groups() == {"second": True}, 10)
    world.end_group("second")


def test_what_a_group_gives_back_goes_to_the_next_one_without_ray_resting_a_second(world: World) -> None:
    world.ensure_group("turn-0", ("a", DEVICES))
    until(lambda: world.drive.groups()["turn-0"], 5)
    began = time.monotonic()
    for turn in range(5):
        world.end_group(f"turn-{turn}")
        world.ensure_group(f"turn-{turn + 1}", ("a", DEVICES))
        until(lambda name=f"turn-{turn + 1}": world.drive.groups()[name], 5)  # type: ignore[misc]
    assert time.monotonic() - began < 3.0
    world.end_group("turn-5")


def test_an_agent_reports_and_cuts_and_what_fails_is_told(world: World) -> None:
    assert world.node("a").report is None
    world.ensure_agent("a")
    world.ensure_agent("a")
    until(lambda: world.node("a").report)
    world.cut("a", "1g.10gb", 0)
    until(lambda: [one.profile for one in world.node("a").report.devices[0].slices] == ["1g.10gb"])  # type: ignore[union-attr]

    with pytest.raises(AgentFailed, match="no room"):
        until(lambda: world.cut("a", "7g.80gb", 0))


def test_an_agent_that_is_killed_comes_back_and_a_second_life_finds_it(world: World) -> None:
    world.ensure_agent("a")
    until(lambda: world.node("a").report)
    name = f"agent:{world.node('a').node_id}"
    (row,) = [row for row in state.actor_table(None).values() if row["Name"] == name and row["State"] == "ALIVE"]
    os.kill(row["Pid"], signal.SIGKILL)
    later = RayDrive()
    world.ensure_agent("a", drive=later)
    until(lambda: world.node("a", drive=later).report)
    until(lambda: world.node("a").silent < 1.0)


def step(directory: Path, attempt: int, *pieces: GrantPiece, gang: bool = False) -> EnsureStep:
    request = StepRequest("run", "task", "t", "k", str(directory), "http://m", "e", grant=DeviceGrant(pieces))
    actor = str(StepName("run", "life", "task", attempt))
    return EnsureStep(
        kind="Run", name="run", reason="test", actor=actor, entrypoint="no:step", request=request, gang=gang
    )


def end(world: World, effect: EnsureStep) -> None:
    world.drive.act(EndStep(kind="Run", name="run", reason="test", actor=effect.actor))
    until(lambda: effect.actor not in world.drive.actors("step:"))


def test_a_step_takes_its_share_of_a_device_on_the_node_of_its_lease(world: World, tmp_path: Path) -> None:
    effect = step(tmp_path, 1, GrantPiece("sim-gpu", world.node("b").node_id, ("SIM-b-0",), 250))
    world.drive.act(effect)
    until(lambda: world.used("b") == 0.25)
    end(world, effect)
    until(lambda: world.used("b") == 0.0)


def test_the_actor_of_a_gang_takes_nothing_itself(world: World, tmp_path: Path) -> None:
    pieces = [GrantPiece("sim-gpu", world.node(name).node_id, (f"SIM-{name}-0",)) for name in "ab"]
    effect = step(tmp_path, 1, *pieces, gang=True)
    world.drive.act(effect)
    until(lambda: world.drive.step(effect.actor, str(tmp_path)).state is StepState.FAILED)
    assert (world.used("a"), world.used("b")) == (0.0, 0.0)
    end(world, effect)


def test_why_a_step_cannot_begin_is_told(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    effect = step(tmp_path, 1, GrantPiece("sim-gpu", world.node("b").node_id, ("SIM-b-0",)))
    effect = replace(effect, request=replace(effect.request, claims=str(tmp_path / "file" / "claims")))
    world.drive.act(effect)
    until(lambda: effect.actor not in world.drive.actors("step:"))
    seen = world.drive.step(effect.actor, str(tmp_path))
    assert seen.state is StepState.ABSENT
    assert "Not a directory" in seen.error


def test_one_actor_cannot_take_devices_of_two_nodes(world: World, tmp_path: Path) -> None:
    pieces = [GrantPiece("sim-gpu", world.node(name).node_id, (f"SIM-{name}-0",)) for name in "ab"]
    with pytest.raises(ValueError, match="expected one node"):
        world.drive.act(step(tmp_path, 1, *pieces))


def test_a_signal_reaches_the_attempt_that_runs_and_not_the_next_one(world: World, tmp_path: Path) -> None:
    told: Effect = SignalStep(kind="Run", name="run", reason="boss needs it", directory=str(tmp_path))
    for _ in range(2):
        world.drive.act(told)
    assert (tmp_path / EVICT_FILE).read_text() == "boss needs it\n"
    effect = step(tmp_path, 2, GrantPiece("sim-gpu", world.node("a").node_id, ("SIM-a-0",)))
    world.drive.act(effect)
    assert not (tmp_path / EVICT_FILE).exists()
    world.drive.act(told)
    world.drive.act(effect)
    assert (tmp_path / EVICT_FILE).exists(), "it is for the attempt that runs"
    end(world, effect)


def test_with_a_node_goes_its_agent_and_its_groups_are_placed_no_more(world: World) -> None:
    world.ensure_agent("b")
    until(lambda: world.node("b").report)
    gone = world.node("b").node_id
    world.ensure_group("there", ("b", 1))
    until(lambda: world.drive.groups()["there"], 5)
    world.cluster.remove_node(world.second)
    until(lambda: len(world.drive.nodes()) == 1)
    until(lambda: f"agent:{gone}" not in world.drive.actors("agent:"))
    until(lambda: RayDrive().groups() == {"there": False})
    world.drive.nodes()
    assert world.drive.groups() == {"there": False}
    world.end_group("there")
