"""Simulated nodes beyond the head: what is declared runs, what is declared no more ends, the rest is not touched.

The story: a plane runs, and its person applies a declaration with a node more, one less and one that changed.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from control import simulated_nodes
from control.kernel.home import Home
from control.kernel.recover import MARK
from control.preflight import Refused
from control.services import NODE_MARK, as_declared, run_logged
from control.simulated_nodes import DECLARATION_MARK, check_head, ensure_nodes
from control.specs.cluster import Cluster, Node
from tests.fakes.home import SETTINGS


def node(name: str, **more: object) -> Node:
    body: dict[str, object] = {
        "name": name,
        "simulated": True,
        "gpus": 8,
        "gpu_model": "H100-80GB",
        "gpu_memory": 80 << 30,
        "interconnect": "nvswitch",
        "memory": 512 << 30,
    }
    return Node.model_validate(body | more)


@dataclass
class Machine:
    """`start` in place of Ray's: a process with the name and marks of a raylet, and a child as a worker would be."""

    home: Home
    running: dict[str, list[subprocess.Popen[bytes]]]

    def start(self, what: str, command: list[str], environment: dict[str, str], log: Path) -> None:
        marks = {mark: environment[mark] for mark in (MARK, NODE_MARK, DECLARATION_MARK)}
        assert what == f"node {marks[NODE_MARK]}"
        environment = {**os.environ, **marks}
        self.running[marks[NODE_MARK]] = [
            subprocess.Popen([argv0, "60"], executable="/bin/sleep", env=environment)
            for argv0 in ("/ray/raylet/raylet", "ray::Worker")
        ]

    def alive(self) -> dict[str, int]:
        return {name: sum(p.poll() is None for p in processes) for name, processes in self.running.items()}

    def ensure(self, *nodes: Node) -> list[str]:
        return ensure_nodes(self.home, SETTINGS, nodes, lambda _: None)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    machine = Machine(Home(tmp_path), {})
    monkeypatch.setattr(simulated_nodes, "run_logged", machine.start)
    yield machine
    for process in (p for processes in machine.running.values() for p in processes):
        process.kill()
        process.wait()


def test_missing_nodes_are_started_and_running_ones_are_left_alone(machine: Machine) -> None:
    assert machine.ensure(node("a"), node("b")) == ["a", "b"]
    before = {name: [p.pid for p in processes] for name, processes in machine.running.items()}
    assert machine.ensure(node("a"), node("b"), node("c")) == ["c"]
    assert machine.alive() == {"a": 2, "b": 2, "c": 2}
    assert {name: [p.pid for p in machine.running[name]] for name in before} == before


def test_a_node_that_is_declared_no_more_ends_with_all_that_runs_on_it(machine: Machine) -> None:
    machine.ensure(node("a"), node("b"))
    assert machine.ensure(node("b")) == []
    assert machine.alive() == {"a": 0, "b": 2}


def test_a_node_that_is_declared_otherwise_is_started_anew(machine: Machine) -> None:
    machine.ensure(node("a"), node("b"))
    first = machine.running["a"]
    assert machine.ensure(node("a", gpus=4), node("b")) == ["a"]
    assert [process.poll() is None for process in first] == [False, False]
    assert machine.alive() == {"a": 2, "b": 2}


def test_a_node_whose_raylet_died_is_started_anew_and_its_orphans_end(machine: Machine) -> None:
    machine.ensure(node("a"))
    raylet, orphan = machine.running["a"]
    raylet.kill()
    raylet.wait()
    assert machine.ensure(node("a")) == ["a"]
    assert orphan.poll() is not None
    assert machine.alive() == {"a": 2}


def test_another_planes_nodes_are_not_touched(machine: Machine, tmp_path: Path) -> None:
    machine.ensure(node("a"))
    ensure_nodes(Home(tmp_path / "other"), SETTINGS, (), lambda _: None)
    assert machine.alive() == {"a": 2}


def test_what_happens_is_told(machine: Machine) -> None:
    told: list[str] = []
    for nodes in ([node(name) for name in "abcdef"], [node("a")]):
        ensure_nodes(machine.home, SETTINGS, nodes, told.append)
    assert told == ["simulated nodes a, b, c, d and 2 more", "without nodes b, c, d, e and 1 more"]


def cluster(*nodes: Node) -> Cluster:
    spec = {"nodes": [one.model_dump(mode="json") for one in nodes]}
    body = {"apiVersion": "biplane/v1", "kind": "Cluster", "metadata": {"name": "local"}, "spec": spec}
    return Cluster.model_validate(body)


def test_nodes_may_come_and_go_but_for_the_first() -> None:
    check_head(cluster(node("a"), node("b")), cluster(node("a"), node("c")))


@pytest.mark.parametrize(
    ("runs", "wanted", "said"),
    [
        (
            cluster(node("a"), node("b")),
            cluster(node("b"), node("a")),
            "with a as its first node, the file declares b;",
        ),
        (cluster(node("a")), cluster(node("a", gpus=4)), "the file declares another declaration of it"),
        (None, cluster(node("a")), "without simulated nodes, the file declares a;"),
    ],
)
def test_the_node_under_the_control_plane_is_not_changed_while_it_runs(
    runs: Cluster | None, wanted: Cluster, said: str
) -> None:
    with pytest.raises(Refused, match="biplane down") as refused:
        check_head(runs, wanted)
    assert said in str(refused.value)


def options(declared: Node) -> dict[str, str]:
    return dict(option.split("=", 1) for option in as_declared(declared))


def test_ray_is_told_the_devices_and_labels_of_a_node() -> None:
    told = options(node("a", rack="r1", cpus=4, labels={"nvidia.com/mig.config": "halves", "empty": ""}))
    assert told == {
        "--num-cpus": "4",
        "--num-gpus": "0",
        "--memory": str(512 << 30),
        "--resources": '{"sim-gpu": 8}',
        "--labels": "biplane.io/node=a,biplane.io/rack=r1,nvidia.com/mig.config=halves",
    }


def test_a_command_that_fails_is_refused_with_its_last_words(tmp_path: Path) -> None:
    run_logged("Ray", ["true"], {}, tmp_path / "log")
    with pytest.raises(Refused, match=r"node x did not start \(exit 3\)[\s\S]*no port left"):
        run_logged("node x", ["sh", "-c", "echo no port left; exit 3"], {}, tmp_path / "log")
