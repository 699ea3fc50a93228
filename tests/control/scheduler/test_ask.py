"""What a workload asks of the nodes, and what is said when it could never be had."""

from __future__ import annotations

from dataclasses import replace

from control.scheduler.ask import ask_of, refusals_when_empty, wanted
from control.scheduler.state import Ask, Device, Kind, Node, Slice, SliceProfile, Span, Workload
from control.specs.workload import SliceProfile as DeclaredProfile
from control.specs.workload import WorkloadSpec

GIB = 1 << 30


def node(name: str, devices: int = 8, model: str = "H100-80GB", memory: int = 512, cores: int = 64) -> Node:
    """`memory` in GiB."""
    found = tuple(Device(f"SIM-{name}-{index}", 80 * GIB) for index in range(devices))
    return Node(name, f"id-{name}", "sim-gpu", model, "nvswitch", found, memory * GIB, simulated=True, cpu=cores * 1000)


def job(devices: int = 1, kind: Kind = Kind.TRAINING, span: Span = Span.CLUSTER, memory: int = 0) -> Workload:
    """`memory` in GiB."""
    return Workload("w", 1, kind, devices, memory * GIB, 0, "training", 0.0, span=span)


def test_a_piece_takes_cpu_and_memory_in_proportion_rounded_up() -> None:
    workload = replace(job(3), cpu=1000, memory=10, device_memory=5, models=frozenset({"H100"}))
    assert ask_of(workload, 3) == Ask(3, 1000, 5, 1000, 10, frozenset({"H100"}))
    assert ask_of(workload, 1) == Ask(1, 1000, 5, 334, 4, frozenset({"H100"}))


def test_a_workload_without_devices_is_divided_by_its_replicas() -> None:
    assert ask_of(replace(job(0), cpu=1000, memory=10, replicas=4), 0) == Ask(cpu=250, memory=3)


def test_a_share_asks_for_its_part() -> None:
    assert ask_of(replace(job(2), milli=250, device_memory=7), 1) == Ask(1, 250, 7)


def test_what_a_specification_asks_for_is_in_the_scheduler_s_units() -> None:
    profile = DeclaredProfile(slice="1g.10gb", latency_ms=20, requests_per_second=5, memory=7)
    inference = WorkloadSpec(
        type="inference",
        devices=2,
        replicas=2,
        cpus=1.5,
        gpu_models=("A100", "H100"),
        latency_ms=30,
        requests_per_second=8,
        profiles=(profile,),
        queue="product",
        duration=90.0,
    )
    found = wanted("chat", inference)
    assert (found.kind, found.replicas, found.cpu) == (Kind.INFERENCE, 2, 1500)
    assert found.models == frozenset({"A100", "H100"})
    assert (found.latency_ms, found.requests_per_second) == (30, 8)
    assert found.profiles == (SliceProfile("1g.10gb", 20, 5, 7),)
    assert (found.queue, found.duration, found.span, found.checkpoints) == ("product", 90.0, Span.NODE, False)
    training = wanted("tune", WorkloadSpec(type="training", devices=8, least=2))
    assert (training.least, training.span, training.checkpoints, training.grace) == (2, Span.CLUSTER, True, 30.0)


def test_a_share_is_never_rounded_up_to_more_than_was_asked_for() -> None:
    for share, milli in ((0.29, 290), (0.57, 570), (0.3333, 333), (0.9999, 999), (0.001, 1)):
        assert wanted("s", WorkloadSpec(type="inference", share=share, device_memory=1)).milli == milli


def test_without_nodes_nothing_is_refused() -> None:
    assert refusals_when_empty(job(100), ()) == ()


def test_what_keeps_a_node_closed_for_now_does_not_count() -> None:
    closed = replace(node("a", 2), cordon="maintenance", foreign=2)
    closed = replace(closed, devices=tuple(replace(device, trouble="XID 79") for device in closed.devices))
    assert refusals_when_empty(job(2), [closed]) == ()


def test_each_node_has_its_reason() -> None:
    nodes = [node("b", 4), node("a", 8, memory=4), node("c", 8, cores=1)]
    workload = replace(job(8, span=Span.NODE, memory=16), cpu=4000)
    assert refusals_when_empty(workload, nodes) == (
        "a has 4 GiB of memory, 16 GiB are asked for",
        "b has 4 H100-80GB, 8 are asked for",
        "c has 1 CPUs, 4 are asked for",
    )


def test_the_reasons_of_many_nodes_are_counted() -> None:
    nodes = [node(f"n{n}", 4) for n in range(30)] + [node(f"v{n}", 8, "V100") for n in range(3)]
    workload = replace(job(8, span=Span.NODE), models=frozenset({"H100-80GB"}))
    assert refusals_when_empty(workload, nodes) == (
        "30 nodes: has 4 H100-80GB, 8 are asked for",
        "3 nodes: has V100, H100-80GB is asked for",
    )


def test_a_gang_may_be_as_large_as_its_span_has_devices() -> None:
    nodes = [replace(node("a"), rack="r1"), replace(node("b"), rack="r1"), replace(node("c"), rack="r2")]
    assert refusals_when_empty(job(24), nodes) == ()
    assert refusals_when_empty(job(25), nodes) == ("the cluster has 24 devices for it, 25 are asked for",)
    assert refusals_when_empty(job(16, span=Span.RACK), nodes) == ()
    assert refusals_when_empty(job(17, span=Span.RACK), nodes) == (
        "rack r1 has 16 devices for it, 17 are asked for",
        "rack r2 has 8 devices for it, 17 are asked for",
    )


def test_a_node_gives_a_gang_no_more_devices_than_its_memory_is_good_for() -> None:
    nodes = [node("a", memory=32), node("b", memory=32)]
    assert refusals_when_empty(job(16, memory=64), nodes) == ()
    assert refusals_when_empty(job(16, memory=128), nodes) == ("the cluster has 8 devices for it, 16 are asked for",)


def test_a_gang_for_which_no_node_has_anything_gets_each_node_s_reason() -> None:
    workload = replace(job(4), models=frozenset({"H200"}))
    assert refusals_when_empty(workload, [node("a")]) == ("a has H100-80GB, H200 is asked for",)


def test_elastic_training_needs_only_its_least() -> None:
    assert refusals_when_empty(replace(job(100), least=8), [node("a")]) == ()


def test_training_without_devices_still_needs_its_memory() -> None:
    assert refusals_when_empty(job(0, memory=600), [node("a"), node("b")]) != ()
    assert refusals_when_empty(job(0, memory=500), [node("a")]) == ()


def test_every_replica_has_to_fit_a_node_and_all_of_them_the_cluster() -> None:
    inference = replace(job(12, Kind.INFERENCE, Span.NODE), replicas=3)
    assert refusals_when_empty(inference, [node("a"), node("b")]) == ()
    assert refusals_when_empty(inference, [node("a", 7)]) == (
        "the cluster has room for 1 such replicas, 3 are asked for",
    )
    assert refusals_when_empty(inference, [node("a", 3)]) == ("a has 3 H100-80GB, 4 are asked for",)


def test_shares_are_counted_by_time_and_by_memory() -> None:
    shares = replace(job(5, Kind.INFERENCE, Span.NODE), replicas=5, milli=250, device_memory=10 * GIB)
    assert refusals_when_empty(shares, [node("a", 2)]) == ()
    assert refusals_when_empty(shares, [node("a", 1)])
    assert refusals_when_empty(replace(shares, device_memory=30 * GIB), [node("a", 2)])


def sliced(profile: str) -> Workload:
    return replace(job(1, Kind.INFERENCE, Span.NODE), slice=profile)


def test_a_slice_needs_a_node_that_is_cut_or_may_be() -> None:
    whole = node("a")
    assert refusals_when_empty(sliced("1g.10gb"), [whole]) == (
        "a is not cut into slices: it has no label nvidia.com/mig.config or biplane.io/mig",
    )
    assert refusals_when_empty(sliced("1g.10gb"), [whole, replace(whole, name="b", carve=True)]) == ()
    assert refusals_when_empty(sliced("1g.10gb"), [replace(whole, layout="mixed")]) == ()


def test_a_slice_that_the_device_does_not_have_is_told_with_the_nearest_that_it_has() -> None:
    assert refusals_when_empty(sliced("3g.20gb"), [replace(node("a"), carve=True)]) == (
        "a has H100-80GB, which has no 3g.20gb; it has 3g.40gb",
    )
    assert refusals_when_empty(sliced("1g.10gb"), [replace(node("v", model="V100"), carve=True)]) == (
        "v has V100, which has no 1g.10gb",
    )


def test_a_slice_that_is_not_in_the_declared_layout_is_refused() -> None:
    cut = replace(node("a"), layout="mixed")
    layouts = {"mixed": {-1: {"3g.40gb": 2}}}
    assert refusals_when_empty(sliced("3g.40gb"), [cut], layouts) == ()
    assert refusals_when_empty(sliced("1g.10gb"), [cut], layouts) == (
        "a has the layout mixed, in which there is no 1g.10gb",
    )


def test_a_slice_of_a_model_that_no_node_has_is_refused() -> None:
    asked = replace(sliced("1g.10gb"), models=frozenset({"A100"}))
    assert refusals_when_empty(asked, [replace(node("a"), carve=True)]) == ("a has H100-80GB, A100 is asked for",)


def test_a_slice_that_is_too_small_is_refused_with_the_nearest_that_is_not() -> None:
    cut = replace(node("a"), carve=True)
    assert refusals_when_empty(replace(sliced("1g.10gb"), device_memory=9 * GIB), [cut]) == ()
    assert refusals_when_empty(replace(sliced("1g.10gb"), device_memory=30 * GIB), [cut]) == (
        "a has 1g.10gb slices with 9.6 GiB each, 30 GiB are asked for; 3g.40gb has enough",
    )
    assert refusals_when_empty(replace(sliced("1g.10gb"), device_memory=90 * GIB), [cut]) == (
        "a has 1g.10gb slices with 9.6 GiB each, 90 GiB are asked for",
    )


def test_a_slice_needs_host_memory_too() -> None:
    asked = replace(sliced("1g.10gb"), memory=16 * GIB)
    assert refusals_when_empty(asked, [replace(node("a", memory=4), carve=True)]) == (
        "a has 4 GiB of memory, 16 GiB are asked for",
    )


def test_there_are_no_more_slices_than_the_devices_can_be_cut_into() -> None:
    asked = replace(sliced("3g.40gb"), devices=5, replicas=5)
    told = ("the cluster has room for 4 such replicas, 5 are asked for",)
    carved, declared = replace(node("a", 2), carve=True), replace(node("a", 2), layout="mixed")
    layouts = {"mixed": {0: {"3g.40gb": 1}, -1: {"3g.40gb": 2}}}
    assert refusals_when_empty(asked, [carved]) == told
    assert refusals_when_empty(asked, [declared]) == told
    assert refusals_when_empty(asked, [declared], layouts) == (told[0].replace("for 4", "for 3"),)
    assert refusals_when_empty(replace(asked, devices=4, replicas=4), [carved]) == ()


def test_who_would_do_with_a_slice_is_not_refused_because_no_device_is_whole() -> None:
    device = Device("SIM-a-0", 80 * GIB, mig=True, slices=(Slice("1g.10gb", 0, "MIG-a"),))
    cut = replace(node("a", 0), devices=(device,))
    served = replace(job(1, Kind.INFERENCE, Span.NODE), latency_ms=50.0, profiles=(SliceProfile("1g.10gb", 40, 1, 0),))
    assert refusals_when_empty(served, [cut]) == ()
    assert refusals_when_empty(replace(served, latency_ms=30.0), [cut]) == ("a has 0 H100-80GB, 1 are asked for",)


def test_a_slice_counts_with_its_part_of_the_device_that_has_it() -> None:
    for profile, milli in (("1g.10gb", 125), ("7g.80gb", 1000), ("2g.12gb", 500), ("4g.24gb", 1000)):
        assert wanted("s", WorkloadSpec(type="inference", slice=profile)).milli == milli
