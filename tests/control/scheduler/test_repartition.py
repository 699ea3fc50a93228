"""Which devices are cut anew, for whom, and whom that makes wait or leave."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from control.scheduler.mig import Placed
from control.scheduler.mig_layouts import Illegal
from control.scheduler.repartition import SETTLE_SECONDS, Part, Recut, Sheet, Waits, Wanted, plan_layout, plan_recuts
from control.scheduler.state import Slice
from tests.control.scheduler.test_mig import A30, H100, geometry

LONG = SETTLE_SECONDS * 10


def part(text: str, idle: float = LONG) -> Part:
    """`3g.40gb 4` is idle, `3g.40gb 4 w` is held by w."""
    profile, start, holder = (*text.split(), "")[:3]
    return Part(Slice(profile, int(start), f"MIG-{profile}-{start}"), holder, 0.0 if holder else idle)


def sheet(device: str, *parts: str, idle: float = LONG) -> Sheet:
    return Sheet(device, H100, mig=True, parts=tuple(part(one, idle) for one in parts), idle_seconds=LONG)


def whole(device: str, *holders: str, idle: float = LONG) -> Sheet:
    return Sheet(device, H100, mig=False, holders=holders, idle_seconds=idle)


def wants(workload: str, profile: str, priority: int = 50, waiting: float = 0.0, count: int = 1) -> Wanted:
    return Wanted(workload, profile, priority, waiting, count)


def cuts(sheets: list[Sheet], *wanted: Wanted) -> dict[str, tuple[list[str], list[str]]]:
    """Device → what is destroyed, what is created."""
    return {
        recut.device: ([f"{one.profile} at {one.start}" for one in recut.destroy], [str(one) for one in recut.create])
        for recut in plan_recuts(sheets, wanted, {}).cuts
    }


def waiting(sheets: list[Sheet], *wanted: Wanted) -> dict[str, str]:
    return {one.workload: one.reason for one in plan_recuts(sheets, wanted, {}).waits}


def test_nothing_is_cut_when_nobody_waits() -> None:
    assert cuts([sheet("d0", "1g.10gb 0"), whole("d1")]) == {}


def test_nothing_is_cut_for_who_can_have_a_slice_that_is_idle() -> None:
    assert cuts([sheet("d0"), sheet("d1", "1g.10gb 3", idle=0.0)], wants("a", "1g.10gb")) == {}


def test_a_second_workload_does_not_count_on_the_same_idle_slice() -> None:
    plan = cuts([sheet("d0", "3g.40gb 4")], wants("a", "3g.40gb"), wants("b", "3g.40gb"))
    assert plan == {"d0": ([], ["3g.40gb at 0"])}


def test_creating_beside_what_is_there_comes_before_destroying() -> None:
    found = plan_recuts([sheet("d0", "4g.40gb 0"), sheet("d1", "4g.40gb 0 a")], [wants("b", "3g.40gb")], {})
    assert found.waits == ()
    (recut,) = found.cuts
    assert (recut.destroy, recut.create, recut.mig) == ((), (Placed("3g.40gb", 4),), True)
    assert recut.reason == "3g.40gb at 4 for b"


def test_of_idle_slices_the_fewest_are_destroyed() -> None:
    seven = sheet("d0", *(f"1g.10gb {start}" for start in range(7)))
    two = sheet("d1", "2g.20gb 0", "2g.20gb 2", "3g.40gb 4 a")
    assert cuts([seven, two], wants("b", "4g.40gb")) == {"d1": (["2g.20gb at 0", "2g.20gb at 2"], ["4g.40gb at 0"])}
    (recut,) = plan_recuts([seven, two], [wants("b", "4g.40gb")], {}).cuts
    assert recut.reason == "4g.40gb at 0 for b, in place of the idle 2g.20gb at 0 and 2"


def test_one_idle_slice_is_destroyed_rather_than_four_on_a_fuller_device() -> None:
    four = sheet("d0", *(f"1g.10gb {start}" for start in range(4)), "3g.40gb 4 a")
    one = sheet("d1", "3g.40gb 0")
    assert cuts([four, one], wants("b", "4g.40gb")) == {"d1": (["3g.40gb at 0"], ["4g.40gb at 0"])}


def test_an_idle_slice_that_one_who_waits_is_about_to_get_is_not_destroyed_for_another() -> None:
    found = waiting([sheet("d0", "1g.10gb 0")], wants("a", "1g.10gb", priority=100), wants("b", "7g.80gb"))
    assert found.keys() == {"b"}


def test_a_slice_in_use_is_never_in_the_way_of_anybody_however_urgent() -> None:
    found = waiting([sheet("d0", "1g.10gb 0 a", "1g.10gb 4")], wants("b", "7g.80gb", priority=100))
    assert found == {
        "b": "no place for 7g.80gb on any device that may be cut so (1): what is there is in use, is for others who"
        " wait, or was made or given back less than 10 s ago"
    }


def test_a_whole_device_is_cut_last() -> None:
    assert cuts([whole("d0"), sheet("d1", "7g.80gb 0")], wants("a", "1g.10gb"))["d1"][0] == ["7g.80gb at 0"]
    found = plan_recuts([whole("d0", "a"), whole("d1"), whole("d2")], [wants("b", "3g.40gb")], {})
    assert found.cuts == (Recut("d1", True, (), (Placed("3g.40gb", 4),), "3g.40gb at 4 for b", serves=("b",)),)


def test_what_was_just_made_or_given_back_is_left_alone() -> None:
    fresh = sheet("d0", "1g.10gb 0", idle=SETTLE_SECONDS - 1)
    assert waiting([fresh, whole("d1", idle=SETTLE_SECONDS - 1)], wants("a", "7g.80gb")).keys() == {"a"}
    assert cuts([sheet("d0", "1g.10gb 0", idle=SETTLE_SECONDS)], wants("a", "7g.80gb")).keys() == {"d0"}


def test_what_is_made_for_one_who_waits_is_not_undone_for_the_next() -> None:
    sheets = [sheet("d0", *(f"1g.10gb {start}" for start in range(7)))]
    found = plan_recuts(sheets, [wants("low", "7g.80gb", priority=10), wants("high", "4g.40gb", priority=100)], {})
    assert [recut.create for recut in found.cuts] == [(Placed("4g.40gb", 0),)]
    assert [one.workload for one in found.waits] == ["low"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (wants("b", "7g.80gb", priority=100), wants("a", "7g.80gb", priority=50, waiting=99.0)),
        (wants("b", "7g.80gb", waiting=2.0), wants("a", "7g.80gb", waiting=1.0)),
        (wants("a", "7g.80gb"), wants("b", "7g.80gb")),
    ],
    ids=["priority", "waiting", "name"],
)
def test_the_higher_priority_then_the_longer_waiting_then_the_name_comes_first(first: Wanted, second: Wanted) -> None:
    for order in ([first, second], [second, first]):
        assert waiting([sheet("d0")], *order).keys() == {second.workload}


def test_who_wants_several_slices_gets_all_of_them_or_makes_no_cut() -> None:
    sheets = [sheet("d0", "4g.40gb 0 x"), sheet("d1", "7g.80gb 0 x")]
    found = waiting(sheets, wants("a", "3g.40gb", count=2))
    assert found["a"].startswith("no place for 2 × 3g.40gb on any device that may be cut so (2)")
    assert cuts(sheets, wants("a", "3g.40gb", count=2)) == {}
    assert cuts([*sheets, sheet("d2")], wants("a", "3g.40gb", count=2)) == {
        "d0": ([], ["3g.40gb at 4"]),
        "d2": ([], ["3g.40gb at 4"]),
    }


def test_a_thousand_who_want_what_cannot_be_had_are_all_told() -> None:
    sheets = [sheet(f"d{number}", "7g.80gb 0 x") for number in range(100)]
    crowd = [wants(f"w{number:03}", "1g.10gb", waiting=float(number)) for number in range(1000)]
    assert waiting(sheets, *crowd).keys() == {one.workload for one in crowd}
    served = plan_recuts([*sheets, sheet("d")], crowd, {})
    assert (len(served.waits), [len(recut.create) for recut in served.cuts]) == (993, [7])
    assert served.cuts[0].reason.endswith("for w999, w998, w997, w996, w995, w994, w993")


def test_what_a_workload_could_not_use_up_is_there_for_the_next() -> None:
    found = plan_recuts([sheet("d0")], [wants("a", "7g.80gb", 100, count=2), wants("b", "7g.80gb")], {})
    assert [recut.reason for recut in found.cuts] == ["7g.80gb at 0 for b"]
    assert [one.workload for one in found.waits] == ["a"]


def test_a_whole_device_is_made_of_one_of_which_nothing_is_in_use() -> None:
    used, idle = sheet("d0", "1g.10gb 0 a"), sheet("d1", "1g.10gb 0", "1g.10gb 1")
    (recut,) = plan_recuts([used, idle, sheet("d2", "1g.10gb 0")], [wants("w", "")], {}).cuts
    assert (recut.device, recut.mig, len(recut.destroy), recut.create) == ("d2", False, 1, ())
    assert recut.reason == "a whole device for w, in place of the idle 1g.10gb at 0"
    assert cuts([used, idle, whole("d3")], wants("w", "")) == {}
    assert waiting([used, whole("d3", "b")], wants("w", "", count=2)) == {
        "w": "no place for 2 × a whole device on any device that may be cut so (2): what is there is in use, is for"
        " others who wait, or was made or given back less than 10 s ago"
    }


def test_a_device_on_which_a_slice_is_made_is_not_made_whole_for_another() -> None:
    found = plan_recuts([sheet("d0")], [wants("a", "1g.10gb", priority=100), wants("w", "")], {})
    assert [(recut.mig, len(recut.create)) for recut in found.cuts] == [(True, 1)]
    assert [one.workload for one in found.waits] == ["w"]


def test_media_engines_go_over_when_the_slice_that_has_them_is_idle() -> None:
    assert cuts([sheet("d0", "1g.10gb+me 6")], wants("a", "1g.10gb+me")) == {}
    full = [f"1g.10gb {start}" for start in range(6)]
    assert waiting([sheet("d0", *full, "1g.10gb+me 6 b")], wants("a", "1g.10gb+me")).keys() == {"a"}
    assert cuts([sheet("d0", *full, "1g.10gb 6 b")], wants("a", "1g.10gb+me"))["d0"][0] == ["1g.10gb at 0"]


@pytest.mark.parametrize("strange", ["1g.10gb -1", "1c.3g.40gb 0"], ids=["nobody knows where", "unknown profile"])
def test_a_device_with_slices_that_cannot_be_made_out_is_not_cut_only_used(strange: str) -> None:
    sheets = [sheet("d0", strange)]
    assert waiting(sheets, wants("a", "3g.40gb"), wants("w", "")).keys() == {"a", "w"}
    assert plan_recuts(sheets, [wants("a", strange.split()[0])], {}) == plan_recuts(sheets, [], {})
    assert len(towards(sheets[0], {"3g.40gb": 1}).destroy) == 1


def test_a_profile_is_made_only_on_devices_that_have_it_on_the_smallest_part_of_one_first() -> None:
    old = Sheet("d0", geometry("A100-40GB"), mig=True)
    assert cuts([Sheet("d1", A30, mig=True), old, sheet("d2")], wants("a", "1g.10gb")).keys() == {"d2"}
    assert plan_recuts([old], [wants("a", "3g.40gb")], {}).waits == (
        Waits("a", "3g.40gb is no profile of any device that may be cut (1)"),
    )


ARTICLE = {"3g.40gb": 1, "2g.20gb": 1, "1g.10gb": 2}


def towards(one: Sheet, counts: Mapping[str, int]) -> Recut:
    found = plan_layout(one, "mixed", counts)
    assert isinstance(found, Recut)
    return found


def test_a_device_that_has_its_layout_is_left_alone() -> None:
    cut = sheet("d0", "1g.10gb 0 a", "1g.10gb 1", "2g.20gb 2", "3g.40gb 4")
    assert plan_layout(cut, "mixed", ARTICLE) is None
    assert plan_layout(whole("d0", "a"), "whole", {}) is None
    assert plan_layout(sheet("d0", "1g.10gb -1 a"), "one", {"1g.10gb": 1}) is None


def test_a_whole_idle_device_is_cut_at_once() -> None:
    recut = towards(whole("d0"), ARTICLE)
    places = (Placed("1g.10gb", 0), Placed("1g.10gb", 1), Placed("2g.20gb", 2), Placed("3g.40gb", 4))
    assert recut == Recut(
        "d0", True, (), places, "the layout mixed wants 1g.10gb at 0 and 1, 2g.20gb at 2, 3g.40gb at 4"
    )


def test_who_has_the_whole_device_leaves_first() -> None:
    recut = towards(whole("d0", "b", "a"), {"7g.80gb": 1})
    assert recut.leave == ("a", "b")
    assert recut.reason == "the layout mixed wants 7g.80gb at 0, where there is no room for what a, b hold"


def test_slices_in_use_stay_where_they_are_if_the_layout_can_be_had_around_them() -> None:
    recut = towards(sheet("d0", "1g.10gb 2 a", "2g.20gb 0 b", "1g.20gb 6"), ARTICLE)
    assert recut.leave == ()
    assert [one.profile for one in recut.destroy] == ["1g.20gb"]
    assert recut.create == (Placed("1g.10gb", 3), Placed("3g.40gb", 4))


def test_as_few_workloads_leave_as_any_arrangement_allows() -> None:
    recut = towards(sheet("d0", "1g.10gb 0 a", "1g.10gb 4 b", "1g.10gb 5 c"), {"3g.40gb": 1, "1g.10gb": 3})
    assert recut.leave == ("a",)
    assert recut.reason.endswith("1g.10gb at 4, 5 and 6, where there is no room for what a holds")
    again = towards(sheet("d0", "1g.10gb 0 a", "1g.10gb 4 b", "1g.10gb 5 b"), {"3g.40gb": 1, "1g.10gb": 1})
    assert again.leave in [("a",), ("b",)]


def test_idle_slices_go_before_anybody_has_to_leave() -> None:
    recut = towards(sheet("d0", "1g.10gb 0", "1g.10gb 1", "1g.10gb 5 a"), {"3g.40gb": 1, "1g.10gb": 3})
    assert recut.leave == ()
    assert Placed("3g.40gb", 0) in recut.create


def test_idle_slices_that_the_layout_has_too_are_kept() -> None:
    recut = towards(sheet("d0", "3g.40gb 0", "1g.10gb 4"), {"3g.40gb": 1, "1g.10gb": 2})
    assert recut.destroy == ()
    assert [one.profile for one in recut.create] == ["1g.10gb"]


def test_a_layout_without_slices_is_the_whole_device() -> None:
    recut = towards(sheet("d0", "1g.10gb 0 a", "1g.10gb 1"), {})
    assert (recut.mig, len(recut.destroy), recut.create, recut.leave) == (False, 2, (), ("a",))
    assert recut.reason == "the layout mixed wants the whole device, where there is no room for what a holds"
    assert towards(sheet("d0"), {}) == Recut("d0", False, (), (), "the layout mixed wants the whole device")


def test_a_layout_that_the_device_cannot_have_is_told() -> None:
    found = plan_layout(sheet("d0"), "mixed", {"3g.40gb": 3})
    assert isinstance(found, Illegal)
    assert "no place is left for 3g.40gb number 3" in str(found)
