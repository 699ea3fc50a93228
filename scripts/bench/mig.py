"""Churn of MIG slices: what share of the requests is accepted, by policy, in one run on the same requests.

100 H100 nodes with 8 devices each, empty at first. Requests for one slice each come as a Poisson process and stay for
an exponential time; who finds no place is rejected. A load of 100 % offers as many memory slices as there are: the rate
of the requests times the mean time they stay times the mean of their memory slices is 6,400. Compute runs out earlier:
seven 1g.10gb fill a device of eight memory slices. The first 5 mean times are not counted, the next 20 are.

  biplane      control.scheduler.mig_choice; it learns the mix from the requests so far
  first_fit    the first device with a legal start, the lowest start
  templates    as HAMi up to 2.9: an empty device gets the first of four templates with a slice that is large enough,
               and serves from it until it is empty again; the first device in order, there the smallest free slice
               with as much memory
  exhaustive   the best on each device: running slices move within their device at no cost, so a device takes whatever
               has any legal layout together with what it holds. Which of those devices it is, is chosen at the same
               cost as biplane's, with the mix known. No real device can do that.

Usage: python -m scripts.bench.mig [--json] [--seed S] [--load 80,90,100,110] [--mix even|small|article]
"""

from __future__ import annotations

import argparse
import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Generic, Protocol

import numpy as np
from rich.console import Console
from rich.table import Table

from control.scheduler.mig import Geometry, Placed, geometry_of, layouts_by_counts
from control.scheduler.mig_choice import Cut, State, Ways, popularity_of, ways_of

NODES, DEVICES_EACH = 100, 8
WARM_UP, COUNTED = 5.0, 20.0
MIXES: Mapping[str, Mapping[str, float]] = {
    "even": dict.fromkeys(("1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"), 1.0),
    "small": {"1g.10gb": 50, "1g.20gb": 10, "2g.20gb": 20, "3g.40gb": 12, "4g.40gb": 4, "7g.80gb": 4},
    "article": {"1g.10gb": 2, "2g.20gb": 1, "3g.40gb": 1},
}
"""How often each profile is asked for: all alike; mostly small; in the shares of the article's layout."""
TEMPLATES = ({"1g.10gb": 7}, {"1g.10gb": 1, "2g.20gb": 3}, {"3g.40gb": 2}, {"7g.80gb": 1})
"""In HAMi's order; the slices of each smallest first."""

Held = tuple[int, Placed]
"""A device and what was created on it."""


class Policy(Protocol):
    """Where a slice goes. It keeps count of what is on the devices by itself."""

    def place(self, profile: str) -> Held | None: ...

    def release(self, held: Held) -> None: ...


class Fleet(Generic[State]):
    """Devices by their state; of those in one state the first is found."""

    def __init__(self, empty: State, devices: int) -> None:
        self.states = [empty] * devices
        self.population = Counter({empty: devices})
        self._waiting: dict[State, list[int]] = defaultdict(list, {empty: list(range(devices))})

    def first(self, state: State) -> int:
        waiting = self._waiting[state]
        while self.states[waiting[0]] != state:
            heapq.heappop(waiting)
        return waiting[0]

    def first_of(self, states: Iterable[State]) -> tuple[int, State] | None:
        """The first device in one of the states, and its state."""
        return min(((self.first(state), state) for state in states), default=None)

    def move(self, device: int, state: State) -> None:
        before = self.states[device]
        self.population[before] -= 1
        if not self.population[before]:
            del self.population[before]
        self.states[device] = state
        self.population[state] += 1
        heapq.heappush(self._waiting[state], device)


class Biplane:
    def __init__(self, geometry: Geometry, devices: int) -> None:
        self._geometry = geometry
        self._fleet = Fleet(Cut(), devices)
        self._asked: Counter[str] = Counter()

    def place(self, profile: str) -> Held | None:
        self._asked[profile] += 1
        popularity = popularity_of(self._geometry, self._asked)
        found = ways_of(self._geometry).cheapest(self._fleet.population, profile, popularity)
        if found is None:
            return None
        cut, start = found
        placed, device = Placed(profile, start), self._fleet.first(cut)
        self._fleet.move(device, Cut(cut.taken | self._geometry.footprint(placed), cut.instances + 1))
        return device, placed

    def release(self, held: Held) -> None:
        device, placed = held
        cut = self._fleet.states[device]
        self._fleet.move(device, Cut(cut.taken & ~self._geometry.footprint(placed), cut.instances - 1))


class FirstFit:
    def __init__(self, geometry: Geometry, devices: int) -> None:
        self._geometry = geometry
        self._fleet = Fleet((0,), devices)
        self._starts = cache(geometry.starts)

    def place(self, profile: str) -> Held | None:
        found = self._fleet.first_of(state for state in self._fleet.population if self._starts(*state, profile))
        if found is None:
            return None
        device, (taken,) = found
        placed = Placed(profile, self._starts(taken, profile)[0])
        self._fleet.move(device, (taken | self._geometry.footprint(placed),))
        return device, placed

    def release(self, held: Held) -> None:
        device, placed = held
        self._fleet.move(device, (self._fleet.states[device][0] & ~self._geometry.footprint(placed),))


class Templates:
    """A device's state is its template and the free slices of it; without a used one it has no template."""

    def __init__(self, geometry: Geometry, devices: int) -> None:
        self._slices = {name: profile.memory_slices for name, profile in geometry.profiles.items()}
        self._fleet: Fleet[tuple[int, ...]] = Fleet((), devices)
        self._serving = cache(self._serve)

    def place(self, profile: str) -> Held | None:
        served = {state: one for state in self._fleet.population if (one := self._serving(state, profile))}
        found = self._fleet.first_of(served)
        if found is None:
            return None
        device, state = found
        template, free, name = served[state]
        self._fleet.move(device, (template, *(count - (one == name) for one, count in free.items())))
        return device, Placed(name, 0)

    def release(self, held: Held) -> None:
        device, placed = held
        template, *free = self._fleet.states[device]
        names = list(TEMPLATES[template])
        free[names.index(placed.profile)] += 1
        self._fleet.move(device, () if free == list(TEMPLATES[template].values()) else (template, *free))

    def _serve(self, state: tuple[int, ...], profile: str) -> tuple[int, Mapping[str, int], str] | None:
        """The template, what is free of it and the slice that is given; None when none is large enough."""
        least = self._slices[profile]
        if not state:
            template = next(i for i, one in enumerate(TEMPLATES) if max(self._slices[name] for name in one) >= least)
            state = (template, *TEMPLATES[template].values())
        free = dict(zip(TEMPLATES[state[0]], state[1:], strict=True))
        name = next((name for name, count in free.items() if count and self._slices[name] >= least), None)
        return None if name is None else (state[0], free, name)


class Exhaustive:
    def __init__(self, geometry: Geometry, devices: int, mix: Mapping[str, float]) -> None:
        self._names = tuple(geometry.profiles)
        legal = {tuple(dict(counts).get(name, 0) for name in self._names) for counts in layouts_by_counts(geometry)}

        def steps(counts: tuple[int, ...]) -> Iterator[tuple[Placed, tuple[int, ...]]]:
            for index, name in enumerate(self._names):
                after = (*counts[:index], counts[index] + 1, *counts[index + 1 :])
                if after in legal:
                    yield Placed(name, 0), after

        self._fleet = Fleet((0,) * len(self._names), devices)
        self._ways = Ways.of(geometry, self._fleet.states[0], steps)
        self._popularity = tuple(mix.get(name, 0) / sum(mix.values()) for name in self._names)

    def place(self, profile: str) -> Held | None:
        found = self._ways.cheapest(self._fleet.population, profile, self._popularity)
        if found is None:
            return None
        before, _ = found
        index, device = self._names.index(profile), self._fleet.first(before)
        self._fleet.move(device, (*before[:index], before[index] + 1, *before[index + 1 :]))
        return device, Placed(profile, 0)

    def release(self, held: Held) -> None:
        device, placed = held
        index, before = self._names.index(placed.profile), self._fleet.states[device]
        self._fleet.move(device, (*before[:index], before[index] - 1, *before[index + 1 :]))


POLICIES = ("biplane", "first_fit", "templates", "exhaustive")


@dataclass(frozen=True)
class Request:
    """`at` and `stays` in mean times that a request stays."""

    at: float
    profile: str
    stays: float


def requests(geometry: Geometry, devices: int, mix: Mapping[str, float], load: int, seed: int) -> Iterator[Request]:
    """Requests of `load` percent."""
    rng = np.random.default_rng((seed, load))
    names, shares = list(mix), np.array(list(mix.values())) / sum(mix.values())
    mean = shares @ [geometry.profiles[name].memory_slices for name in names]
    rate = load / 100 * devices * geometry.memory_slices / mean
    count = int(rate * (WARM_UP + COUNTED))
    ats, chosen = np.cumsum(rng.exponential(1 / rate, count)), rng.choice(len(names), count, p=shares)
    for at, index, stays in zip(ats.tolist(), chosen.tolist(), rng.exponential(1, count).tolist(), strict=True):
        yield Request(at, names[index], stays)


def accepted_pct(policy: Policy, asked: Iterator[Request]) -> float:
    """The share of the requests after the warm-up that found a place, in percent."""
    running: list[tuple[float, int, Held]] = []
    counted = accepted = 0
    for number, request in enumerate(asked):
        while running and running[0][0] <= request.at:
            policy.release(heapq.heappop(running)[2])
        held = policy.place(request.profile)
        if held is not None:
            heapq.heappush(running, (request.at + request.stays, number, held))
        if request.at >= WARM_UP:
            counted += 1
            accepted += held is not None
    return 100 * accepted / counted


def measure(mix: Mapping[str, float], load: int, seed: int, devices: int) -> dict[str, float]:
    """The accepted share of each policy, in percent."""
    geometry = geometry_of("H100", 80 << 30)
    assert geometry is not None
    policies: tuple[Policy, ...] = (
        Biplane(geometry, devices),
        FirstFit(geometry, devices),
        Templates(geometry, devices),
        Exhaustive(geometry, devices, mix),
    )
    return {
        name: round(accepted_pct(policy, requests(geometry, devices, mix, load, seed)), 3)
        for name, policy in zip(POLICIES, policies, strict=True)
    }


def show(rows: Mapping[int, Mapping[str, float]], title: str) -> None:
    table = Table("load %", *POLICIES, "fewer rejections than first fit %", title=title, caption="accepted %")
    for load, accepted in rows.items():
        table.add_row(str(load), *(f"{share:.3f}" for share in accepted.values()), _fewer(accepted))
    Console().print(table)


def _fewer(accepted: Mapping[str, float]) -> str:
    rejected = 100 - accepted["first_fit"]
    return f"{100 * (accepted['biplane'] - accepted['first_fit']) / rejected:.1f}" if rejected else "none rejected"


def loads(text: str) -> list[int]:
    """Raises ValueError for anything but percentages above 0."""
    found = [int(part) for part in text.split(",")]
    if min(found) <= 0:
        raise ValueError(text)
    return found


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.mig", description=__doc__, formatter_class=form)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--load", type=loads, default="80,90,100,110", help="percent, with commas between (%(default)s)"
    )
    parser.add_argument("--mix", choices=MIXES, default="even")
    given = parser.parse_args()
    rows = {load: measure(MIXES[given.mix], load, given.seed, NODES * DEVICES_EACH) for load in given.load}
    about = {"seed": given.seed, "mix": MIXES[given.mix], "definitions": __doc__}
    if given.json:
        first = 100 if 100 in rows else next(iter(rows))
        others = [{"load": load, "accepted_pct": accepted} for load, accepted in rows.items() if load != first]
        print(json.dumps({"load": first, "accepted_pct": rows[first], "rows": others, **about}))
    else:
        show(rows, f"{NODES} nodes × {DEVICES_EACH} H100, mix {given.mix}, seed {given.seed}")


if __name__ == "__main__":
    main()
