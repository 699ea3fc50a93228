"""What MIG can do with a device: profiles, where their instances may start, and which stand beside each other. Pure.

The tables are what the drivers of A100, H100, H200 and A30 report (`nvidia-smi mig -lgip` and `-lgipp`). An instance
takes a run of memory slices; the instances of a device must not overlap there, and only one of them may have the media
engines (`+me`). With the starts that the hardware allows nothing else has to be counted: neither the compute slices
(seven, on A30 four) nor the instances of a profile can then be exceeded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial

from control.scheduler.state import WHOLE
from control.specs.problem import nearest

_MIB = 1 << 20
_GIB = 1 << 30
_MEMORY_TOLERANCE = 0.1
"""How far the memory of a device may be from its model's: units are mixed up, and drivers keep some for themselves."""
_FORM = re.compile(r"([0-9]+)g\.([0-9]+)gb")
_WORDS = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class Profile:
    """A kind of instance: `compute` and `memory_slices` of the device, at most `most` of them, at these `starts`.

    `memory` in bytes is the least that drivers were seen to leave to such an instance. `media`: it has the device's
    media engines, of which there is one set.
    """

    name: str
    compute: int
    memory_slices: int
    most: int
    starts: tuple[int, ...]
    memory: int
    media: bool = False


@dataclass(frozen=True)
class Placed:
    """An instance of a profile at its first memory slice."""

    profile: str
    start: int

    def __str__(self) -> str:
        return f"{self.profile} at {self.start}"


@dataclass(frozen=True)
class Geometry:
    """How one kind of device can be cut. `profiles` by name, the smallest first."""

    model: str
    memory_slices: int
    compute_slices: int
    profiles: Mapping[str, Profile] = field(hash=False)

    def footprint(self, placed: Placed) -> int:
        """What the instance takes: a bit for each memory slice, and one above them for the media engines."""
        profile = self.profiles[placed.profile]
        return ((1 << profile.memory_slices) - 1) << placed.start | profile.media << self.memory_slices

    def taken(self, placed: Iterable[Placed]) -> int:
        """The footprints of instances that do not overlap, together."""
        return sum(self.footprint(one) for one in placed)

    def room(self, taken: int) -> int:
        """How many memory slices are free."""
        return (~taken & (1 << self.memory_slices) - 1).bit_count()

    def share(self, profile: str) -> int:
        """The profile's part of the memory slices in thousandths, rounded down: shares never exceed the whole."""
        return WHOLE * self.profiles[profile].memory_slices // self.memory_slices

    def starts(self, taken: int, profile: str) -> tuple[int, ...]:
        """Where an instance of the profile may be created beside what is taken."""
        return tuple(
            start for start in self.profiles[profile].starts if not taken & self.footprint(Placed(profile, start))
        )


@dataclass(frozen=True)
class _Model:
    """A geometry, the names its devices go by and the gigabytes in them."""

    names: tuple[str, ...]
    gigabytes: int
    geometry: Geometry


def _eight(names: tuple[str, ...], gigabytes: int, slice_mib: int, sizes: tuple[int, int, int]) -> _Model:
    """A device of eight memory slices and seven compute slices; `sizes` are the gigabytes of one, two, four slices."""
    one, two, four = sizes
    model = f"{names[0].upper()}-{gigabytes}GB"
    rows = (
        (f"1g.{one}gb", 1, 1, 7, tuple(range(7))),
        (f"1g.{one}gb+me", 1, 1, 1, tuple(range(7))),
        (f"1g.{two}gb", 1, 2, 4, (0, 2, 4, 6)),
        (f"2g.{two}gb", 2, 2, 3, (0, 2, 4)),
        (f"3g.{four}gb", 3, 4, 2, (0, 4)),
        (f"4g.{four}gb", 4, 4, 1, (0,)),
        (f"7g.{gigabytes}gb", 7, 8, 1, (0,)),
    )
    return _Model(names, gigabytes, _geometry(model, 8, 7, slice_mib, rows))


def _geometry(
    model: str, memory: int, compute: int, slice_mib: int, rows: Iterable[tuple[str, int, int, int, tuple[int, ...]]]
) -> Geometry:
    profiles = {
        name: Profile(name, part, slices, most, starts, slices * slice_mib * _MIB, name.endswith("+me"))
        for name, part, slices, most, starts in rows
    }
    return Geometry(model, memory, compute, profiles)


_A30 = (
    ("1g.6gb", 1, 1, 4, (0, 1, 2, 3)),
    ("1g.6gb+me", 1, 1, 1, (0, 1, 2, 3)),
    ("2g.12gb", 2, 2, 2, (0, 2)),
    ("2g.12gb+me", 2, 2, 1, (0, 2)),
    ("4g.24gb", 4, 4, 1, (0,)),
)
_HOPPER = ("h100", "h800")
_MODELS = (
    _eight(_HOPPER, 80, 9856, (10, 20, 40)),
    _eight(_HOPPER, 94, 11008, (12, 24, 47)),
    _eight((*_HOPPER, "gh200", "h20"), 96, 11008, (12, 24, 48)),
    _eight(("h200", "gh200", "h20"), 141, 16384, (18, 35, 71)),
    _eight(("a100", "a800"), 80, 9728, (10, 20, 40)),
    _eight(("a100", "a800"), 40, 4864, (5, 10, 20)),
    _Model(("a30",), 24, _geometry("A30-24GB", 4, 4, 5944, _A30)),
)
"""Of a name that several go by, the usual one first: it is meant where neither name nor memory tells."""
GEOMETRIES = tuple(model.geometry for model in _MODELS)


def geometry_of(model: str, memory: int) -> Geometry | None:
    """The geometry of a device by its name as people or NVML write it and its bytes; 0 bytes: nobody said.

    None for a device that cannot be cut, or whose memory is not that of any model by its name.
    """
    words = set(_WORDS.findall(model.lower()))
    known = [one for one in _MODELS if words.intersection(one.names)]
    named = [one for one in known if f"{one.gigabytes}gb" in words] or known
    if memory:
        named = sorted((one for one in named if _off(one, memory) <= _MEMORY_TOLERANCE), key=lambda m: _off(m, memory))
    return named[0].geometry if named else None


def _off(model: _Model, memory: int) -> float:
    """How far off the bytes are, as a share: the gigabytes of a model are counted in both units."""
    return min(abs(memory / unit / model.gigabytes - 1) for unit in (_GIB, 10**9))


def least_share(profile: str) -> int:
    """The profile's part of a device in thousandths, where the kind is not known: the least of all that have it.

    1000 for a profile that none has.
    """
    return min((geometry.share(profile) for geometry in GEOMETRIES if profile in geometry.profiles), default=WHOLE)


def most_memory(profile: str) -> int | None:
    """The bytes of an instance, where the device is not known: the most of all kinds that have it; None: none has."""
    known = (geometry.profiles.get(profile) for geometry in GEOMETRIES)
    return max((found.memory for found in known if found is not None), default=None)


def nearest_profile(name: str, profiles: Iterable[str]) -> str | None:
    """The profile that was probably meant: with as much compute if there is one, and the nearest memory."""
    profiles = tuple(profiles)
    if name in profiles:
        return name
    wanted = _FORM.match(name)
    sized = [(found, profile) for profile in profiles if (found := _FORM.fullmatch(profile))]
    if wanted is None or not sized:
        return nearest(name, profiles)
    return min(sized, key=lambda pair: [abs(int(pair[0][part]) - int(wanted[part])) for part in (1, 2)])[1]


@cache
def layouts(geometry: Geometry) -> tuple[tuple[Placed, ...], ...]:
    """Every legal layout, the empty one too, each in the order of its starts."""
    places = [Placed(name, start) for name, profile in geometry.profiles.items() for start in profile.starts]
    ordered = sorted(((one.start, geometry.footprint(one), one) for one in places), key=lambda place: place[0])
    found: list[tuple[Placed, ...]] = []

    def extend(index: int, taken: int, placed: tuple[Placed, ...]) -> None:
        found.append(placed)
        for later in range(index, len(ordered)):
            _, footprint, one = ordered[later]
            if not taken & footprint:
                extend(later + 1, taken | footprint, (*placed, one))

    extend(0, 0, ())
    return tuple(found)


Counts = tuple[tuple[str, int], ...]
"""How many instances of each profile, by name; none with a count of 0."""


@cache
def layouts_by_counts(geometry: Geometry) -> Mapping[Counts, tuple[tuple[Placed, ...], ...]]:
    """The legal layouts by what they consist of."""
    found: dict[Counts, list[tuple[Placed, ...]]] = {}
    for layout in layouts(geometry):
        counts = Counter(one.profile for one in layout)
        found.setdefault(tuple(sorted(counts.items())), []).append(layout)
    return {counts: tuple(some) for counts, some in found.items()}


def arrangements(geometry: Geometry, counts: Mapping[str, int]) -> tuple[tuple[Placed, ...], ...]:
    """All legal ways to have so many instances of each profile, those that leave most profiles a start first."""
    wanted = tuple(sorted((profile, count) for profile, count in counts.items() if count))
    return tuple(sorted(layouts_by_counts(geometry).get(wanted, ()), key=partial(_closes, geometry)))


def arrange(geometry: Geometry, counts: Mapping[str, int]) -> tuple[Placed, ...] | None:
    """Legal starts for so many instances of each profile, leaving most profiles a start; None when there are none."""
    return next(iter(arrangements(geometry, counts)), None)


def _closes(geometry: Geometry, layout: tuple[Placed, ...]) -> tuple[int, int, list[int]]:
    """How little a layout leaves open: the profiles, then the starts that are left, then its own starts."""
    taken = geometry.taken(layout)
    left = [len(geometry.starts(taken, profile)) for profile in geometry.profiles]
    return -sum(map(bool, left)), -sum(left), [one.start for one in layout]
