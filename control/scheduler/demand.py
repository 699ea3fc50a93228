"""What is expected to be asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from control.scheduler.state import WHOLE, Ask

TYPICAL = 128
"""So many of the asks are told apart when the loss of a placement is weighed: those that want most devices."""


@dataclass(frozen=True)
class Demand:
    """Distinct asks, and how often each comes. A weight of 1 is one piece that was seen."""

    asks: tuple[Ask, ...]
    weights: tuple[float, ...]

    @classmethod
    def of(cls, asks: Iterable[Ask]) -> Demand:
        """How often each ask occurs among those that are running, waiting, or were seen before."""
        counts: dict[Ask, int] = {}
        for ask in asks:
            counts[ask] = counts.get(ask, 0) + 1
        return cls(tuple(counts), tuple(float(count) for count in counts.values()))

    def typical(self) -> Demand:
        """The asks for devices that want most of them, and the prior, which counts as one more piece."""
        seen = [(a, w) for a, w in zip(self.asks, self.weights, strict=True) if a.devices]
        seen.sort(key=lambda one: -one[1] * one[0].devices * one[0].milli)
        every = [*seen[:TYPICAL], *((ask, 1 / len(PRIOR)) for ask in PRIOR)]
        return Demand(tuple(ask for ask, _ in every), tuple(weight for _, weight in every))


PRIOR = (*(Ask(devices=count) for count in (1, 2, 4, 8)), Ask(devices=1, milli=WHOLE // 2))
"""What is expected of a cluster of which nothing is known: gangs of one to eight devices, and halves, all alike."""

NOTHING_KNOWN = Demand((), ())
