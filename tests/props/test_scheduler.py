"""What never happens with devices, whatever is asked for and whatever nodes do."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from control.scheduler.decide import decide
from control.scheduler.fit import refusals_when_empty
from control.scheduler.state import Node, Phase, Snapshot, Workload
from tests.control.scheduler.world import after, node, settled, snapshot, workload

nodes = st.lists(
    st.builds(
        node,
        st.sampled_from(["n0", "n1", "n2"]),
        st.integers(0, 4),
        st.integers(0, 32),
        st.sampled_from(["", "again"]),
        st.sampled_from([40, 80]),
    ),
    max_size=3,
    unique_by=lambda one: one.name,
)
workloads = st.lists(
    st.builds(
        workload,
        st.text("abcdefgh", min_size=1, max_size=2),
        st.integers(0, 5),
        st.integers(0, 16),
        st.sampled_from([0, 40, 80, 96]),
        st.sampled_from(["training", "critical-inference", "batch-scoring", "unknown"]),
        st.integers(0, 3).map(float),
    ),
    max_size=7,
    unique_by=lambda one: one.name,
)
briefly = settings(max_examples=30, deadline=None)


def has_smaller_devices(now: Node, was: Node) -> bool:
    size = min((device.memory for device in now.devices), default=0)
    return any(size < device.memory for device in was.devices)


def assert_sound(found: Snapshot) -> None:
    by_node = {one.name: one for one in found.nodes}
    held = Counter(uuid for w in found.workloads if w.lease for uuid in w.lease.devices)
    assert not [uuid for uuid, holders in held.items() if holders > 1], "two workloads on one device"
    for one in found.nodes:
        here = [w for w in found.workloads if w.lease and w.lease.node == one.name]
        assert sum(w.memory for w in here) <= one.memory, "memory promised twice"
    for w in found.workloads:
        assert w.reason, "nobody is left without a reason"
        assert (w.lease is not None) is (w.phase is Phase.LEASED)
        if w.lease:
            sizes = {device.uuid: device.memory for device in by_node[w.lease.node].devices}
            assert len(w.lease.devices) == w.devices
            assert all(sizes[uuid] >= w.device_memory for uuid in w.lease.devices)
            assert w.lease.node_id == by_node[w.lease.node].node_id


@briefly
@given(nodes, workloads)
def test_no_device_and_no_memory_is_given_twice_and_everyone_has_a_reason(
    nodes: list[Node], workloads: list[Workload]
) -> None:
    before = snapshot(nodes, workloads)
    assert_sound(after(before, decide(before)))


@briefly
@given(nodes, workloads)
def test_deciding_comes_to_rest_and_no_lease_changes_after_the_first_pass(
    nodes: list[Node], workloads: list[Workload]
) -> None:
    """The second pass may still sharpen the reason of who waits: what came later in the first took more devices."""
    first = snapshot(nodes, workloads)
    second = after(first, decide(first))
    third = after(second, decide(second))
    assert [(w.phase, w.lease) for w in third.workloads] == [(w.phase, w.lease) for w in second.workloads]
    assert not decide(third)


@briefly
@given(nodes, nodes, workloads, workloads)
def test_it_stays_so_when_nodes_go_come_and_change_and_workloads_come_and_go(
    first: list[Node], then: list[Node], early: list[Workload], late: list[Workload]
) -> None:
    # A node that comes back with smaller devices is another matter: what each of them has is not weighed again.
    was = {one.name: one for one in first}
    then = [one for one in then if one.name not in was or not has_smaller_devices(one, was[one.name])]
    found = settled(snapshot(first, early))
    names = {w.name for w in late}
    survivors = [w for w in found.workloads if w.name not in names][::2]
    assert_sound(settled(Snapshot(tuple(then), found.known_nodes, (*survivors, *late), found.priorities)))


@briefly
@given(nodes, workloads)
def test_who_waits_although_a_node_could_host_it_waits_for_somebody(
    nodes: list[Node], workloads: list[Workload]
) -> None:
    found = settled(snapshot(nodes, workloads))
    holders = [w for w in found.workloads if w.lease]
    for w in found.workloads:
        known = w.priority_class in found.priorities
        if w.phase is Phase.PENDING and known and nodes and not refusals_when_empty(w, nodes):
            assert holders
