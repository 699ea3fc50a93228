"""Devices are cut on demand for those whom a cut lets in, and for nobody else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from control.scheduler.carving import Carved, carve
from control.scheduler.cutting import effects_of, standing
from control.scheduler.ordered import ORDER_SECONDS, Ordered
from control.scheduler.session import Session
from control.scheduler.sheets import closed
from control.scheduler.state import (
    Kind,
    Lease,
    Node,
    Phase,
    Piece,
    Queue,
    Rules,
    Slice,
    SliceProfile,
    Snapshot,
    Workload,
)
from control.specs.inventory import CutOrder, SlicePlace, SliceReport
from tests.control.scheduler.world import GIB, node, sliced, snapshot, workload

NOW = 1000.0
HIGH, LOW = "critical-inference", "batch-scoring"


def whole(name: str = "n0", devices: int = 1) -> Node:
    return replace(node(name, devices), gpu_model="H100-80GB", carve=True)


def cut(name: str, *profiles: str) -> Node:
    return replace(sliced(name, *profiles), carve=True)


def asks(profile: str = "", name: str = "c", devices: int = 1, **more: Any) -> Workload:
    milli = 125 if profile else 1000
    return workload(name, devices, slice=profile, milli=milli, priority=more.pop("priority", HIGH), **more)


def holds(name: str, where: Node, *uuids: str, profile: str = "", **more: Any) -> Workload:
    """A batch workload that holds these."""
    piece = Piece(where.name, where.node_id, where.resource, uuids, milli=125 if profile else 1000, profile=profile)
    asked = workload(name, len(uuids), slice=profile, milli=piece.milli, priority=more.pop("priority", LOW), **more)
    return replace(asked, kind=Kind.BATCH, phase=Phase.LEASED, lease=Lease((piece,)), running=True)


def seen(nodes: Iterable[Node], *workloads: Workload, preemption: bool = False, **rules: Any) -> Snapshot:
    """All that nobody holds has long been idle."""
    nodes = tuple(nodes)
    idle = {u: 0.0 for n in nodes for d in n.devices for u in (d.uuid, *(one.uuid for one in d.slices))}
    return replace(snapshot(nodes, workloads, preemption=preemption, now=NOW, **rules), idle_since=idle)


def carved(found: Snapshot, *under_way: Ordered) -> Carved:
    ordered = {one.order.device: one for one in under_way}
    session = Session.of(found.nodes, found.rules, found.workloads, found.now)
    return carve(found.workloads, session, found, ordered)


@pytest.mark.parametrize(
    "hopeless",
    [
        asks(models=frozenset({"A100"})),
        asks(priority="typo"),
        asks(failed_binds=5),
        asks(each=96),
        asks(memory=1000),
        asks(cpu=10**6),
        asks("7g.80gb", models=frozenset({"A100"})),
        asks("2g.20gb", each=40),
    ],
    ids=["model", "class", "binds", "device memory", "memory", "CPU", "a slice's model", "a slice's memory"],
)
def test_no_idle_slice_is_destroyed_for_somebody_whom_that_does_not_let_in(hopeless: Workload) -> None:
    one = replace(cut("n0", "1g.10gb", "1g.10gb"), cpu=64000)
    assert carved(seen([one], hopeless)).orders == {}
    assert carved(seen([one], asks())).orders.keys() == {"SIM-n0-0"}, "it is for who can have it"


def test_the_device_is_cut_whose_slices_have_the_memory() -> None:
    a100 = replace(whole("a"), gpu_model="A100-40GB")
    a100 = replace(a100, devices=tuple(replace(device, memory=40 * GIB) for device in a100.devices))
    found = carved(seen([a100, whole("h")], asks("1g.10gb", each=9, models=frozenset({"H100"}))))
    assert found.orders.keys() == {"SIM-h-0"}


def test_the_smallest_slice_is_made_that_some_device_can_have() -> None:
    profiles = (SliceProfile("1g.6gb", 40.0, 1.0, GIB), SliceProfile("2g.20gb", 40.0, 1.0, GIB))
    served = asks(latency_ms=50.0, profiles=profiles)
    (order,) = carved(seen([whole()], replace(served, milli=1000))).orders.values()
    assert [place.profile for place in order.order.create] == ["2g.20gb"]


def test_a_quota_that_has_room_for_the_slice_lets_a_device_be_cut_for_it() -> None:
    served = asks(latency_ms=50.0, profiles=(SliceProfile("1g.10gb", 40.0, 1.0, GIB),), queue="a")
    other = cut("o", "1g.10gb")
    held = replace(holds("h", other, "MIG-o-0", profile="1g.10gb"), queue="a")
    assert carved(seen([whole(), other], held, served, queues=(Queue("a", quota=1),))).orders
    assert not carved(seen([whole(), other], held, served, queues=(Queue("a", quota=0),))).orders


def test_whole_devices_are_made_for_every_replica() -> None:
    both = asks(devices=2, replicas=2)
    assert len(carved(seen([cut("a", "1g.10gb"), cut("b", "1g.10gb")], both)).orders) == 2


def test_for_an_order_that_stands_nothing_more_is_cut_on_its_device_or_for_whom_it_is() -> None:
    first = carved(seen([whole("a"), whole("b")], asks("1g.10gb")))
    (order,) = first.orders.values()
    assert order.serves == ("c",)
    assert carved(seen([whole("a"), whole("b")], asks("1g.10gb")), order).orders == {}
    other = asks("3g.40gb", "d")
    assert carved(seen([whole("a"), whole("b")], asks("1g.10gb"), other), order).orders.keys() == {"SIM-b-0"}


def test_who_holds_a_whole_device_leaves_it_for_a_higher_class_that_needs_a_slice_of_it() -> None:
    n0 = whole()
    found = carved(seen([n0], holds("b", n0, "SIM-n0-0"), asks("1g.10gb"), preemption=True))
    assert [(w.name, w.phase, w.eviction and w.eviction.by) for w in found.leaving] == [("b", Phase.EVICTING, "c")]
    assert found.orders["SIM-n0-0"].order.create == (SlicePlace("1g.10gb", 0),)


def test_who_holds_slices_leaves_them_for_a_higher_class_that_needs_the_device() -> None:
    n0 = cut("n0", "1g.10gb", "1g.10gb")
    found = carved(seen([n0], holds("b", n0, "MIG-n0-0", profile="1g.10gb"), asks(), preemption=True))
    assert [w.name for w in found.leaving] == ["b"]
    assert not found.orders["SIM-n0-0"].order.mig


def test_who_holds_slices_leaves_them_for_a_higher_class_that_needs_a_larger_one() -> None:
    n0 = cut("n0", "3g.40gb", "3g.40gb")
    held = [holds(f"b{start}", n0, f"MIG-n0-{start}", profile="3g.40gb") for start in (0, 4)]
    found = carved(seen([n0], *held, asks("4g.40gb"), preemption=True))
    assert [w.name for w in found.leaving] == ["b0"], "4g.40gb starts at 0 only"


def test_nobody_leaves_without_preemption_nor_for_a_class_that_is_not_higher_nor_when_it_may_not_be_stopped() -> None:
    n0 = whole()
    held = holds("b", n0, "SIM-n0-0")
    for found in (
        seen([n0], held, asks("1g.10gb")),
        seen([n0], held, asks("1g.10gb", priority=LOW), preemption=True),
        seen([n0], replace(held, preemptible=False), asks("1g.10gb"), preemption=True),
        seen([n0], held, asks("1g.10gb", queue="q"), queues=(Queue("q", quota=0),), preemption=True),
    ):
        assert carved(found) == Carved({})


def test_nobody_leaves_where_an_idle_device_can_be_cut_or_the_form_would_still_not_come_free() -> None:
    n0, n1 = whole("n0"), whole("n1")
    found = carved(seen([n0, n1], holds("b", n0, "SIM-n0-0"), asks("1g.10gb"), preemption=True))
    assert (found.leaving, set(found.orders)) == ((), {"SIM-n1-0"})
    both = cut("n0", "3g.40gb", "3g.40gb")
    stays = holds("stays", both, "MIG-n0-0", profile="3g.40gb", preemptible=False)
    goes = holds("goes", both, "MIG-n0-4", profile="3g.40gb")
    assert carved(seen([both], stays, goes, asks("7g.80gb"), preemption=True)) == Carved({})


def test_nobody_leaves_for_a_part_of_what_somebody_needs() -> None:
    n0 = cut("n0", "3g.40gb", "2g.20gb")
    held = [holds("same", n0, "MIG-n0-0", profile="3g.40gb"), holds("other", n0, "MIG-n0-4", profile="2g.20gb")]
    assert carved(seen([n0], *held, asks("3g.40gb", devices=2, replicas=2), preemption=True)) == Carved({})


def test_the_fewest_leave_and_each_device_is_emptied_for_one_only() -> None:
    a, b = cut("a", "1g.10gb", "1g.10gb"), cut("b", "2g.20gb")
    held = [holds(f"a{n}", a, f"MIG-a-{n}", profile="1g.10gb") for n in (0, 1)]
    held.append(holds("b0", b, "MIG-b-0", profile="2g.20gb"))
    first = carved(seen([a, b], *held, asks(), preemption=True))
    assert [w.name for w in first.leaving] == ["b0"]
    both = carved(seen([a, b], *held, asks(), asks(name="d"), preemption=True))
    assert sorted(w.name for w in both.leaving) == ["a0", "a1", "b0"]
    assert both.orders.keys() == {"SIM-a-0", "SIM-b-0"}


def test_the_lower_class_leaves_of_two_that_could() -> None:
    n0, n1 = whole("n0"), whole("n1")
    held = [holds("middle", n0, "SIM-n0-0", priority="training"), holds("low", n1, "SIM-n1-0")]
    assert [w.name for w in carved(seen([n0, n1], *held, asks("1g.10gb"), preemption=True)).leaving] == ["low"]


@pytest.mark.parametrize(("cores", "leaves"), [(8, 1), (9, 0)])
def test_what_those_who_leave_hold_of_the_host_comes_free_too(cores: int, leaves: int) -> None:
    n0 = replace(whole(), cpu=8000)
    held = holds("b", n0, "SIM-n0-0", cpu=8000)
    assert held.lease is not None
    held = replace(held, lease=Lease((replace(held.lease.pieces[0], cpu=8000),)))
    found = carved(seen([n0], held, asks("1g.10gb", cpu=cores * 1000), preemption=True))
    assert len(found.leaving) == leaves


def test_nobody_else_leaves_for_those_who_find_room_on_a_device_that_is_emptied_anyway() -> None:
    two = whole(devices=2)
    held = [holds(f"b{i}", two, f"SIM-n0-{i}") for i in (0, 1)]
    crowd = [asks("1g.10gb", f"c{i}", priority=HIGH if i else "training") for i in range(7)]
    found = carved(seen([two], *held, *crowd, preemption=True))
    (order,) = found.orders.values()
    assert (len(found.leaving), len(order.order.create), len(order.serves)) == (1, 7, 7)
    more = carved(seen([two], *held, *crowd, asks("1g.10gb", "c7"), preemption=True))
    assert (len(more.leaving), len(more.orders)) == (2, 2)


def test_no_more_leave_than_the_quota_of_those_who_come_is_good_for() -> None:
    two = whole(devices=2)
    held = [holds(f"b{i}", two, f"SIM-n0-{i}") for i in (0, 1)]
    crowd = [replace(asks("7g.80gb", f"c{i}", queue="q"), milli=1000) for i in (0, 1)]
    for quota in (1, 2):
        found = carved(seen([two], *held, *crowd, preemption=True, queues=(Queue("q", quota=quota),)))
        assert len(found.leaving) == quota


def test_a_gang_of_one_node_gets_the_devices_that_slices_of_lower_classes_are_on() -> None:
    two = replace(whole(devices=2), devices=())
    devices = tuple(
        replace(whole(devices=2).devices[i], mig=True, slices=(Slice("3g.40gb", 0, f"MIG-{i}"),)) for i in (0, 1)
    )
    two = replace(two, devices=devices)
    held = [holds(f"b{i}", two, f"MIG-{i}", profile="3g.40gb") for i in (0, 1)]
    found = carved(seen([two], *held, asks(devices=2, priority="training"), preemption=True))
    assert sorted(w.name for w in found.leaving) == ["b0", "b1"]
    assert len(found.orders) == 2


# orders that stand

GOING, COMING = (SliceReport("1g.10gb", 0, "MIG-n0-0"),), (SlicePlace("7g.80gb", 0),)
ORDER = Ordered(CutOrder("SIM-n0-0", True, GOING, COMING), "why", ("c",), until=50.0)


def test_an_order_stands_until_its_device_shows_it_done() -> None:
    before = cut("n0", "1g.10gb")
    assert standing([before], [ORDER], 0.0) == {"SIM-n0-0": ORDER}
    half = replace(before, devices=(replace(before.devices[0], slices=()),))
    assert standing([half], [ORDER], 0.0)
    assert standing([whole()], [ORDER], 0.0)
    assert standing([cut("n0", "7g.80gb")], [ORDER], 0.0), "its slice has the uuid of the one that goes"
    done = replace(half, devices=(replace(half.devices[0], slices=(Slice("7g.80gb", 0, "MIG-new"),)),))
    assert standing([done], [ORDER], 0.0) == {}
    untold = replace(done, devices=(replace(done.devices[0], slices=(Slice("7g.80gb", -1, "MIG-new"),)),))
    assert standing([untold], [ORDER], 0.0) == {}, "where it starts is told to root only"


def test_an_order_that_is_not_seen_done_in_time_or_whose_device_is_gone_stands_no_more() -> None:
    assert standing([cut("n0", "1g.10gb")], [ORDER], 50.0) == {}
    assert standing([cut("n1", "1g.10gb")], [ORDER], 0.0) == {}


def test_an_order_has_the_time_that_those_who_leave_have_and_the_agent_takes() -> None:
    n0 = whole()
    leaving = holds("b", n0, "SIM-n0-0", grace=300.0)
    assert carved(seen([n0], leaving, asks("1g.10gb"), preemption=True)).orders["SIM-n0-0"].until == (
        NOW + 300.0 + ORDER_SECONDS
    )


def test_the_agent_is_told_once_nobody_is_in_the_way_and_then_again_until_it_is_done() -> None:
    n0 = cut("n0", "1g.10gb", "1g.10gb")
    ordered = {"SIM-n0-0": ORDER}
    assert effects_of(ordered, [n0], [holds("b", n0, "MIG-n0-0", profile="1g.10gb")]) == ()
    (effect,) = effects_of(ordered, [n0], [holds("b", n0, "MIG-n0-1", profile="1g.10gb")])
    assert (effect.order, effect.node_id) == (ORDER.order, "id-n0")


def test_a_device_that_is_being_cut_is_given_to_nobody() -> None:
    asked = [asks("1g.10gb"), asks(name="d")]
    n0, n1 = cut("n0", "1g.10gb"), whole("n1")
    shut = closed([n0, n1], {"SIM-n0-0": "why", "SIM-n1-0": "why"})
    for nodes, leased in (((n0, n1), 2), (shut, 0)):
        settled = Session.of(nodes, Rules({HIGH: 1}), asked, NOW).settle(asked, NOW)
        assert sum(w.phase is Phase.LEASED for w in settled) == leased
