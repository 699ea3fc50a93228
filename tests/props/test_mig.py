"""Whatever is asked of MIG: a layout is legal by the hardware's rules or refused, and a choice is a legal start."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from control.scheduler.mig import GEOMETRIES, Geometry, Placed, arrange, arrangements
from control.scheduler.mig_choice import Cut, choose
from control.scheduler.mig_layouts import count_fault, fault_of

H100, A30 = GEOMETRIES[0], GEOMETRIES[-1]
geometries = st.sampled_from([H100, A30])


@st.composite
def scattered(draw: st.DrawFn) -> tuple[Geometry, list[Placed]]:
    """Instances at any start, legal or not."""
    geometry = draw(geometries)
    names = [*geometry.profiles, "9g.90gb"]
    place = st.builds(Placed, st.sampled_from(names), st.integers(-1, geometry.memory_slices))
    return geometry, draw(st.lists(place, max_size=5))


@st.composite
def fleets(draw: st.DrawFn) -> tuple[Geometry, list[list[Placed]]]:
    """Devices with instances that were created one after the other wherever there was a start."""
    geometry = draw(geometries)
    return geometry, [draw(devices(geometry)) for _ in range(draw(st.integers(1, 4)))]


@st.composite
def devices(draw: st.DrawFn, geometry: Geometry) -> list[Placed]:
    placed: list[Placed] = []
    for _ in range(draw(st.integers(0, 7))):
        profile = draw(st.sampled_from(list(geometry.profiles)))
        if starts := geometry.starts(geometry.taken(placed), profile):
            placed.append(Placed(profile, draw(st.sampled_from(starts))))
    return placed


def is_legal(geometry: Geometry, placed: list[Placed]) -> bool:
    """The hardware's rules, one by one."""
    if any(one.profile not in geometry.profiles for one in placed):
        return False
    profiles = [geometry.profiles[one.profile] for one in placed]
    runs = [range(one.start, one.start + p.memory_slices) for one, p in zip(placed, profiles, strict=True)]
    return (
        all(one.start in p.starts for one, p in zip(placed, profiles, strict=True))
        and not any(set(run) & set(other) for run, other in combinations(runs, 2))
        and sum(p.compute for p in profiles) <= geometry.compute_slices
        and all(count <= geometry.profiles[name].most for name, count in Counter(p.name for p in profiles).items())
        and sum(p.media for p in profiles) <= 1
    )


@settings(max_examples=80, deadline=None)
@given(scattered())
def test_a_layout_has_a_fault_exactly_when_the_hardware_would_refuse_it(case: tuple[Geometry, list[Placed]]) -> None:
    geometry, placed = case
    fault = fault_of(geometry, placed)
    assert (fault is None) is is_legal(geometry, placed)
    if fault is not None:
        assert is_legal(geometry, list(fault.instead)), "what is offered instead can be had"


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_counts_are_arranged_legally_or_refused_with_what_could_be_had(data: st.DataObject) -> None:
    geometry = data.draw(geometries)
    counts = data.draw(st.dictionaries(st.sampled_from(list(geometry.profiles)), st.integers(0, 8), max_size=4))
    fault, found = count_fault(geometry, counts), arrange(geometry, counts)
    assert (fault is None) is (found is not None)
    for layout in arrangements(geometry, counts):
        assert is_legal(geometry, list(layout))
        assert Counter(one.profile for one in layout) == Counter(counts)
    if fault is not None:
        assert is_legal(geometry, list(fault.instead))


@settings(max_examples=40, deadline=None)
@given(devices(H100))
def test_what_was_created_step_by_step_is_an_arrangement_of_its_counts(placed: list[Placed]) -> None:
    known = arrangements(H100, Counter(one.profile for one in placed))
    assert set(placed) in [set(layout) for layout in known]


@settings(max_examples=40, deadline=None)
@given(fleets(), st.data())
def test_a_choice_is_a_legal_start_and_there_is_one_whenever_some_device_has_one(
    fleet: tuple[Geometry, list[list[Placed]]], data: st.DataObject
) -> None:
    geometry, placed = fleet
    profile = data.draw(st.sampled_from(list(geometry.profiles)))
    asked = data.draw(st.dictionaries(st.sampled_from(list(geometry.profiles)), st.integers(0, 100)))
    cuts = [Cut.of(geometry, one) for one in placed]
    found = choose(geometry, cuts, profile, asked)
    able = [one for one in placed if geometry.starts(geometry.taken(one), profile)]
    assert (found is not None) is bool(able)
    if found is not None:
        index, start = found
        assert is_legal(geometry, [*placed[index], Placed(profile, start)])
        assert cuts.index(cuts[index]) == index, "of equal devices the first"
        assert choose(geometry, cuts, profile, asked) == found
