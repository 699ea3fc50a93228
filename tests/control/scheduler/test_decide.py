"""Who gets which devices, and what the others are told."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from control.kernel.plan import EndGroup, EnsureGroup, PutSpec, PutStatus, Remove
from control.scheduler.ask import refusals_when_empty
from control.scheduler.decide import decide
from control.scheduler.state import TRANSITIONS, Eviction, Happening, Phase, Span, Workload
from tests.control.scheduler.world import GIB, after, by_name, leased, node, places, settled, snapshot, uuids, workload

FULL = workload("full", devices=3, memory=48, priority="critical-inference")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (workload(devices=5), "n0 has 4 H100, 5 are asked for"),
        (workload(devices=1, each=96), "n0 has 0 H100 with 96 GiB, 1 are asked for"),
        (workload(memory=65), "n0 has 64 GiB of memory, 65 GiB are asked for"),
        (workload(devices=2), "n0 has 1 of its 4 H100 free, 2 are asked for"),
        (workload(memory=20), "n0 has 16 of its 64 GiB of memory free, 20 GiB are asked for"),
        (
            workload(priority="urgent"),
            "there is no priority class 'urgent'; there are: batch-scoring, critical-inference, training",
        ),
    ],
    ids=["too many devices", "too little on each", "too much memory", "devices taken", "memory taken", "class"],
)
def test_every_refusal_says_what_there_is_and_what_was_asked_for(asked: Workload, reason: str) -> None:
    found = by_name(settled(snapshot([node()], [FULL, asked])))["w"]
    assert (found.phase, found.lease, found.reason) == (Phase.PENDING, None, reason)


def test_without_a_node_a_workload_waits_for_one() -> None:
    assert by_name(settled(snapshot([], [workload()])))["w"].reason == "no node has joined yet"


def test_with_several_nodes_each_says_why_it_refuses() -> None:
    found = by_name(settled(snapshot([node("n1", 1), node("n0", 2)], [workload(devices=3)])))["w"]
    assert found.reason == "n0 has 2 H100, 3 are asked for; n1 has 1 H100, 3 are asked for"


def test_a_lease_names_the_node_its_ray_id_the_resource_and_a_device_for_each_asked() -> None:
    found = by_name(settled(snapshot([node()], [workload(devices=2)])))["w"]
    assert found.lease is not None
    (piece,) = found.lease.pieces
    assert (piece.node, piece.node_id, piece.resource) == ("n0", "id-n0", "sim-gpu")
    assert piece.devices == ("SIM-n0-0", "SIM-n0-1")
    assert found.reason == "the 2 best-connected free devices of one node: n0 is where it costs the others least"


def test_a_workload_of_memory_only_gets_a_node_and_no_device() -> None:
    found = by_name(settled(snapshot([node()], [workload(devices=0, memory=8)])))["w"]
    assert found.lease is not None
    assert uuids(found) == ()


def test_the_higher_priority_goes_first_then_the_older_then_the_name() -> None:
    order = [
        workload("z-first", 4, priority="critical-inference", created_at=9.0),
        workload("older", 4, created_at=1.0),
        workload("a-same-age", 4, created_at=2.0),
        workload("b-same-age", 4, created_at=2.0),
        workload("batch", 4, priority="batch-scoring", created_at=0.0),
    ]
    for shuffled in (order, order[::-1], order[2:] + order[:2]):
        waiting = list(shuffled)
        served = []
        while waiting:
            now = by_name(settled(snapshot([node()], waiting)))
            (lucky,) = [name for name, w in now.items() if w.phase is Phase.LEASED]
            served.append(lucky)
            waiting = [w for w in waiting if w.name != lucky]
        assert served == [w.name for w in order]


def test_a_policy_changes_the_order() -> None:
    two = [workload("a", 4, priority="training"), workload("b", 4, priority="batch-scoring")]
    found = by_name(settled(snapshot([node()], two, {"training": 1, "batch-scoring": 2})))
    assert found["b"].phase is Phase.LEASED


def test_the_fullest_node_with_room_is_taken_so_that_large_workloads_still_fit() -> None:
    nodes = [node("n0", 8), node("n1", 8)]
    held = leased(workload("held", 6, priority="critical-inference"), nodes=nodes)
    found = settled(snapshot(nodes, [*held, workload("small", 2), workload("large", 8)]))
    assert places(found) == {"held": "n0", "small": "n0", "large": "n1"}


def test_a_pending_workload_of_higher_priority_does_not_take_what_is_leased() -> None:
    held = leased(workload("held", 4, priority="batch-scoring"), nodes=[node()])
    found = by_name(settled(snapshot([node()], [*held, workload("urgent", 4, priority="critical-inference")])))
    assert (found["held"].phase, found["urgent"].phase) == (Phase.LEASED, Phase.PENDING)


def test_devices_given_back_go_to_who_waits() -> None:
    held = leased(workload("held", 4), nodes=[node()])
    waiting = by_name(settled(snapshot([node()], [*held, workload("next", 4)])))["next"]
    assert waiting.phase is Phase.PENDING
    assert by_name(settled(snapshot([node()], [waiting])))["next"].phase is Phase.LEASED


def test_when_its_node_is_gone_a_workload_is_pending_again() -> None:
    held = leased(workload(devices=2), nodes=[node("n0")])
    found = by_name(settled(snapshot([node("n1", 1)], held)))["w"]
    assert (found.phase, found.lease) == (Phase.PENDING, None)


def test_when_its_node_is_gone_a_workload_moves_to_another_that_has_room() -> None:
    held = leased(workload(devices=2), nodes=[node("n0")])
    found = by_name(settled(snapshot([node("n1")], held)))["w"]
    assert uuids(found) == ("SIM-n1-0", "SIM-n1-1")


def test_when_its_node_comes_back_under_another_id_the_lease_keeps_its_devices() -> None:
    (held,) = leased(workload(devices=2), nodes=[node()])
    found = by_name(settled(snapshot([node(node_id="other")], [held])))["w"]
    assert held.lease is not None
    assert found.lease is not None
    assert [piece.node_id for piece in found.lease.pieces] == ["other"]
    assert uuids(found) == uuids(held)


def test_when_its_node_comes_back_with_fewer_devices_the_lease_ends() -> None:
    held = leased(workload(devices=3), nodes=[node()])
    found = by_name(settled(snapshot([node(devices=2)], held)))["w"]
    assert (found.phase, found.lease) == (Phase.PENDING, None)


def test_when_its_node_comes_back_with_less_memory_the_lease_ends() -> None:
    held = leased(workload(memory=48), nodes=[node()])
    found = by_name(settled(snapshot([node(memory=32)], held)))["w"]
    assert (found.phase, found.lease) == (Phase.PENDING, None)
    assert found.reason == "n0 has 32 GiB of memory, 48 GiB are asked for"


def test_when_its_node_comes_back_smaller_the_higher_priority_keeps_its_lease() -> None:
    two = [workload("low", memory=32, priority="batch-scoring"), workload("high", memory=32)]
    found = by_name(settled(snapshot([node(memory=32)], leased(*two, nodes=[node()]))))
    assert (found["high"].phase, found["low"].phase) == (Phase.LEASED, Phase.PENDING)


@pytest.mark.parametrize(
    ("devices", "memory", "reason"),
    [
        (3, 500, "n0 has 64 GiB of memory, 500 GiB are asked for"),
        (5, 0, "n0 has 4 H100, 5 are asked for"),
    ],
)
def test_a_changed_workload_does_not_keep_a_lease_that_no_longer_fits_it(
    devices: int, memory: int, reason: str
) -> None:
    (held,) = leased(workload(devices=1), nodes=[node()])
    changed = replace(held, devices=devices, memory=memory * GIB)
    found = by_name(settled(snapshot([node()], [changed])))["w"]
    assert (found.phase, found.lease, found.reason) == (Phase.PENDING, None, reason)


def test_a_changed_workload_that_still_fits_is_leased_what_it_asks_for_now() -> None:
    (held,) = leased(workload(devices=1), nodes=[node()])
    found = by_name(settled(snapshot([node()], [replace(held, devices=3, memory=GIB)])))["w"]
    assert found.lease is not None
    assert (found.phase, found.lease.devices, found.lease.pieces[0].memory) == (Phase.LEASED, 3, GIB)


def test_what_a_changed_workload_gave_up_goes_to_who_fits() -> None:
    (held,) = leased(workload("held", 4), nodes=[node()])
    found = by_name(settled(snapshot([node()], [replace(held, devices=9), workload("next", 4)])))
    assert (found["held"].phase, found["next"].phase) == (Phase.PENDING, Phase.LEASED)


def test_every_status_is_written_at_the_revision_that_was_seen() -> None:
    plan = decide(snapshot([node()], [workload()]))
    (record,) = plan.records
    assert isinstance(record, PutStatus)
    assert (record.revision, record.event) == (1, "Leased")
    (effect,) = plan.effects
    assert isinstance(effect, EnsureGroup)
    (leased,) = after(snapshot([node()], [workload()]), plan).workloads
    assert (effect.name, effect.group) == ("w", leased.group)
    assert record.status["group"] == leased.group
    assert effect.bundles == (("id-n0", {"sim-gpu": 1.0}),)


def test_a_node_that_joins_changes_or_leaves_is_written_down_once() -> None:
    old, changed, same = node("gone"), node("n1", node_id="new"), node("n2")
    before = replace(snapshot([changed, same], []), known_nodes=(old, node("n1"), same))
    joined, left = decide(before).records
    assert isinstance(joined, PutSpec)
    assert (joined.kind, joined.name, joined.event, joined.spec["node_id"]) == ("Node", "n1", "NodeChanged", "new")
    assert joined.reason == "4 simulated H100"
    assert isinstance(left, Remove)
    assert (left.kind, left.name) == ("Node", "gone")
    settled(before)


def test_what_no_node_could_ever_host_is_told_from_what_only_has_to_wait() -> None:
    nodes = [node("n0", 2), node("n1", 4)]
    assert refusals_when_empty(workload(devices=4), nodes) == ()
    assert len(refusals_when_empty(workload(devices=5), nodes)) == 2


def stopping(*, running: bool) -> Workload:
    """A holder that was told to stop."""
    (held,) = leased(workload("step.w"), nodes=[node()])
    return replace(held, phase=Phase.EVICTING, eviction=Eviction("other", 30.0), devices=9, running=running)


REACHED = {
    (Phase.PENDING, Happening.FITS): ([node()], [workload()]),
    (Phase.PENDING, Happening.DOES_NOT_FIT): ([node()], [workload(devices=9)]),
    (Phase.LEASED, Happening.HOLDS): ([node()], leased(workload(), nodes=[node()])),
    (Phase.LEASED, Happening.CHOSEN): (
        [node()],
        [replace(held, devices=9) for held in leased(workload(), nodes=[node()])],
    ),
    (Phase.LEASED, Happening.NODE_LOST): ([node("n1", 0)], leased(workload(), nodes=[node()])),
    (Phase.EVICTING, Happening.HOLDS): ([node()], [stopping(running=True)]),
    (Phase.EVICTING, Happening.STOPPED): ([node()], [stopping(running=False)]),
    (Phase.EVICTING, Happening.NODE_LOST): ([node("n1", 0)], [stopping(running=True)]),
}


@pytest.mark.parametrize(("phase", "happening"), itertools.product(Phase, Happening))
def test_every_pair_of_phase_and_happening_has_its_next_phase_or_cannot_be(phase: Phase, happening: Happening) -> None:
    assert ((phase, happening) in TRANSITIONS) == ((phase, happening) in REACHED)
    if (phase, happening) in REACHED:
        nodes, workloads = REACHED[phase, happening]
        assert workloads[0].phase is phase
        found = after(before := snapshot(nodes, workloads), decide(before)).workloads[0]
        assert found.phase is TRANSITIONS[phase, happening]


@pytest.mark.parametrize("phase", Phase)
def test_a_phase_holds_devices_exactly_when_it_has_a_lease(phase: Phase) -> None:
    assert phase.holds_devices is (phase is not Phase.PENDING)


def test_a_workload_that_now_asks_for_larger_devices_gives_up_its_lease() -> None:
    (held,) = leased(workload(devices=1), nodes=[node(each=40)])
    found = by_name(settled(snapshot([node(each=40)], [replace(held, device_memory=80 * GIB)])))["w"]
    assert found.phase is Phase.PENDING


def test_when_its_node_comes_back_with_smaller_devices_the_lease_ends() -> None:
    held = leased(workload(each=80), nodes=[node(each=80)])
    assert by_name(settled(snapshot([node(each=40)], held)))["w"].phase is Phase.PENDING


def test_a_group_of_a_former_lease_goes_before_the_new_one_is_made() -> None:
    first = settled(snapshot([node()], [workload("w", 2)]))
    anew = replace(first, workloads=(workload("w", 3),))
    plan = decide(anew)
    end, ensure = plan.effects
    assert (type(end).__name__, type(ensure).__name__) == ("EndGroup", "EnsureGroup")
    assert (end.name, ensure.name) == ("w", "w")


def test_a_group_of_a_former_lease_does_not_pass_for_that_of_the_new_one() -> None:
    """The scheduler died after it had written the new lease down, before the group of the old one was ended."""
    old = settled(snapshot([node()], [workload("w", 2)]))
    new = settled(snapshot([node()], [workload("w", 3)]))
    found = replace(new, groups=old.groups)
    plan = decide(found)
    assert [type(effect).__name__ for effect in plan.effects] == ["EndGroup", "EnsureGroup"]
    assert settled(found).groups == new.groups


def test_the_group_of_a_gang_that_lost_a_node_ends_after_its_grace_and_the_gang_waits_again() -> None:
    nodes = [node("n0"), node("n1")]
    (gang,) = leased(workload("gang", 8, span=Span.CLUSTER), nodes=nodes)
    found = replace(snapshot(nodes[1:], [replace(gang, running=True)], now=9.0), groups={gang.group: True})
    plan = decide(found)
    assert plan.effects == ()
    (told,) = after(found, plan).workloads
    overdue = replace(found, workloads=(replace(told, running=True),), now=9.0 + gang.grace)
    (effect,) = decide(overdue).effects
    assert isinstance(effect, EndGroup)
    ended = replace(overdue, workloads=(replace(told, running=False), workload("next", 4)), groups={})
    assert places(settled(ended)) == {"next": "n1"}


def test_a_group_that_no_lease_asks_for_is_removed() -> None:
    (effect,) = decide(replace(snapshot([node()], []), groups={"leaked": True})).effects
    assert (type(effect).__name__, effect.name) == ("EndGroup", "leaked")
