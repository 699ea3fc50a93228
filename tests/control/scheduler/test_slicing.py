"""Which MIG instances would do, and who gets those that exist."""

from __future__ import annotations

from dataclasses import replace

import pytest

from control.scheduler import inference
from control.scheduler.answer import Placed
from control.scheduler.slicing import bytes_on, least_milli, on_slices, slice_refusals
from control.scheduler.state import Device, Node, Sharing, Slice, SliceProfile, Workload
from control.scheduler.stock import Stock
from tests.control.scheduler.world import GIB, node, sliced, workload

HIGH = "critical-inference"
SMALL = SliceProfile("1g.10gb", 40.0, 1.0, 9 * GIB)


def stock(*nodes: Node) -> Stock:
    return Stock.of(nodes, Sharing())


def asks(profile: str, **more: object) -> Workload:
    return replace(workload("w", priority=HIGH), slice=profile, **more)  # type: ignore[arg-type]


def test_a_slice_of_a_model_that_is_not_accepted_is_not_given() -> None:
    there = stock(sliced("m", "1g.10gb"))
    assert on_slices(asks("1g.10gb", models=frozenset({"A100"})), "1g.10gb", there) is None
    assert on_slices(asks("1g.10gb", models=frozenset({"H100"})), "1g.10gb", there) is not None


@pytest.mark.parametrize(("gib", "enough"), [(9, True), (40, False)])
def test_a_slice_with_less_memory_than_is_asked_for_is_not_given(gib: int, enough: bool) -> None:
    found = on_slices(asks("1g.10gb", device_memory=gib * GIB), "1g.10gb", stock(sliced("m", "1g.10gb")))
    assert (found is not None) is enough


def test_a_slice_with_less_memory_than_the_model_declares_for_it_is_passed_over_for_a_larger_one() -> None:
    profiles = (replace(SMALL, memory=30 * GIB), SliceProfile("3g.40gb", 20.0, 2.0, 30 * GIB))
    served = replace(workload("w", priority=HIGH), latency_ms=50.0, profiles=profiles)
    found = inference.place(served, stock(sliced("m", "3g.40gb", "1g.10gb")))
    assert isinstance(found, Placed)
    assert [piece.profile for piece in found.pieces] == ["3g.40gb"]


def test_what_the_tables_do_not_have_has_memory_enough_and_counts_as_a_whole_device() -> None:
    device = Device("SIM-x-0", 80 * GIB, mig=True, slices=(Slice("1g.99gb", 0, "MIG-x"),))
    strange = replace(node("x", 0), gpu_model="B900", devices=(device,))
    found = on_slices(asks("1g.99gb", device_memory=70 * GIB), "1g.99gb", stock(strange))
    assert found is not None
    assert found.milli == 1000


def test_a_slice_is_asked_for_what_the_device_has_to_give_or_what_the_model_takes_of_it() -> None:
    both = replace(asks(""), device_memory=4 * GIB, profiles=(SMALL,))
    assert [bytes_on(both, profile) for profile in ("1g.10gb", "2g.20gb", "")] == [9 * GIB, 4 * GIB, 4 * GIB]


def test_a_quota_has_to_have_left_the_smallest_slices_that_would_do() -> None:
    served = replace(workload("w", 4, priority=HIGH), replicas=4, latency_ms=50.0, profiles=(SMALL,))
    assert least_milli(served) == 500
    assert least_milli(replace(served, latency_ms=1.0)) == 4000
    assert least_milli(asks("4g.24gb")) == 1000, "all of an A30"
    assert least_milli(workload(devices=8, least=2)) == 2000


def test_each_node_says_why_it_has_no_slice_to_give() -> None:
    nodes = [
        sliced("free", "1g.10gb"),
        sliced("held", "1g.10gb", "1g.10gb"),
        replace(sliced("other", "3g.40gb"), carve=True),
        replace(sliced("shut", "1g.10gb"), cordon="maintenance"),
        node("whole"),
    ]
    there = stock(*nodes)
    there.held |= {"MIG-held-0", "MIG-held-1"}
    assert slice_refusals(asks("1g.10gb"), "1g.10gb", there) == {
        "free": "",
        "held": "held has 0 of its 2 1g.10gb slices free",
        "other": "other has no 1g.10gb slice, and is cut on demand",
        "shut": "shut takes nothing new: maintenance",
        "whole": "whole has no 1g.10gb slice",
    }
    large = slice_refusals(asks("1g.10gb", device_memory=40 * GIB), "1g.10gb", there)
    assert large["free"] == "free has 1g.10gb slices with 9.6 GiB each, 40 GiB are asked for"
    assert slice_refusals(asks("1g.10gb", models=frozenset({"A100"})), "1g.10gb", there)["free"] == (
        "free has H100-80GB, A100 is asked for"
    )
