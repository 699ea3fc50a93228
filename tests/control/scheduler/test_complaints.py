"""What users of other schedulers complained about, as stories that end well here.

Each test names the report that it comes from.
"""

from __future__ import annotations

from dataclasses import replace

from control.scheduler.decide import decide
from control.scheduler.hold import BIND_SECONDS
from control.scheduler.refusal import MAX_BINDS
from control.scheduler.state import Device, Phase, Queue, Sharing, Snapshot, Span, Workload
from tests.control.scheduler.world import GIB, after, by_name, leased, node, places, settled, snapshot, uuids, workload

MIB = 1 << 20
HIGH, LOW = "critical-inference", "batch-scoring"


def filled(high_on: dict[str, int], low_on: dict[str, int]) -> Snapshot:
    """Nodes of eight devices; so many workloads of one device hold some of each, by class."""
    nodes = [node(name, 8) for name in high_on]
    held: list[Workload] = []
    for name in high_on:
        here = [workload(f"high-{name}-{i}", priority=HIGH, preemptible=False) for i in range(high_on[name])]
        here += [workload(f"low-{name}-{i}", priority=LOW) for i in range(low_on[name])]
        held += leased(*here, nodes=[node(name, 8)])
    return settled(snapshot(nodes, held, preemption=True))


def test_no_victims_are_taken_whose_devices_lie_scattered_kueue_5243() -> None:
    """Eight devices freed on four nodes help no job that needs eight on one, and the small one behind it goes on."""
    before = filled({f"n{i}": 6 for i in range(4)}, {f"n{i}": 2 for i in range(4)})
    stuck = workload("stuck", 8, priority=HIGH, created_at=1.0)
    small = workload("small", 1, priority=HIGH, created_at=2.0)
    found = settled(replace(before, workloads=(*before.workloads, stuck, small)))
    states = by_name(found)
    assert states["stuck"].phase is Phase.PENDING
    assert states["small"].phase is Phase.LEASED
    lost = [name for name, w in states.items() if name.startswith("low") and w.phase is not Phase.LEASED]
    assert len(lost) == 1, "one victim for the small one, none for the one that cannot fit"


def test_fair_sharing_takes_nothing_from_a_borrower_when_the_shape_would_not_come_free_kueue_10815() -> None:
    """A tenant may claim its quota back, but only where that gives its gang the rack that it needs."""
    queues = (Queue("all"), Queue("ours", "all", 8), Queue("theirs", "all", 8))
    nodes = [node(f"n{i}", 4, rack=f"r{i // 2}") for i in range(4)]
    borrowed = leased(
        *(workload(f"b{i}", 4, queue="theirs", created_at=i, preemptible=i % 2 == 0) for i in range(4)),
        nodes=nodes,
        queues=queues,
    )
    assert sorted(places(snapshot(nodes, borrowed)).values()) == ["n0", "n1", "n2", "n3"]
    gang = workload("gang", 8, queue="ours", created_at=9.0, span=Span.RACK)
    found = settled(snapshot(nodes, [*borrowed, gang], queues=queues, preemption=True))
    assert {name for name, w in by_name(found).items() if w.lease} == {"b0", "b1", "b2", "b3"}
    elsewhere = replace(gang, span=Span.CLUSTER)
    found = settled(snapshot(nodes, [*borrowed, elsewhere], queues=queues, preemption=True))
    assert {name for name, w in by_name(found).items() if w.lease} == {"b1", "b3", "gang"}


def test_victims_for_quota_and_for_the_shape_are_found_together_kueue_10089() -> None:
    """Two kinds of holder have to go for one workload: one for its quota and devices, one for its CPUs."""
    queues = (Queue("cohort", quota=16), Queue("low", "cohort"), Queue("standard", "cohort"))
    nodes = [node(f"n{i}", 8, cpu=8000) for i in range(2)]
    low_cpu = [workload(f"cpu-{i}", 0, priority=LOW, queue="low", cpu=5000, created_at=0.0) for i in range(2)]
    low_gpu = [workload(f"gpu-{i}", 8, priority=LOW, queue="low", cpu=10, created_at=1.0) for i in range(2)]
    held = leased(*low_cpu, *low_gpu, nodes=nodes, queues=queues)
    assert all(w.lease for w in held)
    standard = workload("standard", 8, priority="training", queue="standard", cpu=5000, created_at=2.0)
    found = settled(snapshot(nodes, [*held, standard], queues=queues, preemption=True))
    states = by_name(found)
    assert states["standard"].phase is Phase.LEASED
    assert sum(w.phase is Phase.LEASED for name, w in states.items() if name.startswith("gpu")) == 1


def test_a_binding_that_fails_is_not_tried_for_ever_kai_848() -> None:
    """Somebody outside holds the devices: each try is given up after a while, rests longer, and ends with a reason."""
    now = snapshot([node()], [workload("w", 4)])
    tries = 0
    for _ in range(200):
        plan = decide(now)
        now = after(now, plan)
        groups = dict.fromkeys(now.groups, False)
        workloads = tuple(replace(w, bound=w.group not in groups) for w in now.workloads)
        tries += any(type(effect).__name__ == "EnsureGroup" for effect in plan.effects)
        now = replace(now, groups=groups, workloads=workloads, now=now.now + BIND_SECONDS + 1)
    (found,) = now.workloads
    assert (found.phase, tries) == (Phase.PENDING, MAX_BINDS)
    assert "could not place it" in found.reason


def test_sixteen_halves_at_once_lie_two_on_each_of_eight_devices_kai_2153() -> None:
    halves = [workload(f"w{i:02}", milli=500, priority=HIGH) for i in range(16)]
    found = settled(snapshot([node(devices=8)], halves, sharing=Sharing(replicas=4)))
    on = [uuids(w)[0] for w in found.workloads]
    assert sorted(on) == sorted([f"SIM-n0-{i}" for i in range(8)] * 2)


def test_shares_never_add_up_to_more_than_the_memory_of_the_device_kai_416() -> None:
    """24 times 2,000 MiB are asked for, 46,068 MiB are there: 23 fit."""
    device = Device("SIM-n0-0", 46_068 * MIB)
    small = replace(node(devices=0), devices=(device,))
    asks: list[Workload] = [
        replace(workload(f"w{i:02}", milli=20, priority=HIGH), device_memory=2000 * MIB) for i in range(24)
    ]
    found = settled(snapshot([small], asks, sharing=Sharing(replicas=48)))
    assert sum(w.phase is Phase.LEASED for w in found.workloads) == 23


def test_the_memory_that_the_driver_keeps_is_not_given_out_kai_2212() -> None:
    """A device of 16 GiB of which the driver keeps 450 MiB takes no two halves of 8 GiB."""
    device = Device("SIM-n0-0", 16 * GIB - 450 * MIB)
    small = replace(node(devices=0), devices=(device,))
    halves = [workload(f"w{i}", milli=500, each=8, priority=HIGH) for i in range(2)]
    found = settled(snapshot([small], halves, sharing=Sharing(replicas=2)))
    assert sorted(w.phase.value for w in found.workloads) == ["Leased", "Pending"]
