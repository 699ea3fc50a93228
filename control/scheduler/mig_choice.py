"""On which device, and where on it, a MIG instance is created. Pure.

Every way to create the instance on a device of the fleet has a cost in memory slices, and the cheapest is taken:

    slices that are free before   the fuller device first: an empty one is worth keeping for the large requests
  - 0.2 × instances before        many instances are long in leaving, a device with few may soon be empty
  + 4 × slices spoiled            how many more slices stay free when what is usually asked for fills the device up
  + 0.5 × what it closes          for each profile that finds no start there any more: its share of the requests by
                                  the share of the devices where it still has one

Of equals the first state in order, then the lowest start, then the first device. The weights were chosen once, over
six mixes of requests from single slices to whole devices (`scripts/bench/mig.py` has three of them), for no seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from control.scheduler.mig import Geometry, Placed

_INSTANCE, _SPOILED, _CLOSED = 0.2, 4.0, 0.5
_RARE = 0.01
"""Added to the share of devices where a profile has a start: the last such device is dear, not priceless."""
_STEPS = 100
"""Popularity is rounded to so many parts: what was computed for one serves as long as it hardly changes."""

State = TypeVar("State", bound=tuple[Any, ...])
Popularity = tuple[float, ...]
"""The share of each profile in what is asked for, in the order of the geometry."""


class Cut(NamedTuple):
    """A device as the choice sees it: the footprints of its instances together, and their number."""

    taken: int = 0
    instances: int = 0

    @classmethod
    def of(cls, geometry: Geometry, placed: Sequence[Placed]) -> Cut:
        return cls(geometry.taken(placed), len(placed))


@dataclass(frozen=True)
class _Moves:
    """The ways to create an instance of one profile: (M,) indexes of the state before and after, and the start."""

    before: npt.NDArray[np.intp]
    after: npt.NDArray[np.intp]
    starts: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Ways(Generic[State]):
    """Every state that a device can have, C of them, and every way on from there.

    `room`: (C,) free memory slices; `instances`: (C,); `fits`: (C, P) 1 where a profile has a start; `moves` of each
    profile, in the order of the geometry.
    """

    geometry: Geometry
    states: tuple[State, ...]
    index: Mapping[State, int]
    room: npt.NDArray[np.float64]
    instances: npt.NDArray[np.float64]
    fits: npt.NDArray[np.float64]
    moves: Mapping[str, _Moves]

    @classmethod
    def of(
        cls, geometry: Geometry, empty: State, steps: Callable[[State], Iterable[tuple[Placed, State]]]
    ) -> Ways[State]:
        """`steps` says of a state what can be created there, and which state it is then."""
        found: dict[State, list[tuple[Placed, State]]] = {}
        sizes = {empty: (geometry.memory_slices, 0)}
        ahead = [empty]
        while ahead:
            state = ahead.pop()
            if state in found:
                continue
            found[state] = list(steps(state))
            room, instances = sizes[state]
            for placed, after in found[state]:
                sizes[after] = (room - geometry.profiles[placed.profile].memory_slices, instances + 1)
                ahead.append(after)
        states = tuple(sorted(found))
        index = {state: number for number, state in enumerate(states)}
        fits, moves = np.zeros((len(index), len(geometry.profiles))), {}
        for column, name in enumerate(geometry.profiles):
            rows = [
                (index[state], placed.start, index[after])
                for state in index
                for placed, after in found[state]
                if placed.profile == name
            ]
            before, starts, then = zip(*rows, strict=True)
            moves[name] = _Moves(np.array(before), np.array(then), starts)
            fits[moves[name].before, column] = 1
        room, instances = np.array([sizes[state] for state in index], float).T
        return cls(geometry, states, index, room, instances, fits, moves)

    def cheapest(
        self, population: Mapping[State, int], profile: str, popularity: Popularity
    ) -> tuple[State, int] | None:
        """For a fleet of so many devices in each state: the state of the device to take, and the start there."""
        count = np.zeros(len(self.states))
        for state, devices in population.items():
            count[self.index[state]] = devices
        moves = self.moves[profile]
        here = np.flatnonzero(count[moves.before])
        if not here.size:
            return None
        before, after = moves.before[here], moves.after[here]
        spoiled = _spoiled(self, popularity)
        price = np.array(popularity) / (count @ self.fits / count.sum() + _RARE)
        cost = (
            self.room[before]
            - _INSTANCE * self.instances[before]
            + _SPOILED * (spoiled[after] - spoiled[before])
            + _CLOSED * (self.fits[before] - self.fits[after]) @ price
        )
        # Rounded, so that sums in another order do not decide between equals.
        best = here[int(cost.round(9).argmin())]
        return self.states[moves.before[best]], moves.starts[best]


def choose(
    geometry: Geometry, devices: Sequence[Cut], profile: str, asked: Mapping[str, int]
) -> tuple[int, int] | None:
    """The index of the device to create an instance on, and its start; None when it has no start on any.

    `asked` counts how often each profile was asked for so far.
    """
    found = ways_of(geometry).cheapest(Counter(devices), profile, popularity_of(geometry, asked))
    return None if found is None else (devices.index(found[0]), found[1])


def popularity_of(geometry: Geometry, asked: Mapping[str, int]) -> Popularity:
    """The share of each profile: one request of each is assumed beside what was asked, but for media engines."""
    weights = [asked.get(name, 0) + (not profile.media) for name, profile in geometry.profiles.items()]
    total = sum(weights)
    return tuple(round(_STEPS * weight / total) / _STEPS for weight in weights)


@cache
def ways_of(geometry: Geometry) -> Ways[Cut]:
    """What can be created on a device beside instances that stay where they are."""
    places = [Placed(name, start) for name, profile in geometry.profiles.items() for start in profile.starts]
    footprints = [(placed, geometry.footprint(placed)) for placed in places]

    def steps(cut: Cut) -> list[tuple[Placed, Cut]]:
        return [
            (placed, Cut(cut.taken | footprint, cut.instances + 1))
            for placed, footprint in footprints
            if not cut.taken & footprint
        ]

    return Ways.of(geometry, Cut(), steps)


@lru_cache(maxsize=256)
def _spoiled(ways: Ways[Any], popularity: Popularity) -> npt.NDArray[np.float64]:
    """(C,) the memory slices that stay free when requests of this popularity fill a device up.

    Each takes the start that leaves room for most; those that find none go elsewhere. Nobody leaves.
    """
    filled = np.zeros(len(ways.states))
    best = np.zeros((len(ways.states), len(popularity)))
    # A state is filled up from states with less room: these are done first.
    for room in np.unique(ways.room):
        here = ways.room == room
        for column, profile in enumerate(ways.geometry.profiles.values()):
            moves = ways.moves[profile.name]
            rows = here[moves.before]
            np.maximum.at(best[:, column], moves.before[rows], filled[moves.after[rows]] + profile.memory_slices)
        weights = ways.fits[here] * popularity
        total = weights.sum(axis=1)
        filled[here] = (weights * best[here]).sum(axis=1) / np.where(total, total, 1)
    return ways.room - filled
