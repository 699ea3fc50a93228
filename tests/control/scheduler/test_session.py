"""Whose turn it is, who may go ahead, who has to stop, and what was promised."""

from __future__ import annotations

from dataclasses import replace

from control.scheduler.decide import decide
from control.scheduler.state import Device, Lease, Phase, Queue, SliceProfile, Snapshot, Span, Workload
from tests.control.scheduler.world import (
    GIB,
    after,
    by_name,
    leased,
    node,
    places,
    settled,
    sliced,
    snapshot,
    uuids,
    workload,
)

HIGH, MIDDLE, LOW = "critical-inference", "training", "batch-scoring"


def holding(*workloads: Workload, devices: int = 8, since: float = 0.0) -> tuple[Workload, ...]:
    held = leased(*workloads, nodes=[node(devices=devices)])
    return tuple(replace(w, lease=Lease(w.lease.pieces, since)) if w.lease else w for w in held)


def test_who_stands_behind_the_head_may_go_ahead_only_where_it_delays_nothing() -> None:
    """The head needs all eight devices, which come free at 100: who ends by then may pass, who does not may not."""
    held = holding(workload("held", 6, duration=100.0))
    head = workload("head", 8, created_at=1.0)
    short = workload("short", 1, created_at=2.0, duration=50.0)
    long = workload("long", 1, created_at=3.0, duration=500.0)
    endless = workload("endless", 1, created_at=4.0)
    found = settled(snapshot([node(devices=8)], [*held, head, short, long, endless]))
    assert places(found) == {"held": "n0", "short": "n0"}


def test_what_the_head_does_not_wait_for_is_open_to_all() -> None:
    held = holding(workload("held", 6))
    head = workload("head", 8, created_at=1.0)
    found = settled(snapshot([node(devices=8), node("n1", 2)], [*held, head, workload("small", 2, created_at=2.0)]))
    assert places(found) == {"held": "n0", "small": "n1"}


def test_without_backfill_nobody_goes_ahead_of_the_head() -> None:
    held = holding(workload("held", 6))
    waiting = [workload("head", 8, created_at=1.0), workload("small", 1, created_at=2.0)]
    found = settled(snapshot([node(devices=8), node("n1", 2)], [*held, *waiting], backfill=False))
    assert places(found) == {"held": "n0"}
    assert by_name(found)["small"].reason == "waits behind the head of the queue"


def test_who_is_out_of_patience_goes_ahead_of_every_class() -> None:
    old = workload("old", 4, priority=LOW, created_at=0.0)
    urgent = workload("urgent", 4, priority=HIGH, created_at=900.0)
    for patience, served in ((1001.0, "urgent"), (999.0, "old")):
        found = settled(snapshot([node()], [old, urgent], now=1000.0, patience=patience))
        assert list(places(found)) == [served]


def test_with_preemption_the_lower_class_stops_and_goes_on_later() -> None:
    held = holding(workload("low", 8, priority=LOW))
    before = snapshot([node(devices=8)], [*held, workload("high", 4, priority=HIGH)], preemption=True)
    told = after(before, decide(before))
    low, high = by_name(told)["low"], by_name(told)["high"]
    assert low.phase is Phase.EVICTING
    assert low.eviction is not None
    assert (low.eviction.by, low.eviction.deadline) == ("high", 30.0)
    assert low.lease == held[0].lease, "it holds its devices until it has stopped"
    assert (high.phase, high.reason) == (Phase.PENDING, "waits for low to stop")
    found = settled(told)
    assert places(found) == {"high": "n0"}
    assert by_name(found)["low"].evictions == 1


def test_without_preemption_nobody_has_to_stop() -> None:
    held = holding(workload("low", 8, priority=LOW))
    found = settled(snapshot([node(devices=8)], [*held, workload("high", 4, priority=HIGH)]))
    assert places(found) == {"low": "n0"}


def test_a_victim_that_is_slow_to_stop_is_waited_for_and_nobody_else_is_taken() -> None:
    held = holding(workload("a", 4, priority=LOW), workload("b", 4, priority=LOW))
    now = snapshot([node(devices=8)], [*held, workload("high", 4, priority=HIGH)], preemption=True)
    for _ in range(5):
        now = after(now, decide(now))
        lingering = tuple(replace(w, running=True) if w.eviction else w for w in now.workloads)
        now = replace(now, workloads=lingering, groups={**now.groups, "a": True, "b": True})
    assert sorted(w.phase.value for w in now.workloads) == ["Evicting", "Leased", "Pending"]


def test_what_was_freed_for_one_is_not_taken_by_another_of_its_class() -> None:
    held = holding(workload("low", 8, priority=LOW))
    before = snapshot([node(devices=8)], [*held, workload("first", 8, priority=HIGH, created_at=5.0)], preemption=True)
    told = after(before, decide(before))
    older = workload("older", 8, priority=HIGH, created_at=1.0)
    found = settled(replace(told, workloads=(*told.workloads, older)))
    assert list(places(found)) == ["first"]


def test_a_higher_class_that_comes_later_takes_what_was_freed_for_a_lower_one() -> None:
    held = holding(workload("low", 8, priority=LOW))
    before = snapshot([node(devices=8)], [*held, workload("middle", 8, priority=MIDDLE)], preemption=True)
    told = after(before, decide(before))
    found = settled(replace(told, workloads=(*told.workloads, workload("high", 8, priority=HIGH))))
    assert list(places(found)) == ["high"]


def test_the_fewest_and_cheapest_have_to_stop() -> None:
    """One holder of four rather than four of one; of two alike the one that loses less work."""
    held = holding(
        *(workload(f"one{i}", 1, priority=LOW) for i in range(4)), workload("four", 4, priority=LOW), devices=8
    )
    found = settled(snapshot([node(devices=8)], [*held, workload("high", 4, priority=HIGH)], preemption=True))
    assert "four" not in places(found)
    old, new = holding(workload("old", 4, priority=LOW)), workload("new", 4, priority=LOW)
    both = settled(snapshot([node(devices=8)], [*old, new], now=50.0)).workloads
    found = settled(
        snapshot([node(devices=8)], [*both, workload("high", 4, priority=HIGH)], preemption=True, now=100.0)
    )
    assert set(places(found)) == {"old", "high"}


def test_who_checkpoints_loses_nothing_and_is_taken_first() -> None:
    two = holding(workload("saves", 4, checkpoints=True), workload("does-not", 4))
    found = settled(snapshot([node(devices=8)], [*two, workload("high", 4, priority=HIGH)], preemption=True, now=9.0))
    assert set(places(found)) == {"does-not", "high"}


def test_who_may_not_be_preempted_and_who_was_often_enough_stay() -> None:
    for spared in ({"preemptible": False}, {"evictions": 5}):
        held = holding(replace(workload("low", 8, priority=LOW), **spared))
        found = settled(snapshot([node(devices=8)], [*held, workload("high", 4, priority=HIGH)], preemption=True))
        assert list(places(found)) == ["low"]


def test_a_gang_clears_several_nodes_when_it_has_to() -> None:
    nodes = [node("a", 4), node("b", 4)]
    held = leased(*(workload(f"low{i}", 2, priority=LOW) for i in range(4)), nodes=nodes)
    gang = workload("gang", 8, span=Span.CLUSTER)
    found = settled(snapshot(nodes, [*held, gang], preemption=True))
    assert places(found) == {"gang": "a+b"}


def test_a_tenant_claims_its_quota_back_from_who_borrowed_it() -> None:
    queues = (Queue("all"), Queue("ours", "all", 4), Queue("theirs", "all", 4))
    held = leased(
        workload("own", 4, queue="theirs", created_at=0.0),
        workload("borrowed", 4, queue="theirs", created_at=1.0),
        nodes=[node(devices=8)],
        queues=queues,
    )
    claim = workload("claim", 4, queue="ours", created_at=2.0)
    found = settled(snapshot([node(devices=8)], [*held, claim], queues=queues, preemption=True))
    assert "claim" in places(found)
    assert len(places(found)) == 2


def test_no_more_is_claimed_back_than_was_borrowed() -> None:
    queues = (Queue("all"), Queue("ours", "all", 8), Queue("theirs", "all", 4))
    singles = [workload(f"w{i}", queue="theirs") for i in range(6)]
    held = leased(*singles, nodes=[node(devices=8)], queues=queues)
    claim = workload("claim", 8, queue="ours", created_at=1.0)
    found = settled(snapshot([node(devices=8), node("n1", 4)], [*held, claim], queues=queues, preemption=True))
    assert len(places(found)) == 6, "two stop, and eight devices of one node are still not free"


def test_elastic_training_claims_back_its_least_and_leaves_the_others_their_own() -> None:
    queues = (Queue("all"), Queue("ours", "all", 4), Queue("theirs", "all", 4))
    singles = [workload(f"w{i}", queue="theirs") for i in range(8)]
    held = leased(*singles, nodes=[node(devices=8)], queues=queues)
    elastic = workload("elastic", 8, least=2, queue="ours", created_at=1.0)
    found = settled(snapshot([node(devices=8)], [*held, elastic], queues=queues, preemption=True))
    assert (len(uuids(by_name(found)["elastic"])), len(places(found))) == (2, 7)


def test_elastic_training_with_more_devices_than_quota_still_makes_lower_work_of_its_queue_stop() -> None:
    queues = (Queue("ours", quota=4),)
    singles = [workload(f"w{i}", priority=LOW, queue="ours") for i in range(4)]
    held = leased(*singles, nodes=[node()], queues=queues)
    elastic = workload("elastic", 8, least=2, queue="ours", created_at=1.0)
    found = settled(snapshot([node()], [*held, elastic], queues=queues, preemption=True))
    assert len(uuids(by_name(found)["elastic"])) == 2


def test_the_quota_that_victims_give_back_is_for_whom_they_stopped() -> None:
    """The first of two victims has stopped: it does not get its quota back on another node while the second stops."""
    queues = (Queue("all"), Queue("ours", "all", 4), Queue("theirs", "all", 4))
    nodes = [node(), node("n1"), node("n2", 2)]
    held = leased(*(workload(f"w{i}", 2, queue="theirs") for i in range(4)), nodes=nodes[:2], queues=queues)
    claim = workload("claim", 4, queue="ours", created_at=1.0)
    told = snapshot(nodes, [*held, claim], queues=queues, preemption=True, now=5.0)
    told = after(told, decide(told))
    slow = next(w.name for w in told.workloads if w.eviction)
    still = tuple(replace(w, running=w.name == slow) if w.eviction else w for w in told.workloads)
    found = after(told, decide(replace(told, workloads=still, now=6.0)))
    assert sum(w.eviction is not None for w in found.workloads) == 1
    assert len(places(found)) == 3


def test_two_of_one_shape_have_victims_of_their_own() -> None:
    nodes = [node("a", 1), node("b", 1)]
    held = leased(*(workload(f"low{i}", priority=LOW) for i in range(2)), nodes=nodes)
    high = [workload(f"high{i}", priority=HIGH) for i in range(2)]
    before = snapshot(nodes, [*held, *high], preemption=True)
    told = after(before, decide(before))
    assert all(w.eviction for w in told.workloads if w.priority_class == LOW)


def test_whoever_others_stop_for_takes_what_comes_free_before() -> None:
    held = holding(workload("low", 1, priority=LOW), devices=1)
    before = snapshot([node(devices=1)], [*held, workload("high", priority=HIGH)], preemption=True)
    told = after(before, decide(before))
    busy = tuple(replace(w, running=w.name == "low") for w in told.workloads)
    joined = replace(told, workloads=busy, nodes=(node(devices=1), node("n1", 1)))
    found = after(joined, decide(joined))
    assert places(found)["high"] == "n1"


def test_what_was_freed_on_a_node_that_is_cordoned_since_is_given_to_nobody() -> None:
    held = holding(workload("low", 4, priority=LOW), devices=4)
    told = snapshot([node()], [*held, workload("high", 4, priority=HIGH)], preemption=True)
    told = after(told, decide(told))
    assert by_name(told)["high"].nominated
    cordoned = replace(told, nodes=(replace(node(), cordon="by hand"), node("n1")))
    assert places(settled(cordoned))["high"] == "n1"


def test_what_was_freed_for_a_workload_that_asks_for_something_else_since_is_not_given_to_it() -> None:
    held = holding(workload("low", 4, priority=LOW), devices=4)
    told = snapshot([node()], [*held, workload("high", 4, priority=HIGH)], preemption=True)
    told = after(told, decide(told))
    changed = tuple(replace(w, devices=2) if w.name == "high" else w for w in told.workloads)
    found = by_name(settled(replace(told, workloads=changed)))
    assert len(uuids(found["high"])) == 2


def test_a_gang_is_not_starved_of_its_quota_by_a_stream_of_small_work() -> None:
    queues = (Queue("ours", quota=4),)
    held = leased(*(workload(f"w{i}", queue="ours") for i in range(4)), nodes=[node()], queues=queues)
    gang = workload("gang", 4, queue="ours", created_at=1.0)
    small = workload("small", queue="ours", created_at=2.0, priority=HIGH)
    for now, served in ((500.0, True), (1001.0, False)):
        before = snapshot([node()], [*held[1:], gang, small], queues=queues, patience=1000.0, now=now)
        found = by_name(settled(before))["small"]
        assert (found.lease is not None) is served
    assert found.reason == "waits behind gang, which has waited long enough for the same quota"


def test_who_went_ahead_of_every_class_is_not_stopped_in_the_same_round() -> None:
    old = workload("old", 4, priority=LOW)
    urgent = workload("urgent", 4, priority=HIGH, created_at=900.0)
    before = snapshot([node()], [old, urgent], now=1000.0, patience=999.0, preemption=True)
    found = by_name(after(before, decide(before)))
    assert (found["old"].phase, found["old"].eviction) == (Phase.LEASED, None)


def test_who_holds_through_a_queue_that_is_gone_can_be_preempted() -> None:
    held = holding(workload("low", 8, priority=LOW, queue="gone"))
    high = workload("high", 8, priority=HIGH)
    found = settled(snapshot([node(devices=8)], [*held, high], queues=(Queue("other"),), preemption=True))
    assert list(places(found)) == ["high"]


def test_elastic_training_at_its_quota_does_not_start_again_for_nothing() -> None:
    queues = (Queue("ours", quota=2),)
    before = settled(
        snapshot([node(devices=8)], [workload("w", 4, least=1, queue="ours", checkpoints=True)], queues=queues)
    )
    assert not decide(replace(before, now=601.0)).records


def test_elastic_training_grows_although_somebody_waits_whom_no_device_helps() -> None:
    small = settled(snapshot([node(devices=2)], [workload("w", 4, least=1, checkpoints=True)]))
    for waits, size in ((workload("hopeless", 16), 4), (workload("next", 7), 2)):
        grown = replace(small, nodes=(node(devices=8),), workloads=(*small.workloads, waits), now=601.0)
        assert len(uuids(by_name(settled(grown))["w"])) == size


def test_elastic_training_gets_no_more_than_its_quota() -> None:
    queues = (Queue("ours", quota=3),)
    found = settled(snapshot([node(devices=8)], [workload("w", 8, least=1, queue="ours")], queues=queues))
    (held,) = found.workloads
    assert len(uuids(held)) == 3


def test_elastic_training_grows_when_devices_stand_idle_for_long() -> None:
    small = settled(snapshot([node(devices=2)], [workload("w", 4, least=1, checkpoints=True)]))
    grown = replace(small, nodes=(node(devices=8),))
    assert places(settled(replace(grown, now=599.0))) == {"w": "n0"}
    assert len(uuids(settled(replace(grown, now=599.0)).workloads[0])) == 2
    found = settled(replace(grown, now=601.0)).workloads[0]
    assert (len(uuids(found)), found.evictions) == (4, 0)


def test_shares_are_for_inference_unless_the_configuration_says_otherwise() -> None:
    from control.scheduler.state import Sharing

    half = workload("half", milli=500, each=20)
    (refused,) = settled(snapshot([node()], [half], sharing=Sharing(4))).workloads
    assert refused.reason == "shares of a device are for inference: other work needs whole devices"
    (held,) = settled(snapshot([node()], [half], sharing=Sharing(4, training=True))).workloads
    assert held.phase is Phase.LEASED


def in_trouble(before: Snapshot, uuid: str, trouble: str) -> Snapshot:
    def hit(device: Device) -> Device:
        return replace(device, trouble=trouble) if device.uuid == uuid else device

    return replace(before, nodes=tuple(replace(n, devices=tuple(hit(d) for d in n.devices)) for n in before.nodes))


def test_a_device_that_fails_is_left_and_comes_back_when_it_is_healthy() -> None:
    before = settled(snapshot([node(devices=2)], [workload("w", 1)]))
    (failed,) = uuids(before.workloads[0])
    during = settled(in_trouble(before, failed, "XID 79: GPU has fallen off the bus"))
    moved = during.workloads[0]
    assert failed not in uuids(moved)
    assert moved.evictions == 0, "nobody was preferred to it"
    both = settled(replace(in_trouble(during, failed, ""), workloads=(*during.workloads, workload("next", 1))))
    assert len(places(both)) == 2


def test_a_cordoned_node_keeps_what_runs_and_a_drained_one_does_not() -> None:
    before = settled(snapshot([node("a"), node("b")], [workload("w", 4)]))
    here = before.workloads[0].lease
    assert here is not None
    cordoned = tuple(replace(n, cordon="by hand") if n.name in here.nodes else n for n in before.nodes)
    assert places(settled(replace(before, nodes=cordoned))) == places(before)
    drained = tuple(replace(n, drain=bool(n.cordon)) for n in cordoned)
    assert set(places(settled(replace(before, nodes=drained))).values()) == {"b"}


def test_what_ray_gave_to_others_is_left_alone() -> None:
    found = settled(snapshot([node(devices=4, foreign=3)], [workload("w", 2), workload("v", 1)]))
    assert list(places(found)) == ["v"]


def test_a_slice_counts_in_its_quota_with_its_part_of_a_device() -> None:
    profile = SliceProfile("1g.10gb", 40.0, 1.0, GIB)
    asks = [workload(f"p{i}", priority=HIGH, queue="q", latency_ms=50.0, profiles=(profile,)) for i in range(3)]
    found = settled(snapshot([sliced("m", "1g.10gb", "1g.10gb"), node()], asks, queues=(Queue("q", quota=1),)))
    assert places(found) == {"p0": "m", "p1": "m"}, "a whole device for the third would be too much"
    assert "queue q uses 0.25 of its 1 devices, 1 more are asked for" in by_name(found)["p2"].reason
