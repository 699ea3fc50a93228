"""What becomes of a holder: it keeps its lease, has to stop, or has lost it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from control.scheduler.decide import decide
from control.scheduler.hold import BIND_SECONDS, hold
from control.scheduler.state import Eviction, Lease, Node, Phase, Snapshot, Span, Workload
from tests.control.scheduler.world import GIB, after, by_name, leased, node, places, settled, sliced, snapshot, workload

TWO = [node("n0"), node("n1")]
INFERENCE = "critical-inference"


def held(asked: Workload, nodes: Iterable[Node]) -> Workload:
    """The workload with its lease, running."""
    (found,) = leased(asked, nodes=nodes)
    assert found.lease is not None
    return replace(found, running=True, bound=True)


def seen(holder: Workload, nodes: Iterable[Node], now: float = 9.0) -> Workload:
    return hold(holder, {one.name: one for one in nodes}, now)


def gang() -> Workload:
    return held(workload("gang", 8, span=Span.CLUSTER), TWO)


def test_a_gang_that_lost_a_node_keeps_the_devices_of_its_survivors_until_they_have_stopped() -> None:
    told = seen(gang(), TWO[1:])
    assert (told.phase, told.lease, told.reason) == (Phase.EVICTING, gang().lease, "has to stop: n0 is gone")
    assert seen(told, TWO[1:]).phase is Phase.EVICTING
    stopped = seen(replace(told, running=False), TWO[1:])
    assert (stopped.phase, stopped.lease, stopped.evictions) == (Phase.PENDING, None, 0)


def test_nobody_gets_the_devices_of_survivors() -> None:
    found = snapshot(TWO[1:], [gang(), workload("next", 4)], now=9.0)
    told = after(found, decide(found))
    lingering = replace(told, workloads=tuple(replace(w, running=w.name == "gang") for w in told.workloads))
    assert places(after(lingering, decide(lingering))) == {"gang": "n0+n1"}
    assert places(settled(told)) == {"next": "n1"}


@pytest.mark.parametrize(("nodes", "running"), [([], True), (TWO[1:], False)], ids=["all nodes gone", "not running"])
def test_a_gang_of_which_nothing_runs_waits_again_at_once(nodes: list[Node], running: bool) -> None:
    found = seen(replace(gang(), running=running), nodes)
    assert (found.phase, found.lease, found.reason) == (Phase.PENDING, None, "n0 is gone")


def test_a_gang_that_was_told_to_stop_and_loses_a_node_still_holds_the_others() -> None:
    told = replace(gang(), phase=Phase.EVICTING, eviction=Eviction("boss", 30.0))
    assert seen(told, TWO[:1]) == told


def test_who_stopped_for_no_other_is_not_said_to_have_stopped_for_somebody() -> None:
    told = replace(seen(gang(), TWO[1:]), running=False)
    assert seen(told, TWO).reason == "stopped"
    for_boss = replace(told, eviction=Eviction("boss", 30.0))
    assert (seen(for_boss, TWO).reason, seen(for_boss, TWO).evictions) == ("stopped for boss", 1)


def test_when_its_node_comes_back_under_another_id_ray_has_time_to_place_it_anew() -> None:
    holder = held(workload(), [node()])
    moved = seen(holder, [node(node_id="new")], now=1000.0)
    assert moved.lease is not None
    assert ([piece.node_id for piece in moved.lease.pieces], moved.lease.since) == (["new"], 1000.0)
    waiting = replace(moved, bound=False)
    assert seen(waiting, [node(node_id="new")], now=1000.0 + BIND_SECONDS - 1) == waiting
    assert seen(waiting, [node(node_id="new")], now=1000.0 + BIND_SECONDS).eviction is not None


@pytest.mark.parametrize("running", [True, False], ids=["Ray does not place its group", "its group cannot be made"])
def test_a_lease_that_does_not_bind_ends(running: bool) -> None:
    holder = replace(held(workload(), [node()]), bound=False, running=running, unbound_since=100.0)
    assert seen(holder, [node()], now=100.0 + BIND_SECONDS - 1) == holder, "counted from when it was first seen so"
    found = seen(holder, [node()], now=100.0 + BIND_SECONDS)
    assert (found.phase, found.failed_binds) == (Phase.EVICTING, 1)


def test_a_group_that_can_never_be_made_does_not_keep_a_lease_for_ever() -> None:
    now = snapshot([node()], [workload()])
    for _ in range(4):
        now = replace(without_groups(after(now, decide(now))), now=now.now + BIND_SECONDS)
    assert by_name(now)["w"].failed_binds >= 1


def without_groups(found: Snapshot) -> Snapshot:
    workloads = tuple(replace(w, running=False, bound=not w.group) for w in found.workloads)
    return replace(found, groups={}, workloads=workloads)


def test_once_it_is_bound_and_runs_its_failures_are_forgotten() -> None:
    holder = replace(held(workload(), [node()]), failed_binds=4)
    assert seen(holder, [node()]).failed_binds == 0
    assert seen(replace(holder, bound=False), [node()]).failed_binds == 4
    assert seen(replace(holder, running=False), [node()]).failed_binds == 4


@pytest.mark.parametrize(
    ("asked", "nodes", "change"),
    [
        (workload(devices=2), [node()], {"models": frozenset({"A100"})}),
        (workload(devices=4, replicas=2, priority=INFERENCE), [node()], {"replicas": 4}),
        (workload(devices=8, span=Span.CLUSTER), TWO, {"span": Span.NODE}),
        (workload(slice="1g.10gb", priority=INFERENCE), [sliced("n0", "1g.10gb")], {"memory": 50 * GIB}),
        (workload(slice="1g.10gb", priority=INFERENCE), [sliced("n0", "1g.10gb")], {"cpu": 1000}),
        (workload(slice="1g.10gb", priority=INFERENCE), [sliced("n0", "1g.10gb")], {"models": frozenset({"A100"})}),
        (workload(slice="1g.10gb", priority=INFERENCE), [sliced("n0", "1g.10gb")], {"slice": "2g.20gb"}),
        (workload(devices=2), [node()], {"cpu": 1000}),
    ],
    ids=[
        "models",
        "replicas",
        "span",
        "memory beside a slice",
        "CPU beside a slice",
        "model of a slice",
        "slice",
        "CPU",
    ],
)
def test_who_asks_for_something_else_under_a_lease_has_to_stop(
    asked: Workload, nodes: list[Node], change: dict[str, Any]
) -> None:
    holder = held(asked, nodes)
    assert seen(holder, nodes) == holder
    assert seen(replace(holder, **change), nodes).eviction is not None


def test_the_model_that_does_not_do_any_more_is_named() -> None:
    found = seen(replace(held(workload(), [node()]), models=frozenset({"A100", "B200"})), [node()])
    assert found.reason == "has to stop: it asks for A100 or B200, n0 has H100"


@pytest.mark.parametrize("pieces", [1, 0])
def test_who_cannot_be_read_any_more_keeps_what_it_holds(pieces: int) -> None:
    holder = held(workload(devices=2, cpu=2000, memory=4), [node()])
    assert holder.lease is not None
    unread = replace(holder, readable=False, devices=7, cpu=0, memory=0, lease=Lease(holder.lease.pieces[:pieces]))
    assert seen(unread, [node()]) == unread
    assert seen(unread, [node(cordon="new fans", drain=True)]).eviction or not pieces


def test_who_cannot_be_read_any_more_gets_nothing_new() -> None:
    unread = replace(workload(), readable=False)
    assert places(settled(snapshot([node()], [unread]))) == {}
