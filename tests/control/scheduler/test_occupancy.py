"""Who is where, for a picture."""

from __future__ import annotations

from dataclasses import replace

from control.scheduler.occupancy import Use, occupancy
from control.scheduler.state import Sharing
from tests.control.scheduler.world import node, settled, sliced, snapshot, workload

SHARED = Sharing(replicas=4)


def test_every_device_shows_what_it_is_used_for_and_by_whom() -> None:
    nodes = [node("a", 4, foreign=1), sliced("m", "3g.40gb", "1g.10gb")]
    asks = [
        workload("whole", 1),
        workload("half", milli=500, each=20, priority="critical-inference"),
        workload("slice", slice="1g.10gb", priority="critical-inference"),
    ]
    found = settled(snapshot(nodes, asks, sharing=SHARED))
    a, m = occupancy(found.nodes, found.workloads).nodes
    assert sorted(device.use.value for device in a.devices) == ["foreign", "free", "shared", "whole"]
    assert {name for device in a.devices for name in device.holders} == {"whole", "half"}
    (device,) = m.devices
    assert (device.use, device.holders) == (Use.SLICED, ("slice",))
    assert [(part.profile, part.holder) for part in device.slices] == [("3g.40gb", ""), ("1g.10gb", "slice")]
    assert (a.free_milli, a.largest) == (1500, 1)


def test_what_is_free_in_pieces_counts_as_fragmented() -> None:
    half = workload("half", milli=500, each=20, priority="critical-inference")
    found = settled(snapshot([node(devices=2)], [half], sharing=SHARED))
    seen = occupancy(found.nodes, found.workloads)
    assert (seen.devices, seen.held_milli, seen.fragmented_pct) == (2, 500, 33.3)


def test_a_device_in_trouble_and_a_cordoned_node_offer_nothing() -> None:
    one = node(devices=2)
    broken = replace(one, devices=(replace(one.devices[0], trouble="XID 79"), one.devices[1]))
    (seen,) = occupancy([broken], []).nodes
    assert [device.use for device in seen.devices] == [Use.TROUBLE, Use.FREE]
    assert seen.free_milli == 1000
    (closed,) = occupancy([replace(broken, cordon="by hand")], []).nodes
    assert closed.largest == 0


def test_an_empty_cluster_is_not_fragmented() -> None:
    assert occupancy([], []).fragmented_pct == 0.0
