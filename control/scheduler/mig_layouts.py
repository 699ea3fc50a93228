"""What is wrong with a MIG layout, for people, and which legal one is nearest. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

from control.scheduler.mig import Counts, Geometry, Placed, arrange, arrangements, layouts_by_counts, nearest_profile
from control.specs.problem import one_of

_ANYWHERE = -1
"""The start of an instance that may start anywhere."""


@dataclass(frozen=True)
class Illegal:
    """Why a layout cannot be had, and one near it that can."""

    found: str
    instead: tuple[Placed, ...]

    def __str__(self) -> str:
        return f"{self.found}; a legal layout near it: {shown(self.instead)}"


def shown(placed: Iterable[Placed]) -> str:
    """Instances for people: `1g.10gb at 0 and 1, 3g.40gb at 4`."""
    starts: dict[str, list[int]] = {}
    for one in placed:
        starts.setdefault(one.profile, []).append(one.start)
    return ", ".join(f"{name} at {_and(sorted(at))}" for name, at in starts.items()) or "no instance"


def fault_of(geometry: Geometry, placed: Iterable[Placed]) -> Illegal | None:
    """What is wrong with instances at these starts; None when a device can have them beside each other."""
    placed = tuple(placed)
    for one in placed:
        if one.profile not in geometry.profiles:
            return Illegal(_unknown(geometry, one.profile), _near(geometry, placed))
        starts = geometry.profiles[one.profile].starts
        if one.start not in starts:
            found = f"{one.profile} cannot start at memory slice {one.start}, only at {_and(starts)}"
            return Illegal(found, _near(geometry, placed))
    for one, other in combinations(placed, 2):
        if both := geometry.footprint(one) & geometry.footprint(other):
            return Illegal(f"{one} and {other} both take {_bits(geometry, both)}", _near(geometry, placed))
    return None


def count_fault(geometry: Geometry, counts: Mapping[str, int]) -> Illegal | None:
    """What is wrong with so many instances of each profile; None when there are legal starts for all of them."""
    for profile, count in counts.items():
        if profile not in geometry.profiles:
            return Illegal(_unknown(geometry, profile), _near(geometry, _unplaced(counts)))
        if count < 0:
            return Illegal(f"{count} instances of {profile} are asked for", _near(geometry, _unplaced(counts)))
    if arrange(geometry, counts) is not None:
        return None
    placed: tuple[Placed, ...] = ()
    had: Counter[str] = Counter()
    largest_first = sorted(counts, key=lambda name: (-geometry.profiles[name].memory_slices, name))
    for profile in (name for name in largest_first for _ in range(counts[name])):
        had[profile] += 1
        extended = arrange(geometry, had)
        if extended is None:
            guilty = f"{profile} number {had[profile]}"
            found = f"no place is left for {guilty}: every start of it collides with {shown(placed)}"
            return Illegal(found, _near(geometry, _unplaced(counts)))
        placed = extended
    raise AssertionError("a layout without an arrangement has an instance that finds no place")


def _unknown(geometry: Geometry, profile: str) -> str:
    near = nearest_profile(profile, geometry.profiles)
    meant = f"did you mean {near}?" if near else f"expected {one_of(geometry.profiles)}"
    return f"an {geometry.model} has no profile {profile}, {meant}"


def _unplaced(counts: Mapping[str, int]) -> tuple[Placed, ...]:
    return tuple(Placed(profile, _ANYWHERE) for profile, count in counts.items() for _ in range(count))


def _near(geometry: Geometry, wanted: tuple[Placed, ...]) -> tuple[Placed, ...]:
    """The legal layout that differs least from the wanted one: in its slices and instances, then in their starts.

    For a profile that there is not the nearest counts.
    """
    meant = [Placed(nearest_profile(one.profile, geometry.profiles) or "", one.start) for one in wanted]
    asked = Counter(one.profile for one in meant if one.profile)
    least = min(layouts_by_counts(geometry), key=lambda counts: (_differ(geometry, asked, counts), counts))
    return min(arrangements(geometry, dict(least)), key=partial(_moved, meant))


def _moved(wanted: Sequence[Placed], layout: Sequence[Placed]) -> tuple[int, int]:
    """How many instances are not where they are wanted, and how many memory slices they are off in all."""
    off = 0
    for profile in {one.profile for one in wanted}:
        there = sorted(one.start for one in layout if one.profile == profile)
        meant = sorted(one.start for one in wanted if one.profile == profile and one.start != _ANYWHERE)
        off += sum(abs(start - other) for start, other in zip(there, meant, strict=False))
    return -len(set(layout).intersection(wanted)), off


def _differ(geometry: Geometry, asked: Counter[str], counts: Counts) -> int:
    there = dict(counts)
    apart = {name: asked[name] - there.get(name, 0) for name in asked.keys() | there.keys()}
    memory = sum(more * geometry.profiles[name].memory_slices for name, more in apart.items())
    compute = sum(more * geometry.profiles[name].compute for name, more in apart.items())
    return abs(memory) + abs(compute) + sum(map(abs, apart.values()))


def _bits(geometry: Geometry, mask: int) -> str:
    slices = [index for index in range(geometry.memory_slices) if mask >> index & 1]
    return f"memory slice{'s'[: len(slices) > 1]} {_and(slices)}" if slices else "the media engines"


def _and(numbers: Iterable[int]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last
