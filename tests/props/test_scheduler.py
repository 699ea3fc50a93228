"""What never happens with devices, whatever is asked for and whatever nodes do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from control.scheduler.answer import Placed
from control.scheduler.ask import refusals_when_empty
from control.scheduler.decide import decide
from control.scheduler.policies import POLICIES
from control.scheduler.session import Session
from control.scheduler.state import WHOLE, Node, Phase, Queue, Sharing, Slice, Snapshot, Span, Workload
from tests.control.scheduler.world import after, node, settled, sliced, snapshot, workload

CLASSES = ["training", "critical-inference", "batch-scoring"]
names = st.text("abcdefgh", min_size=1, max_size=2)
plain_nodes = st.builds(
    node,
    st.sampled_from(["n0", "n1", "n2"]),
    st.integers(0, 4),
    st.integers(0, 32),
    st.sampled_from(["", "again"]),
    st.sampled_from([40, 80]),
    cpu=st.sampled_from([0, 4000]),
    rack=st.sampled_from(["", "r0"]),
    cordon=st.sampled_from(["", "", "by hand"]),
)
cut_nodes = st.just(sliced("mig", "3g.40gb", "2g.20gb", "1g.10gb"))
nodes = st.lists(st.one_of(plain_nodes, plain_nodes, cut_nodes), max_size=4, unique_by=lambda one: one.name)
whole = st.builds(
    workload,
    names,
    st.integers(0, 5),
    st.integers(0, 16),
    st.sampled_from([0, 40, 80, 96]),
    st.sampled_from([*CLASSES, "unknown"]),
    st.integers(0, 3).map(float),
    cpu=st.sampled_from([0, 1000]),
    queue=st.sampled_from(["", "a", "b"]),
    preemptible=st.booleans(),
    duration=st.sampled_from([0.0, 50.0]),
)
gangs = st.builds(
    workload,
    names,
    st.integers(2, 8),
    priority=st.just("training"),
    least=st.sampled_from([0, 1, 2]),
    span=st.sampled_from(Span),
    checkpoints=st.just(True),
)
shares = st.builds(
    workload,
    names,
    each=st.sampled_from([0, 20, 30]),
    priority=st.just("critical-inference"),
    milli=st.sampled_from([250, 400, 500]),
)
slices = st.builds(
    workload, names, priority=st.just("critical-inference"), slice=st.sampled_from(["1g.10gb", "3g.40gb", "7g.80gb"])
)
workloads = st.lists(st.one_of(whole, whole, gangs, shares, slices), max_size=8, unique_by=lambda one: one.name)
rules = st.fixed_dictionaries(
    {
        "preemption": st.booleans(),
        "backfill": st.booleans(),
        "sharing": st.sampled_from([Sharing(), Sharing(replicas=2), Sharing(replicas=4)]),
        "queues": st.sampled_from([(), (Queue("all", quota=0), Queue("a", "all", 3), Queue("b", "all", 2, borrow=1))]),
    }
)
briefly = settings(max_examples=40, deadline=None)


def assert_sound(found: Snapshot, *, whole_leases: bool = True) -> None:
    """Nothing is given twice; with `whole_leases` everyone has exactly what it asks for."""
    devices = {device.uuid: device for one in found.nodes for device in one.devices}
    parts: dict[str, Slice] = {part.uuid: part for one in devices.values() for part in one.slices}
    pieces = [piece for w in found.workloads if w.lease for piece in w.lease.pieces]
    held: Counter[str] = Counter()
    memory: Counter[str] = Counter()
    holders = Counter(uuid for piece in pieces for uuid in piece.devices)
    for piece in pieces:
        for uuid in piece.devices:
            held[uuid] += WHOLE if uuid in parts else piece.milli
            memory[uuid] += piece.device_memory
    assert all(milli <= WHOLE for milli in held.values()), "a device is given twice"
    assert all(not devices[u].memory or memory[u] <= devices[u].memory for u in memory if u in devices)
    assert all(n <= max(1, found.rules.sharing.replicas) for n in holders.values())
    for one in found.nodes:
        here = [piece for piece in pieces if piece.node == one.name]
        assert sum(piece.memory for piece in here) <= one.memory, "memory is promised twice"
        assert not one.cpu or sum(piece.cpu for piece in here) <= one.cpu, "CPUs are promised twice"
    for w in found.workloads:
        assert w.reason, "nobody is left without a reason"
        assert (w.lease is not None) is w.phase.holds_devices
        if w.lease and whole_leases:
            assert (w.least or w.devices) <= w.lease.devices <= w.devices, "a gang is whole or absent"
            assert all(d in devices or d in parts for piece in w.lease.pieces for d in piece.devices)
            if w.span is Span.NODE and w.replicas == 1:
                assert len(w.lease.nodes) == 1


@briefly
@given(nodes, workloads, rules)
def test_nothing_is_given_twice_and_everyone_has_a_reason(
    nodes: list[Node], workloads: list[Workload], rules: dict[str, object]
) -> None:
    before = snapshot(nodes, workloads, **rules)  # type: ignore[arg-type]
    assert_sound(after(before, decide(before)))


@briefly
@given(nodes, workloads, rules)
def test_deciding_comes_to_rest_and_is_the_same_every_time(
    nodes: list[Node], workloads: list[Workload], rules: dict[str, object]
) -> None:
    before = snapshot(nodes, workloads, **rules)  # type: ignore[arg-type]
    assert decide(before) == decide(before)
    assert decide(replace(before, workloads=before.workloads[::-1], nodes=before.nodes[::-1])).records == tuple(
        decide(before).records
    )
    settled(before)


@briefly
@given(nodes, workloads, rules)
def test_carrying_a_plan_out_twice_is_carrying_it_out_once(
    nodes: list[Node], workloads: list[Workload], rules: dict[str, object]
) -> None:
    before = snapshot(nodes, workloads, **rules)  # type: ignore[arg-type]
    plan = decide(before)
    once, twice = after(before, plan), after(after(before, plan), plan)
    assert [(w.phase, w.lease) for w in once.workloads] == [(w.phase, w.lease) for w in twice.workloads]
    assert once.groups == twice.groups


@briefly
@given(nodes, nodes, workloads, workloads, rules)
def test_it_stays_so_when_nodes_go_come_and_change_and_workloads_come_and_go(
    first: list[Node], then: list[Node], early: list[Workload], late: list[Workload], rules: dict[str, object]
) -> None:
    found = settled(snapshot(first, early, **rules))  # type: ignore[arg-type]
    names = {w.name for w in late}
    survivors = [w for w in found.workloads if w.name not in names][::2]
    groups = {w.group: True for w in survivors if w.group in found.groups}
    changed = replace(found, nodes=tuple(then), workloads=(*survivors, *late), groups=groups)
    assert_sound(settled(changed))


@briefly
@given(nodes, workloads)
def test_a_higher_class_never_waits_for_a_lower_one_that_could_be_preempted(
    nodes: list[Node], workloads: list[Workload]
) -> None:
    """With preemption on, stopping every lower holder together would not let anyone fit who still waits."""
    workloads = [replace(w, queue="", duration=0.0) for w in workloads]
    found = settled(snapshot(nodes, workloads, preemption=True, sharing=Sharing(replicas=2)))
    priorities = found.rules.priorities
    session = Session.of(found.nodes, found.rules, found.workloads, found.now)
    for w in found.workloads:
        if w.phase is not Phase.PENDING or w.priority_class not in priorities:
            continue
        if any(v.phase is Phase.PENDING and v.nominated for v in found.workloads):
            continue
        if isinstance(POLICIES[w.kind](w, session.stock), Placed):
            continue  # it waits behind the head of the queue, not for room
        trial = session.stock.copy()
        lower = [
            h
            for h in session.holders.values()
            if h.preemptible
            and h.evictions < found.rules.max_evictions
            and priorities.get(h.priority_class, 0) < priorities[w.priority_class]
        ]
        for holder in lower:
            assert holder.lease is not None
            trial.give(holder.lease.pieces)
        if lower:
            assert not isinstance(POLICIES[w.kind](w, trial), Placed), f"{w.name} could stop {[h.name for h in lower]}"


@briefly
@given(nodes, workloads)
def test_who_waits_although_it_could_be_hosted_waits_for_somebody(nodes: list[Node], workloads: list[Workload]) -> None:
    found = settled(snapshot([replace(one, cordon="") for one in nodes], workloads, sharing=Sharing(replicas=4)))
    holders = [w for w in found.workloads if w.lease]
    for w in found.workloads:
        known = w.priority_class in found.rules.priorities
        if w.phase is Phase.PENDING and known and nodes and not refusals_when_empty(w, found.nodes):
            assert holders


def test_the_worlds_of_these_tests_are_not_trivial() -> None:
    """A snapshot with everything in it is settled with leases of every sort."""
    asks = [
        workload("gang", 6, span=Span.CLUSTER),
        workload("half", each=30, milli=500, priority="critical-inference"),
        workload("slice", slice="1g.10gb", priority="critical-inference"),
    ]
    world = [node("n0", 4), node("n1", 4), sliced("mig", "3g.40gb", "1g.10gb")]
    found = settled(snapshot(world, asks, sharing=Sharing(replicas=2)))
    assert_sound(found)
    assert all(w.lease for w in found.workloads), [w.reason for w in found.workloads]
