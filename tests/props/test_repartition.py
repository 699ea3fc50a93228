"""Whatever runs, waits and ends: devices are only ever cut legally, around what is in use, and when somebody gains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from control.scheduler.mig import geometry_of, layouts_by_counts
from control.scheduler.mig_layouts import fault_of
from control.scheduler.repartition import SETTLE_SECONDS, Part, Recut, Sheet, Wanted, plan_layout, plan_recuts
from control.scheduler.state import Slice

H100 = geometry_of("H100", 0)
assert H100 is not None
PROFILES = ("1g.10gb", "1g.10gb+me", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb")
ages = st.sampled_from([0.0, SETTLE_SECONDS - 1, SETTLE_SECONDS, 1000.0])
wants = st.lists(
    st.builds(
        Wanted,
        st.sampled_from(["a", "b", "c", "d"]),
        st.sampled_from([*PROFILES, ""]),
        st.sampled_from([10, 50, 100]),
        st.sampled_from([0.0, 5.0, 60.0]),
        st.integers(1, 3),
    ),
    max_size=4,
    unique_by=lambda one: one.workload,
)


@st.composite
def sheets(draw: st.DrawFn) -> list[Sheet]:
    return [draw(sheet(f"d{number}")) for number in range(draw(st.integers(1, 3)))]


@st.composite
def sheet(draw: st.DrawFn, device: str) -> Sheet:
    assert H100 is not None
    if draw(st.integers(0, 4)) == 0:
        holders = draw(st.sampled_from([(), ("x",)]))
        return Sheet(device, H100, mig=False, holders=holders, idle_seconds=0.0 if holders else draw(ages))
    parts: list[Part] = []
    for _ in range(draw(st.integers(0, 7))):
        profile = draw(st.sampled_from(PROFILES))
        if starts := H100.starts(H100.taken(part.placed for part in parts), profile):
            start = draw(st.sampled_from(starts))
            holder = draw(st.sampled_from(["", "", "x", "y"]))
            parts.append(Part(Slice(profile, start, f"{device}-{start}"), holder, 0.0 if holder else draw(ages)))
    return Sheet(device, H100, mig=True, parts=tuple(parts), idle_seconds=draw(ages))


def after(one: Sheet, recut: Recut) -> Sheet:
    """What the node's agent makes of it."""
    kept = tuple(part for part in one.parts if part.slice not in recut.destroy)
    made = tuple(Part(Slice(p.profile, p.start, f"new-{one.device}-{p.start}-{id(recut)}")) for p in recut.create)
    return replace(
        one,
        mig=recut.mig,
        parts=(*kept, *made),
        holders=tuple(holder for holder in one.holders if holder not in recut.leave),
        idle_seconds=one.idle_seconds if recut.mig is one.mig else 0.0,
    )


def applied(before: Iterable[Sheet], recuts: Iterable[Recut]) -> list[Sheet]:
    by_device = {recut.device: recut for recut in recuts}
    return [after(one, by_device[one.device]) if one.device in by_device else one for one in before]


def bound(found: list[Sheet], wanted: Wanted) -> list[Sheet] | None:
    """The sheets when the workload has taken what is idle of what it wants; None when there is too little."""
    missing = wanted.count
    taken: list[Sheet] = []
    for one in found:
        if not wanted.profile:
            if missing and not (one.mig or one.holders):
                one, missing = replace(one, holders=(wanted.workload,), idle_seconds=0.0), missing - 1
            taken.append(one)
            continue
        parts = list(one.parts)
        for index, part in enumerate(parts):
            if missing and not part.holder and part.slice.profile == wanted.profile:
                parts[index], missing = Part(part.slice, wanted.workload), missing - 1
        taken.append(replace(one, parts=tuple(parts)))
    return None if missing else taken


def assert_sound(before: list[Sheet], recuts: Iterable[Recut]) -> None:
    by_device = {one.device: one for one in before}
    for recut in recuts:
        was, now = by_device[recut.device], after(by_device[recut.device], recut)
        assert H100 is not None
        assert fault_of(H100, [part.placed for part in now.parts]) is None, "an illegal layout"
        assert now.mig or not now.parts, "slices outside MIG mode"
        assert recut.reason
        assert recut.destroy or recut.create or now.mig is not was.mig
        assert len(set(recut.destroy)) == len(recut.destroy)
        held = {part.slice for part in was.parts if part.holder and part.holder not in recut.leave}
        assert not held.intersection(recut.destroy), "a slice in use is gone"


@settings(max_examples=40, deadline=None)
@given(sheets(), wants)
def test_a_cut_is_legal_touches_nothing_in_use_or_fresh_and_serves_all_it_was_made_for(
    before: list[Sheet], wanted: list[Wanted]
) -> None:
    found = plan_recuts(before, wanted, {})
    assert_sound(before, found.cuts)
    idle = {part.slice: part.idle_seconds for one in before for part in one.parts if not part.holder}
    assert all(idle[one] >= SETTLE_SECONDS for recut in found.cuts for one in recut.destroy)
    assert not any(recut.leave for recut in found.cuts)
    waiting = {one.workload for one in found.waits}
    now: list[Sheet] | None = applied(before, found.cuts)
    for one in wanted:
        if one.workload not in waiting:
            assert now is not None
            now = bound(now, one)
            assert now is not None, "who does not wait can have all that it wants, together with the others"
    assert plan_recuts(before, reversed(wanted), {}) == found, "the order they are told in decides nothing"


@settings(max_examples=40, deadline=None)
@given(sheets(), wants)
def test_without_any_one_of_the_cuts_somebody_would_go_without(before: list[Sheet], wanted: list[Wanted]) -> None:
    found = plan_recuts(before, wanted, {})
    waiting = {one.workload for one in found.waits}
    served = [one for one in wanted if one.workload not in waiting]
    for recut in found.cuts:
        now: list[Sheet] | None = applied(before, [other for other in found.cuts if other is not recut])
        for one in served:
            now = now and bound(now, one)
        assert now is None


@settings(max_examples=40, deadline=None)
@given(sheets(), wants)
def test_after_a_plan_was_carried_out_there_is_nothing_left_to_cut(before: list[Sheet], wanted: list[Wanted]) -> None:
    found = plan_recuts(before, wanted, {})
    again = plan_recuts(applied(before, found.cuts), wanted, {})
    assert again.cuts == ()
    assert {one.workload for one in again.waits} == {one.workload for one in found.waits}


@settings(max_examples=20, deadline=None)
@given(sheets(), st.lists(st.tuples(wants, st.sampled_from(["a", "b", "c", "d", "x", "y"]), ages), max_size=6))
def test_it_stays_so_over_any_history(found: list[Sheet], history: list[tuple[list[Wanted], str, float]]) -> None:
    """Each round: those who ended give their slices back, time passes, a plan is carried out, and who can, binds."""
    for wanted, ended, passed in history:
        found = [
            replace(
                one,
                parts=tuple(
                    Part(part.slice) if part.holder == ended else replace(part, idle_seconds=part.idle_seconds + passed)
                    for part in one.parts
                ),
                holders=tuple(holder for holder in one.holders if holder != ended),
                idle_seconds=one.idle_seconds + passed,
            )
            for one in found
        ]
        cuts = plan_recuts(found, wanted, Counter(one.profile for one in wanted)).cuts
        assert_sound(found, cuts)
        found = applied(found, cuts)
        for one in wanted:
            found = bound(found, one) or found


@settings(max_examples=60, deadline=None)
@given(sheet("d0"), st.sampled_from(sorted(layouts_by_counts(H100))))
def test_a_declared_layout_is_reached_in_one_step_and_nobody_leaves_who_could_stay(
    before: Sheet, counts: tuple[tuple[str, int], ...]
) -> None:
    assert H100 is not None
    recut = plan_layout(before, "wanted", dict(counts))
    if recut is None:
        assert Counter(part.slice.profile for part in before.parts) == Counter(dict(counts))
        return
    assert isinstance(recut, Recut)
    assert_sound([before], [recut])
    now = after(before, recut)
    assert Counter(part.slice.profile for part in now.parts) == Counter(dict(counts))
    assert now.mig is bool(counts)
    assert plan_layout(now, "wanted", dict(counts)) is None
    if before.mig:
        for placed in layouts_by_counts(H100)[counts]:
            gone = {part.holder for part in before.parts if part.holder and part.placed not in placed}
            assert len(gone) >= len(recut.leave)
