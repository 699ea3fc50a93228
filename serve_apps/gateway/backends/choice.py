"""Which backends of a route a request tries, in which order, and why not the others. No I/O; the time comes in.

Kept in memory: how far each backend is behind its share of the route. A crash forgets it: the split begins anew.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from control.specs.trigger import Trigger
from serve_apps.gateway.backends.backend import Backend
from serve_apps.gateway.backends.health import Closed
from serve_apps.gateway.backends.watch import Watch
from serve_apps.gateway.turns import Turns

NOBODY: Mapping[Backend, Closed] = {}


@dataclass(slots=True, eq=False)
class Place:
    """A backend on one route. `watch` says what the route's triggers make of it; `share` is its weight of a sum of 1,
    `lag` by how many requests it is behind; it `follows` where another one fails.
    """

    backend: Backend
    watch: Watch
    share: float
    follows: bool
    lag: float = 0.0


@dataclass(frozen=True, slots=True)
class Remark:
    """Why a backend that is not well was left out, or is tried all the same for want of a better one."""

    backend: Backend
    why: str
    tried: bool = False

    def __str__(self) -> str:
        return f"{self.backend.name}: {self.why}" + (" (tried: none is better)" if self.tried else "")


@dataclass(frozen=True, slots=True)
class Choice:
    """The backends to try, the first one first; where none may be tried, `until` is the moment from which one may, in
    seconds, inf where that is not known. `remarks` are of those that are not well, in the order of fallback. `woken`
    is one whose turn it was and that sleeps: it is to be woken, and answers the next requests.
    """

    order: tuple[Backend, ...]
    remarks: tuple[Remark, ...]
    until: float
    woken: Backend | None = None

    @property
    def words(self) -> str:
        """For a header and for `explain`."""
        return "; ".join(map(str, self.remarks))


class Chooser:
    """One route's. `backends` are its backends with their weights, of which one at least is above 0; `chain` are the
    providers to fall back to, in order; empty where nothing is said, and then all follow, the largest weight first.
    Who has no weight is only fallen back to, who is not in the chain never. `triggers` say when one is left.

    First tries are split by weight. What comes after, because the first one failed, is not counted against the shares:
    a backend that helps out for another one keeps its own requests.
    """

    def __init__(
        self, backends: Sequence[tuple[Backend, float]], chain: Sequence[str] = (), triggers: Sequence[Trigger] = ()
    ) -> None:
        total = sum(weight for _, weight in backends)
        places = [
            Place(backend, Watch(backend, triggers), weight / total, follows)
            for backend, weight in backends
            if (follows := not chain or backend.provider in chain) or weight > 0
        ]
        if chain:
            places.sort(key=lambda one: chain.index(one.backend.provider) if one.follows else len(chain))
        else:
            places.sort(key=lambda one: -one.share)
        self._places = places
        self._takers = [one for one in places if one.share > 0]
        self._turns = Turns(self._takers)

    @property
    def backends(self) -> list[Backend]:
        """Those that may be asked: who has no weight and is not in the chain is not."""
        return [place.backend for place in self._places]

    def go_on(self, before: Chooser) -> None:
        """Takes over how the last configuration's triggers stand, and where the backends and their shares are the same
        its turns.
        """
        watches = {one.backend: one.watch for one in before._places}
        for place in self._places:
            if (watch := watches.get(place.backend)) is not None:
                place.watch.go_on(watch)
        if [(one.backend, one.share) for one in self._places] == [(one.backend, one.share) for one in before._places]:
            for mine, theirs in zip(self._places, before._places, strict=True):
                mine.lag = theirs.lag

    def left(self, now: float) -> Iterator[tuple[Backend, str]]:
        """Each of `backends` with why it is not asked at `now` while another one is well, empty where it is."""
        for place in self._places:
            closed = place.backend.closed(now)
            yield place.backend, closed.why if closed else place.watch.sick(now)

    def choose(self, now: float, barred: Mapping[Backend, Closed] = NOBODY, asleep: Collection[Backend] = ()) -> Choice:
        """For one request at `now`, in seconds. `barred` are backends that must not be asked for a reason from outside,
        as an exhausted budget. Those `asleep` would keep it waiting: others that are well are asked before them.

        Where the triggers keep requests from all that may be asked, these are asked all the same, the best one first.
        """
        well: list[Place] = []
        sick: list[Place] = []
        notes: list[tuple[Place, str]] = []
        until = math.inf
        for place in self._places:
            backend = place.backend
            closed = (barred.get(backend) if barred else None) or backend.closed(now)
            if closed is not None:
                notes.append((place, closed.why))
                until = min(until, closed.until)
            elif why := place.watch.sick(now):
                notes.append((place, why))
                sick.append(place)
            else:
                well.append(place)
        places = well or sorted(sick, key=lambda one: one.watch.badness)
        takers = self._takers if len(well) == len(self._places) else [one for one in well if one.share > 0]
        first = self._turns.next(takers) if takers else next(iter(places), None)
        order = _order(first, places, asleep) if first else ()
        remarks = tuple(Remark(place.backend, why, place.backend in order) for place, why in notes)
        woken = first.backend if first and first.backend is not order[0] else None
        return Choice(order, remarks, until, woken)


def _order(first: Place, places: Sequence[Place], asleep: Collection[Backend]) -> tuple[Backend, ...]:
    """`first` and who follows it. Where it sleeps, one that is awake goes before it, also one that follows nobody: it
    takes requests of its own, as it does where the first one is not well.
    """
    order = [first.backend, *[one.backend for one in places if one.follows and one is not first]]
    if not asleep:
        return tuple(order)
    if first.backend in asleep:
        order = [*[one.backend for one in places if one.backend not in asleep][:1], *order]
    return tuple(sorted(dict.fromkeys(order), key=lambda one: one in asleep))
