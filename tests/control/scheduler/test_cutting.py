"""Devices are cut for declared layouts and for those who wait, never under those who run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from control.kernel.plan import CutDevice, Plan
from control.scheduler.decide import decide
from control.scheduler.ordered import ORDER_SECONDS
from control.scheduler.state import Device, Kind, Node, Phase, Slice, Snapshot, Workload
from tests.control.scheduler.world import GIB, after, by_name, node, settled, snapshot, uuids, workload

MIXED = {"mixed": {0: {"3g.40gb": 1, "2g.20gb": 1, "1g.10gb": 2}, 1: {}}}


def h100(name: str = "n0", devices: int = 2, **more: Any) -> Node:
    cards = tuple(Device(f"SIM-{name}-{i}", 80 * GIB) for i in range(devices))
    return replace(node(name, 0), gpu_model="H100-80GB", devices=cards, **more)


def cuts(plan: Plan) -> list[CutDevice]:
    return [effect for effect in plan.effects if isinstance(effect, CutDevice)]


def carried_out(before: Snapshot, plan: Plan) -> Snapshot:
    """The agents have done what they were told, and a minute has gone by."""
    orders = {cut.order.device: cut.order for cut in cuts(plan)}

    def as_cut(device: Device) -> Device:
        order = orders.get(device.uuid)
        if order is None:
            return device
        gone = {one.uuid for one in order.destroy}
        made = tuple(Slice(p.profile, p.start, f"{device.uuid}/{p.profile}@{p.start}") for p in order.create)
        return replace(device, mig=order.mig, slices=(*(s for s in device.slices if s.uuid not in gone), *made))

    seen = after(before, plan)
    nodes = tuple(replace(n, devices=tuple(as_cut(d) for d in n.devices)) for n in seen.nodes)
    held = {uuid for w in seen.workloads for uuid in uuids(w)}
    there = {u for n in nodes for d in n.devices for u in (d.uuid, *(s.uuid for s in d.slices))}
    idle = {uuid: before.idle_since.get(uuid, before.now) for uuid in there - held}
    return replace(seen, nodes=nodes, now=before.now + 60, idle_since=idle)


def lived(before: Snapshot, passes: int = 8) -> Snapshot:
    now = carried_out(before, Plan())
    for _ in range(passes):
        now = carried_out(now, decide(now))
    return now


def profiles(found: Snapshot) -> list[list[str]]:
    return [sorted(one.profile for one in device.slices) for n in found.nodes for device in n.devices]


def slice_of(profile: str, name: str = "s", **more: Any) -> Workload:
    return workload(name, slice=profile, priority="critical-inference", **more)


def test_a_node_with_a_layouts_name_is_cut_as_the_layout_says() -> None:
    found = lived(snapshot([h100(layout="mixed")], [], layouts=MIXED))
    assert profiles(found) == [["1g.10gb", "1g.10gb", "2g.20gb", "3g.40gb"], []]
    assert not decide(found)


def test_a_layout_that_nobody_declared_changes_nothing() -> None:
    assert profiles(lived(snapshot([h100(layout="other")], [], layouts=MIXED))) == [[], []]


def test_who_holds_what_a_layout_has_no_room_for_leaves_first_and_goes_on_elsewhere() -> None:
    plain = lived(snapshot([h100()], [workload("w", 1)]))
    (holder,) = plain.workloads
    assert uuids(holder) == ("SIM-n0-0",)
    labelled = replace(plain, nodes=tuple(replace(n, layout="mixed") for n in plain.nodes))
    labelled = replace(labelled, rules=replace(labelled.rules, layouts=MIXED))
    first = decide(labelled)
    assert not cuts(first), "nothing is cut under who still runs"
    assert by_name(after(labelled, first))["w"].phase is Phase.EVICTING
    found = lived(labelled)
    assert uuids(by_name(found)["w"]) == ("SIM-n0-1",)
    assert len(profiles(found)[0]) == 4


def test_without_permission_no_device_is_cut_for_who_waits() -> None:
    found = lived(snapshot([h100()], [slice_of("1g.10gb")]))
    assert by_name(found)["s"].phase is Phase.PENDING
    assert profiles(found) == [[], []]


def test_on_demand_a_slice_is_made_for_who_waits_for_it_and_no_more_than_that() -> None:
    found = lived(snapshot([h100(carve=True)], [slice_of("1g.10gb")]))
    assert by_name(found)["s"].phase is Phase.LEASED
    assert sorted(profiles(found)) == [[], ["1g.10gb"]]


def test_on_demand_idle_slices_make_room_and_those_in_use_stay() -> None:
    first = lived(snapshot([h100(devices=1, carve=True)], [slice_of("3g.40gb", "a"), slice_of("1g.10gb", "b")]))
    kept = by_name(first)["b"]
    without_a = replace(first, workloads=(kept,), groups={"b": True})
    found = lived(replace(without_a, workloads=(kept, slice_of("4g.40gb", "c"))))
    assert uuids(by_name(found)["b"]) == uuids(kept)
    assert by_name(found)["c"].phase in (Phase.LEASED, Phase.PENDING)
    assert "1g.10gb" in profiles(found)[0]


def test_on_demand_a_cut_device_becomes_whole_again_for_who_needs_it() -> None:
    first = lived(snapshot([h100(devices=1, carve=True)], [slice_of("1g.10gb")]))
    found = lived(replace(first, workloads=(workload("whole", 1),), groups={}))
    assert by_name(found)["whole"].phase is Phase.LEASED
    assert profiles(found) == [[]]


def test_on_demand_devices_become_whole_again_for_who_needs_several_of_one_node() -> None:
    both = [slice_of("3g.40gb", "a"), slice_of("4g.40gb", "b"), slice_of("7g.80gb", "c")]
    first = lived(snapshot([h100(carve=True)], both))
    assert len(first.nodes[0].devices) == 2
    assert all(device.mig for device in first.nodes[0].devices)
    found = lived(replace(first, workloads=(workload("gang", 2),), groups={}))
    assert by_name(found)["gang"].phase is Phase.LEASED


def test_nothing_is_cut_for_who_is_over_its_quota() -> None:
    from control.scheduler.state import Queue

    asked = slice_of("1g.10gb", queue="none")
    found = lived(snapshot([h100(carve=True)], [asked], queues=(Queue("none", quota=0),)))
    assert profiles(found) == [[], []]


def test_a_device_in_trouble_is_not_cut() -> None:
    one = h100(devices=1, carve=True)
    sick = replace(one, devices=(replace(one.devices[0], trouble="XID 79"),))
    assert profiles(lived(snapshot([sick], [slice_of("1g.10gb")]))) == [[]]


def ordered_but_not_done(before: Snapshot) -> Snapshot:
    """The agents were told, and have not reported yet; all has been idle for long."""
    idle = {u: -100.0 for n in before.nodes for d in n.devices for u in (d.uuid, *(one.uuid for one in d.slices))}
    told = replace(before, idle_since=idle)
    plan = decide(told)
    assert cuts(plan)
    return replace(after(told, plan), now=before.now + 1)


def test_a_device_that_was_ordered_to_be_cut_is_given_to_nobody_before_it_is() -> None:
    told = ordered_but_not_done(snapshot([h100(devices=1, carve=True)], [slice_of("1g.10gb")]))
    late = replace(told, workloads=(*told.workloads, workload("whole", created_at=1.0)))
    plan = decide(late)
    assert by_name(after(late, plan))["whole"].phase is Phase.PENDING
    assert [cut.order for cut in cuts(plan)] == [one.order for one in told.known_nodes[0].cuts], "ordered again"


def test_a_slice_that_was_ordered_to_go_is_given_to_nobody_before_it_has() -> None:
    small = lived(snapshot([h100(devices=1, carve=True)], [slice_of("1g.10gb")]))
    told = ordered_but_not_done(replace(small, workloads=(slice_of("7g.80gb", "big"),), groups={}))
    late = replace(told, workloads=(*told.workloads, slice_of("1g.10gb", "small")))
    found = carried_out(late, decide(late))
    assert not uuids(by_name(found)["small"])
    assert uuids(by_name(lived(found))["big"])


def test_an_order_that_is_never_seen_done_holds_its_device_for_so_long_and_no_longer() -> None:
    told = ordered_but_not_done(snapshot([h100(devices=1, carve=True)], [slice_of("1g.10gb")]))
    late = replace(told, workloads=(*told.workloads, workload("whole", created_at=1.0)))
    for seconds, phase in ((ORDER_SECONDS - 1, Phase.PENDING), (ORDER_SECONDS, Phase.LEASED)):
        then = replace(late, now=seconds)
        assert by_name(after(then, decide(then)))["whole"].phase is phase


def test_an_order_is_forgotten_once_it_is_seen_done() -> None:
    found = lived(snapshot([h100(devices=1, carve=True)], [slice_of("1g.10gb")]))
    assert found.known_nodes == found.nodes
    assert not decide(found)


def batch(name: str, **more: Any) -> Workload:
    return workload(name, priority="batch-scoring", kind=Kind.BATCH, **more)


def test_a_higher_class_that_needs_a_slice_does_not_wait_for_a_lower_one_that_holds_the_device() -> None:
    held = settled(snapshot([h100(devices=1, carve=True)], [batch("b")], preemption=True))
    found = lived(replace(held, workloads=(*held.workloads, slice_of("1g.10gb", "c"))))
    assert by_name(found)["c"].phase is Phase.LEASED
    assert by_name(found)["b"].phase is Phase.PENDING
    assert by_name(found)["b"].evictions == 1


def test_a_higher_class_that_needs_the_device_does_not_wait_for_a_lower_one_that_holds_a_slice() -> None:
    held = lived(snapshot([h100(devices=1, carve=True)], [batch("b", slice="1g.10gb", milli=125)], preemption=True))
    assert uuids(by_name(held)["b"])
    found = lived(replace(held, workloads=(*held.workloads, workload("c", priority="critical-inference"))))
    assert by_name(found)["c"].phase is Phase.LEASED
    assert (by_name(found)["b"].phase, by_name(found)["b"].evictions) == (Phase.PENDING, 1)


def test_who_left_a_device_for_a_cut_does_not_get_it_back_before_the_cut() -> None:
    held = settled(snapshot([h100(devices=1, carve=True)], [batch("b")], preemption=True))
    told = replace(held, workloads=(*held.workloads, slice_of("1g.10gb", "c")))
    first = decide(told)
    assert not cuts(first), "nothing is cut under who still runs"
    then = after(told, first)
    assert by_name(then)["b"].phase is Phase.EVICTING
    busy = replace(then, workloads=tuple(replace(w, running=w.name == "b") for w in then.workloads))
    assert not cuts(decide(busy))
    assert cuts(decide(then))
    assert by_name(after(then, decide(then)))["b"].phase is Phase.PENDING
