"""Whose turn it is among several that have shares, exactly by share. Pure."""

import math
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

ROUNDING = 1e-9


class Taker(Protocol):
    """`share` is above 0 and, with those of the others, of a sum of 1; `lag` is by how many requests it is behind."""

    share: float
    lag: float


One = TypeVar("One", bound=Taker)


class Turns(Generic[One]):
    """The turns of `takers`, which hold their lags themselves.

    The order is R. Tijdeman's for the chairman assignment problem (Discrete Mathematics 32, 1980): of k takers, every
    one has had its share of the first n requests to within 1 - 1/(2k - 2) of a request, whatever n and the shares;
    of any n requests in a row to within twice that (one request for two takers). That holds for some of them, always
    the same ones, as for all. Where others are asked at every turn, two are as exact, and of k from 3 to 6 none was
    found more than k/2 requests off by a search for the worst (tests/serve_apps/gateway/test_turns.py).
    """

    def __init__(self, takers: Sequence[One]) -> None:
        self._takers = takers
        self._least = 1 / max(2 * len(takers) - 2, 1)

    def next(self, takers: Sequence[One]) -> One:
        """Whose turn it is of `takers`, some or all of them; the others do not fall behind meanwhile."""
        total = 1.0 if takers is self._takers else sum(one.share for one in takers)
        least, best, furthest, soonest = self._least, None, takers[0], math.inf
        for one in takers:
            lag = one.lag = one.lag + one.share / total
            if lag > furthest.lag:
                furthest = one
            if lag >= least - ROUNDING and (deadline := (1 - least - lag) / one.share) < soonest:
                best, soonest = one, deadline
        if best is None or furthest.lag > 2 - least + ROUNDING:
            best = furthest  # nobody is due, or one waits in vain, where takers left and returned: whoever waited most
        best.lag -= 1
        return best
