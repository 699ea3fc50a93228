"""The nodes to count on: declarations, Ray's view, the agents' reports, and what other people hold."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from control.kernel.present import NodeView
from control.scheduler.nodes import (
    BEGIN_SECONDS,
    LASTING_SECONDS,
    REAL_DRIVER,
    SILENT_SECONDS,
    SIMULATED_DRIVER,
    Cordon,
    Foreign,
    agents_wanted,
    declaration_of,
    excess_on,
    live_nodes,
)
from control.scheduler.state import Lease, Node, Phase, Piece, Slice, Workload
from control.specs.cluster import Node as DeclaredNode
from control.specs.inventory import DeviceReport, NodeReport, SliceReport
from tests.control.scheduler.world import workload

GIB = 1 << 30
REAL = NodeView(
    "abcdef0123456789",
    {"ray.io/accelerator-type": "H100", "biplane.io/rack": "r1", "nvidia.com/mig.config": "halves"},
    {"GPU": 2.0, "memory": 8.0 * GIB, "CPU": 4.0},
)
REPORT = NodeReport(
    devices=(
        DeviceReport("GPU-a", "NVIDIA H100 80GB HBM3", 80 * GIB, reserved=GIB, numa=0),
        DeviceReport(
            "GPU-b",
            "NVIDIA H100 80GB HBM3",
            80 * GIB,
            numa=1,
            mig=True,
            slices=(SliceReport("1g.10gb", 3, "MIG-x"),),
            trouble="XID 79",
        ),
    ),
    links=(("X", "NV18"), ("NV18", "X")),
    interconnect="nvswitch",
)


def declared(name: str = "sim-0", **more: object) -> DeclaredNode:
    body: dict[str, object] = {
        "name": name,
        "simulated": True,
        "gpus": 4,
        "gpu_model": "H100-80GB",
        "gpu_memory": 80 * GIB,
        "interconnect": "pcie",
        "memory": 512 * GIB,
    }
    return DeclaredNode.model_validate(body | more)


def simulated(name: str = "sim-0", node_id: str = "id-0", **more: object) -> NodeView:
    return replace(NodeView(node_id, {"biplane.io/node": name}, {"sim-gpu": 4.0, "CPU": 16.0}), **more)  # type: ignore[arg-type]


def only(*nodes: Node) -> Node:
    (node,) = nodes
    return node


def leased(name: str, node: str, devices: int, milli: int = 1000) -> Workload:
    piece = Piece(node, f"id-{node}", "sim-gpu", tuple(f"SIM-{node}-{i}" for i in range(devices)), milli=milli)
    return replace(workload(name, devices), phase=Phase.LEASED, lease=Lease((piece,)))


def test_a_declared_node_has_what_was_declared_until_its_agent_speaks() -> None:
    node = only(*live_nodes([declared(rack="r7")], [simulated()]))
    assert (node.name, node.node_id, node.resource, node.simulated) == ("sim-0", "id-0", "sim-gpu", True)
    assert [(device.uuid, device.memory) for device in node.devices][1] == ("SIM-sim-0-1", 80 * GIB)
    assert (node.rack, node.cpu, node.memory, node.carve, node.cordon) == ("r7", 16000, 512 * GIB, False, "")
    assert node.links[0] == ("X", "PIX", "SYS", "SYS") or node.links[0] == ("X", "PIX", "NODE", "NODE")


def test_what_the_agent_of_a_declared_node_sees_replaces_its_declared_devices() -> None:
    cut = DeviceReport("SIM-sim-0-0", "H100-80GB", 80 * GIB, mig=True, slices=(SliceReport("1g.10gb", 0, "SIM-MIG-0"),))
    node = only(*live_nodes([declared()], [simulated(report=NodeReport((cut,), (("X",),), "pcie"))]))
    assert [device.slices for device in node.devices] == [(Slice("1g.10gb", 0, "SIM-MIG-0"),)]


def test_a_node_that_is_declared_no_more_takes_nothing_while_it_ends() -> None:
    assert live_nodes([declared("other")], [simulated("sim-0")]) == ()


def test_a_declared_node_that_ray_does_not_report_is_not_there() -> None:
    assert live_nodes([declared()], []) == ()


def test_a_real_node_has_the_devices_that_its_agent_reports_less_what_the_driver_keeps() -> None:
    node = only(*live_nodes([], [replace(REAL, report=REPORT)]))
    first, second = node.devices
    assert (first.uuid, first.memory, first.numa, first.mig) == ("GPU-a", 79 * GIB, 0, False)
    assert (second.mig, second.slices, second.trouble) == (True, (Slice("1g.10gb", 3, "MIG-x"),), "XID 79")
    assert (node.name, node.gpu_model, node.interconnect) == ("abcdef012345", "NVIDIA H100 80GB HBM3", "nvswitch")
    assert (node.rack, node.layout, node.links, node.cordon) == ("r1", "halves", REPORT.links, "")
    assert (node.memory, node.cpu, node.resource) == (8 * GIB, 4000, "GPU")


def test_before_its_agent_speaks_a_real_node_shows_what_ray_counts_and_takes_nothing() -> None:
    node = only(*live_nodes([], [REAL]))
    assert [device.uuid for device in node.devices] == ["0", "1"]
    assert node.gpu_model == "H100"
    assert "not reported" in node.cordon


def test_a_node_that_may_be_cut_takes_nothing_before_its_agent_says_how_it_is() -> None:
    for labels in ({"biplane.io/mig": "dynamic"}, {"nvidia.com/mig.config": "halves"}):
        one = declared(labels=labels)
        assert "not reported" in only(*live_nodes([one], [simulated()])).cordon
        assert only(*live_nodes([one], [simulated(report=NodeReport())])).cordon == ""


@pytest.mark.parametrize("report", [None, NodeReport(error="NVML: driver not loaded")], ids=["no agent", "no driver"])
def test_a_real_node_of_which_nothing_is_heard_keeps_what_was_known_and_takes_nothing(
    report: NodeReport | None,
) -> None:
    """The scheduler was started again, or the agent was: leases on `GPU-a` stay where they are."""
    known = live_nodes([], [replace(REAL, report=REPORT)])
    (node,) = live_nodes([], [replace(REAL, report=report)], known=known)
    assert node.cordon
    assert replace(node, cordon="") == only(*known)


CUT = NodeReport(
    (
        DeviceReport("SIM-sim-0-0", "H100-80GB", 80 * GIB, mig=True, slices=(SliceReport("1g.10gb", 0, "SIM-MIG-0"),)),
        *(DeviceReport(f"SIM-sim-0-{index}", "H100-80GB", 80 * GIB) for index in (1, 2, 3)),
    ),
    declaration_of(declared()).links,
    "pcie",
)


def test_a_simulated_node_that_was_cut_stays_so_and_takes_nothing_until_its_agent_speaks() -> None:
    known = live_nodes([declared()], [simulated(report=CUT)])
    (node,) = live_nodes([declared()], [simulated()], known=known)
    assert "not reported" in node.cordon
    assert replace(node, cordon="") == only(*known)


def test_a_simulated_node_that_was_never_cut_is_used_before_its_agent_speaks() -> None:
    known = live_nodes([declared()], [simulated(report=NodeReport())])
    assert live_nodes([declared()], [simulated()], known=known) == known


def test_a_node_that_is_declared_otherwise_is_not_as_it_was_known() -> None:
    known = live_nodes([declared()], [simulated(report=CUT)])
    node = only(*live_nodes([declared(gpus=2)], [simulated()], known=known))
    assert [(device.uuid, device.mig) for device in node.devices] == [("SIM-sim-0-0", False), ("SIM-sim-0-1", False)]


def test_the_cordon_of_a_device_that_was_lifted_is_not_among_what_was_known() -> None:
    known = live_nodes([declared()], [simulated()], [Cordon("SIM-sim-0-2", "it hums")])
    assert known[0].devices[2].cordon
    assert [device.cordon for device in live_nodes([declared()], [simulated()], known=known)[0].devices] == [""] * 4


def test_of_two_ray_nodes_with_one_name_the_known_one_counts_and_takes_nothing_new() -> None:
    """A raylet was ended and its successor is there before Ray has noticed."""
    (known,) = live_nodes([declared()], [simulated(node_id="id-9", report=CUT)])
    both = [simulated(node_id="id-1", report=NodeReport()), simulated(node_id="id-9", report=CUT)]
    for seen in (both, both[::-1]):
        (node,) = live_nodes([declared()], seen, known=[known])
        assert node == replace(known, cordon="2 Ray nodes are called sim-0")
    assert only(*live_nodes([declared()], both)).node_id == "id-1", "the first by id where none is known"
    (node,) = live_nodes([declared()], both[:1], known=[known])
    assert (node.node_id, node.cordon) == ("id-1", "")


def test_of_two_real_nodes_with_one_label_only_one_is_used() -> None:
    views = [NodeView(name, {"biplane.io/node": "gpu"}, {"GPU": 2.0}, report=REPORT) for name in ("id-1", "id-0")]
    (node,) = live_nodes([], views)
    assert (node.name, node.node_id, node.cordon) == ("gpu", "id-0", "2 Ray nodes are called gpu")


def test_a_node_without_devices_needs_no_agent_to_be_used() -> None:
    view = NodeView("cpu", {}, {"CPU": 4.0, "memory": 1.0})
    assert only(*live_nodes([], [view])).cordon == ""
    assert agents_wanted([], [view], "/d") == ()


@pytest.mark.parametrize(
    ("view", "cordoned"),
    [
        (simulated(report=NodeReport(), silent=SILENT_SECONDS - 1), False),
        (simulated(report=NodeReport(), silent=SILENT_SECONDS + 1), True),
        (simulated(silent=SILENT_SECONDS + 1), False),
        (simulated(silent=BEGIN_SECONDS + 1), True),
        (simulated(report=NodeReport(error="NVML: unknown error")), True),
    ],
    ids=["heard lately", "silent", "just starting", "never started", "driver in trouble"],
)
def test_a_node_that_nobody_can_look_at_takes_nothing_new_and_is_not_lost(view: NodeView, cordoned: bool) -> None:
    node = only(*live_nodes([declared()], [view]))
    assert bool(node.cordon) == cordoned
    assert len(node.devices) == 4
    assert not node.drain


def test_the_reason_of_a_silent_node_does_not_change_as_time_goes_by() -> None:
    reasons = {
        only(*live_nodes([declared()], [simulated(report=NodeReport(), silent=silent)])).cordon
        for silent in (31.0, 32.5, 400.0)
    }
    assert len(reasons) == 1


def test_a_person_may_cordon_or_drain_a_node_or_a_device() -> None:
    cordons = [Cordon("sim-0", "new fans", drain=True), Cordon("SIM-sim-1-2", "it hums")]
    first, second = live_nodes(
        [declared("sim-0"), declared("sim-1")], [simulated("sim-0"), simulated("sim-1", "id-1")], cordons
    )
    assert (first.cordon, first.drain) == ("new fans", True)
    assert (second.cordon, second.drain) == ("", False)
    assert [device.cordon for device in second.devices] == ["", "", "it hums", ""]


def test_an_agent_is_wanted_for_every_node_with_devices_that_has_not_reported() -> None:
    views = [simulated(), simulated("sim-1", "id-1", report=NodeReport()), REAL]
    first, second = agents_wanted([declared(), declared("sim-1")], views, "/state/devices")
    assert (first.name, first.node_id, first.driver) == ("sim-0", "id-0", SIMULATED_DRIVER)
    assert first.args["path"] == "/state/devices/sim-0.json"
    assert first.args["node"]["gpus"] == 4
    assert (second.node_id, second.driver, dict(second.args)) == (REAL.node_id, REAL_DRIVER, {})


@pytest.mark.parametrize("interconnect", get_args(DeclaredNode.model_fields["interconnect"].annotation))
@pytest.mark.parametrize("gpus", [0, 1, 8])
def test_the_links_and_sockets_of_every_shape_that_may_be_declared_fit_its_devices(
    interconnect: str, gpus: int
) -> None:
    meant = declaration_of(declared(interconnect=interconnect, gpus=gpus))
    assert [len(row) for row in meant.links] == [gpus] * gpus
    assert len(meant.numa) == gpus


NODES = live_nodes([declared()], [simulated()])


@pytest.mark.parametrize(
    ("used", "holders", "excess"),
    [
        (0.0, [], 0),
        (3.0, [], 3),
        (3.0, [leased("mine", "sim-0", 2)], 1),
        (2.0, [leased("mine", "sim-0", 3)], 0),
        (0.75, [leased("mine", "sim-0", 1, 250)], 1),
        (0.25, [leased("mine", "sim-0", 1, 250)], 0),
        (2.0001, [leased("mine", "sim-0", 2)], 0),
        (2.0, [leased("elsewhere", "sim-9", 2)], 2),
        (99.0, [], 4),
    ],
)
def test_what_ray_gave_out_beyond_our_leases_is_others(used: float, holders: list[Workload], excess: int) -> None:
    assert excess_on(NODES, [simulated(used={"sim-gpu": used})], holders) == {"sim-0": excess}


def settled(foreign: Foreign, excess: int, now: float, before: int = 0) -> int:
    known = [replace(node, foreign=before) for node in NODES]
    return only(*foreign.settle(NODES, {"sim-0": excess}, known, now)).foreign


def test_an_excess_counts_once_it_has_lasted() -> None:
    foreign = Foreign()
    assert settled(foreign, 2, 0.0) == 0
    assert settled(foreign, 3, LASTING_SECONDS - 0.1) == 0
    assert settled(foreign, 3, LASTING_SECONDS) == 2, "only two were there all the time"
    assert settled(foreign, 3, LASTING_SECONDS + 1, before=2) == 2
    assert settled(foreign, 3, 2 * LASTING_SECONDS + 1, before=2) == 3


def test_devices_that_ray_has_not_noticed_to_be_given_back_are_nobody_elses() -> None:
    foreign = Foreign()
    found = [settled(foreign, excess, now) for now, excess in ((0.0, 1), (0.3, 0), (4.0, 1), (4.2, 0), (8.0, 1))]
    assert found == [0] * 5


def test_what_others_give_back_is_free_at_once() -> None:
    assert settled(Foreign(), 1, 0.0, before=3) == 1


def test_after_a_restart_what_was_settled_still_counts() -> None:
    assert settled(Foreign(), 3, 0.0, before=3) == 3
