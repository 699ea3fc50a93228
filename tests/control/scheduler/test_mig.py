"""What MIG can do with each kind of device, against what the hardware reports."""

from __future__ import annotations

from itertools import combinations

import pytest

from control.scheduler.mig import (
    GEOMETRIES,
    Geometry,
    Placed,
    arrange,
    arrangements,
    geometry_of,
    layouts,
    least_share,
    most_memory,
    nearest_profile,
)

GIB = 1 << 30
MIB = 1 << 20


def geometry(model: str, memory: int = 0) -> Geometry:
    found = geometry_of(model, memory)
    assert found is not None
    return found


H100 = geometry("H100", 80 * GIB)
A30 = geometry("A30")
EIGHT = [one for one in GEOMETRIES if one.memory_slices == 8]


def without(geometry: Geometry, *profiles: str) -> set[tuple[Placed, ...]]:
    return {one for one in layouts(geometry) if not any(p.profile in profiles for p in one)}


def maximal(among: set[tuple[Placed, ...]]) -> set[tuple[Placed, ...]]:
    """Those of the layouts that are no part of another."""
    parts = {frozenset(one[:index] + one[index + 1 :]) for one in among for index in range(len(one))}
    return {one for one in among if frozenset(one) not in parts}


@pytest.mark.parametrize("geometry", [one for one in EIGHT if "H100-80" in one.model or "A100" in one.model])
def test_there_are_as_many_legal_layouts_as_the_hardware_allows(geometry: Geometry) -> None:
    """The empty layout counts, media engines do not; 1g.20gb is the one slice of compute with two of memory."""
    one, media, two, *_ = geometry.profiles
    assert media == f"{one}+me"
    few = without(geometry, media, two)
    assert (len(few), len(maximal(few))) == (298, 19)
    many = without(geometry, media)
    assert (len(many), len(maximal(many))) == (723, 78)


def test_all_devices_of_eight_memory_slices_are_cut_alike() -> None:
    def shape(geometry: Geometry) -> list[tuple[object, ...]]:
        return [(p.compute, p.memory_slices, p.most, p.starts, p.media) for p in geometry.profiles.values()]

    assert len(EIGHT) == 6
    assert all(shape(one) == shape(H100) for one in EIGHT)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda one: one.model)
def test_no_layout_has_too_many_instances_or_too_much_compute_though_neither_is_counted(geometry: Geometry) -> None:
    assert len(set(layouts(geometry))) == len(layouts(geometry))
    for layout in layouts(geometry):
        profiles = [geometry.profiles[one.profile] for one in layout]
        assert sum(p.compute for p in profiles) <= geometry.compute_slices
        assert all(profiles.count(p) <= p.most for p in profiles)
        assert sum(p.media for p in profiles) <= 1
        taken = [
            s for p, one in zip(profiles, layout, strict=True) for s in range(p.memory_slices + one.start)[one.start :]
        ]
        assert len(set(taken)) == len(taken)
        assert all(0 <= s < geometry.memory_slices for s in taken)


def test_on_an_a30_every_set_of_places_that_do_not_overlap_is_a_layout_and_no_other() -> None:
    places = [Placed(name, start) for name, profile in A30.profiles.items() for start in profile.starts]
    legal = {
        frozenset(some)
        for size in range(5)
        for some in combinations(places, size)
        if not any(A30.footprint(one) & A30.footprint(other) for one, other in combinations(some, 2))
    }
    assert legal == {frozenset(layout) for layout in layouts(A30)}


@pytest.mark.parametrize(
    ("model", "memory", "found"),
    [
        ("NVIDIA H100 80GB HBM3", 81559 * MIB, "H100-80GB"),
        ("H100", 80 * GIB, "H100-80GB"),
        ("h100", 80 * 10**9, "H100-80GB"),
        ("H100", 0, "H100-80GB"),
        ("NVIDIA H100 PCIe", 81559 * MIB, "H100-80GB"),
        ("NVIDIA H100 NVL", 95830 * MIB, "H100-94GB"),
        ("NVIDIA-H100-96GB", 96 * 10**9, "H100-96GB"),
        ("NVIDIA GH200 480GB", 97871 * MIB, "H100-96GB"),
        ("NVIDIA H200", 143771 * MIB, "H200-141GB"),
        ("A100-SXM4-80GB", 0, "A100-80GB"),
        ("NVIDIA A100-SXM4-40GB", 40536 * MIB, "A100-40GB"),
        ("A100", 40 * GIB, "A100-40GB"),
        ("NVIDIA A800-SXM4-80GB", 81251 * MIB, "A100-80GB"),
        ("NVIDIA A30", 24125 * MIB, "A30-24GB"),
    ],
)
def test_a_device_is_known_by_the_names_that_people_and_the_driver_use(model: str, memory: int, found: str) -> None:
    assert geometry(model, memory).model == found


@pytest.mark.parametrize(
    ("model", "memory"),
    [("V100", 32 * GIB), ("Tesla T4", 16 * GIB), ("L4", 24 * GIB), ("", 0), ("A10", 24 * GIB), ("H100", 16 * GIB)],
)
def test_a_device_that_cannot_be_cut_or_has_not_the_memory_of_its_name_has_no_geometry(model: str, memory: int) -> None:
    assert geometry_of(model, memory) is None


def test_a_slice_has_no_more_memory_than_drivers_leave_to_it() -> None:
    """Drivers tell 9.62 to 9.75 GiB of a 1g.10gb on an H100 and 39.25 to 39.50 of a 3g.40gb; 5.81 on an A30."""
    assert 9.5 * GIB < H100.profiles["1g.10gb"].memory <= 9.63 * GIB
    assert H100.profiles["3g.40gb"].memory <= 39.25 * GIB
    assert A30.profiles["1g.6gb"].memory <= 5.81 * GIB
    for one in GEOMETRIES:
        gigabytes = int(one.model.rpartition("-")[2].removesuffix("GB"))
        assert all(p.memory * one.memory_slices <= p.memory_slices * gigabytes * GIB for p in one.profiles.values())


def test_the_article_s_layout_has_one_arrangement() -> None:
    counts = {"3g.40gb": 1, "2g.20gb": 1, "1g.10gb": 2}
    places = (Placed("1g.10gb", 0), Placed("1g.10gb", 1), Placed("2g.20gb", 2), Placed("3g.40gb", 4))
    assert arrange(geometry("A100", 80 * GIB), counts) == places
    assert {one.start for layout in arrangements(H100, counts) for one in layout if one.profile == "3g.40gb"} == {4}


def test_an_arrangement_leaves_as_many_profiles_a_start_as_it_can() -> None:
    assert arrange(H100, {"3g.40gb": 1}) == (Placed("3g.40gb", 4),), "4g.40gb starts at 0 only"
    (small,) = arrange(H100, {"1g.10gb": 1}) or ()
    assert small.start >= 4
    assert arrange(H100, {}) == ()
    assert arrange(H100, {"1g.10gb": 0}) == ()
    assert arrange(H100, {"3g.40gb": 2, "1g.10gb": 1}) is None
    assert arrange(H100, {"3g.20gb": 1}) is None


def test_a_profile_is_the_least_part_of_a_device_that_it_is_anywhere() -> None:
    assert least_share("3g.71gb") == 500
    assert least_share("1g.10gb") == 125, "a quarter of an A100 with 40 GB, an eighth of an H100"
    assert least_share("4g.24gb") == 1000, "all of an A30"
    assert least_share("9g.99gb") == 1000


def test_a_profile_has_the_most_memory_that_it_has_anywhere() -> None:
    assert most_memory("1g.10gb") == 9856 << 20, "on an H100; 9728 MiB on an A100"
    assert most_memory("9g.99gb") is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("3g.20gb", "3g.40gb"),
        ("1g.5gb", "1g.10gb"),
        ("2g.24gb", "2g.20gb"),
        ("7g.79gb", "7g.80gb"),
        ("3g40gb", "3g.40gb"),
        ("1g.10gb+me", "1g.10gb+me"),
        ("whole", None),
    ],
)
def test_the_profile_that_was_meant_has_as_much_compute_and_the_nearest_memory(name: str, meant: str | None) -> None:
    assert nearest_profile(name, H100.profiles) == meant
