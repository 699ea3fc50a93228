"""Where each kind of workload goes: the article's flow chart, box by box."""

from __future__ import annotations

from dataclasses import replace

import pytest

from control.scheduler import batch, inference, training
from control.scheduler.answer import Answer, Placed, Refused
from control.scheduler.policies import POLICIES
from control.scheduler.slicing import sufficient_slices
from control.scheduler.state import Kind, Node, Sharing, SliceProfile, Span, Workload
from control.scheduler.stock import Stock
from control.scheduler.topology import links_for
from tests.control.scheduler.world import GIB, node, sliced, workload

SHARED = Sharing(replicas=4)


def stock(*nodes: Node) -> Stock:
    return Stock.of(nodes, SHARED)


def where(answer: Answer) -> list[tuple[str, int]]:
    assert isinstance(answer, Placed), answer
    return [(piece.node, len(piece.devices)) for piece in answer.pieces]


def linked(name: str, interconnect: str, devices: int = 8) -> Node:
    return node(name, devices, links=links_for(interconnect, devices))


def test_training_and_inference_share_no_policy() -> None:
    assert len({POLICIES[kind] for kind in Kind}) == len(Kind)


def test_training_that_no_device_has_the_memory_for_is_refused_with_that_reason() -> None:
    answer = training.place(workload(each=96), stock(node()))
    assert isinstance(answer, Refused)
    assert answer.why() == "n0 has 0 H100 with 96 GiB, 1 are asked for"


def test_several_devices_come_from_the_node_that_joins_them_best() -> None:
    assert where(training.place(workload(devices=4), stock(linked("a", "pcie"), linked("b", "nvswitch")))) == [("b", 4)]


def test_a_gang_stays_on_one_node_where_it_can_then_in_one_rack_then_anywhere() -> None:
    racks = [node(f"n{i}", 4, rack=f"r{i // 2}") for i in range(4)]
    gang = workload(devices=4, span=Span.CLUSTER)
    assert where(training.place(gang, stock(*racks))) == [("n0", 4)]
    assert where(training.place(replace(gang, devices=8), stock(*racks))) == [("n0", 4), ("n1", 4)]
    assert len(where(training.place(replace(gang, devices=16), stock(*racks)))) == 4


def test_a_gang_goes_no_further_than_it_allows() -> None:
    two = [node("n0", 4, rack="r0"), node("n1", 4, rack="r1")]
    for span in (Span.NODE, Span.RACK):
        assert isinstance(training.place(workload(devices=8, span=span), stock(*two)), Refused)


def test_a_gang_takes_the_rack_in_which_it_leaves_least_over() -> None:
    nodes = [node(f"big{i}", 8, rack="big") for i in range(3)] + [node(f"fit{i}", 8, rack="fit") for i in range(2)]
    assert {name for name, _ in where(training.place(workload(devices=16, span=Span.RACK), stock(*nodes)))} == {
        "fit0",
        "fit1",
    }


def test_a_gang_is_split_evenly_where_that_can_be_and_takes_what_there_is_where_not() -> None:
    even = [node(f"n{i}", 8) for i in range(3)]
    assert where(training.place(workload(devices=12, span=Span.CLUSTER), stock(*even))) == [("n0", 6), ("n1", 6)]
    odd = [node("a", 5), node("b", 3)]
    assert sorted(where(training.place(workload(devices=8, span=Span.CLUSTER), stock(*odd)))) == [("a", 5), ("b", 3)]


def test_a_gangs_memory_is_divided_by_its_devices() -> None:
    answer = training.place(workload(devices=8, memory=64, span=Span.CLUSTER), stock(node("a"), node("b")))
    assert isinstance(answer, Placed)
    assert [piece.memory for piece in answer.pieces] == [32 * GIB, 32 * GIB]


def test_elastic_training_takes_as_many_devices_as_there_are_down_to_its_least() -> None:
    assert where(training.place(workload(devices=8, least=2), stock(node(devices=5)))) == [("n0", 5)]
    assert isinstance(training.place(workload(devices=8, least=6), stock(node(devices=5))), Refused)


PROFILES = (
    SliceProfile("3g.40gb", 20.0, 50.0, 38 * GIB),
    SliceProfile("2g.20gb", 40.0, 20.0, 19 * GIB),
    SliceProfile("1g.10gb", 90.0, 8.0, 9 * GIB),
)


def served(**more: object) -> Workload:
    return replace(workload("chat", priority="critical-inference"), profiles=PROFILES, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("latency", "rate", "memory", "enough"),
    [
        (100.0, 1.0, 0, ("1g.10gb", "2g.20gb", "3g.40gb")),
        (50.0, 1.0, 0, ("2g.20gb", "3g.40gb")),
        (100.0, 30.0, 0, ("3g.40gb",)),
        (100.0, 1.0, 15 * GIB, ("2g.20gb", "3g.40gb")),
        (5.0, 1.0, 0, ()),
        (0.0, 1.0, 0, ()),
    ],
    ids=["all", "latency", "throughput", "memory", "none", "no SLA"],
)
def test_the_slices_that_keep_the_latency_come_smallest_first(
    latency: float, rate: float, memory: int, enough: tuple[str, ...]
) -> None:
    asked = served(latency_ms=latency, requests_per_second=rate, device_memory=memory)
    assert sufficient_slices(asked) == enough


def test_inference_gets_the_smallest_slice_that_is_free_and_keeps_its_latency() -> None:
    answer = inference.place(served(latency_ms=50.0), stock(sliced("m", "3g.40gb", "1g.10gb"), node("w")))
    assert isinstance(answer, Placed)
    assert [(piece.profile, piece.milli) for piece in answer.pieces] == [("3g.40gb", 500)]


def test_inference_gets_a_whole_device_when_no_slice_keeps_its_latency() -> None:
    assert where(inference.place(served(latency_ms=5.0), stock(sliced("m", "3g.40gb"), node("w")))) == [("w", 1)]


def test_who_names_a_slice_gets_that_slice_or_waits_for_it() -> None:
    both = stock(sliced("m", "3g.40gb"), node("w"))
    assert where(inference.place(served(slice="3g.40gb"), both)) == [("m", 1)]
    refused = inference.place(served(slice="1g.10gb"), both)
    assert isinstance(refused, Refused)
    assert (refused.why(), refused.slice) == ("m has no 1g.10gb slice; w has no 1g.10gb slice", "1g.10gb")


def test_slices_are_taken_from_the_fullest_device() -> None:
    two = stock(sliced("a", "1g.10gb", "1g.10gb"), sliced("b", "1g.10gb"))
    assert where(inference.place(served(slice="1g.10gb"), two)) == [("b", 1)]


def test_all_replicas_are_placed_or_none() -> None:
    three = workload(devices=3, replicas=3, priority="critical-inference")
    assert sum(count for _, count in where(inference.place(three, stock(node("a", 2), node("b", 1))))) == 3
    assert isinstance(inference.place(three, stock(node("a", 2))), Refused)
    slices = replace(three, slice="1g.10gb")
    assert isinstance(inference.place(slices, stock(sliced("m", "1g.10gb", "1g.10gb"))), Refused)


def test_placing_takes_nothing() -> None:
    free = stock(node("a", 4), sliced("m", "1g.10gb", "1g.10gb"))
    asks = (
        workload(devices=4),
        workload(devices=2, replicas=2, priority="critical-inference"),
        replace(workload(devices=2, replicas=2, priority="critical-inference"), slice="1g.10gb"),
    )
    for asked in asks:
        first = POLICIES[asked.kind](asked, free)
        assert isinstance(first, Placed)
        assert POLICIES[asked.kind](asked, free) == first


def test_batch_work_goes_to_one_node_or_waits() -> None:
    assert where(batch.place(workload(devices=2, priority="batch-scoring"), stock(node()))) == [("n0", 2)]
    answer = batch.place(workload(devices=5, priority="batch-scoring"), stock(node("a"), node("b")))
    assert isinstance(answer, Refused)


def test_a_model_is_recognised_in_what_the_driver_calls_it() -> None:
    real = replace(node("real"), gpu_model="NVIDIA H100 80GB HBM3")
    for asked in ("H100-80GB", "H100", "NVIDIA H100 80GB HBM3"):
        assert where(training.place(workload(models=frozenset([asked])), stock(real))) == [("real", 1)]
    answer = training.place(workload(models=frozenset(["A100", "H200"])), stock(real))
    assert isinstance(answer, Refused)
    assert answer.why() == "real has NVIDIA H100 80GB HBM3, A100 or H200 is asked for"


def test_what_is_placed_counts_with_what_it_takes_of_devices() -> None:
    slices = inference.place(served(latency_ms=50.0), stock(sliced("m", "3g.40gb")))
    whole = training.place(workload(devices=3), stock(node()))
    assert isinstance(slices, Placed)
    assert isinstance(whole, Placed)
    assert (slices.milli, whole.milli) == (500, 3000)
