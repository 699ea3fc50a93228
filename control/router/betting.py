"""Evidence about means of scores in [0, 1] that may be looked at as often as one likes. Pure.

Bet a fixed part c of one's capital, round after round, on the next score lying above a mean m: a score of y multiplies
the capital by 1 + c (y/m - 1), never below 0. While the expected next score, given all before, is at most m, that
is no better than a fair game, so by Ville's inequality the capital ever reaches 1/alpha with probability at most alpha,
whenever one looks and stops. What starts with equal parts on several c is such a game too, and depends on how
often each score came only: two readings are all that has to be kept. The capital is the e-value.

Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS-B 86 (2024), sections 4 and 5;
Howard, Ramdas, McAuliffe and Sekhon, Time-uniform, nonparametric, nonasymptotic confidence sequences, Annals of
Statistics 49 (2021); Ville, Étude critique de la notion de collectif (1939).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BETS: Floats = np.geomspace(0.001, 0.95, 24)
"""Dense enough that the best bet lies between two that win nearly as much; they share the capital."""
_CELLS = 64
_LEAST_MEAN = 1e-9


@dataclass(frozen=True)
class Scores:
    """Scores in [0, 1] and how often each came; `counts` may be fractions: what came together counts as less."""

    values: Floats
    counts: Floats

    @property
    def total(self) -> float:
        return float(self.counts.sum())

    @property
    def mean(self) -> float:
        """Of at least one score."""
        return float(self.values @ self.counts) / self.total


def log_e_value(scores: Scores, mean: float) -> float:
    """The logarithm of the evidence against an expected score of at most `mean`; it falls as `mean` rises."""
    return float(_log_e_values(scores, np.array([mean]))[0])


def log_e_above(scores: Scores, others: Scores, margin: float) -> float:
    """The logarithm of the evidence against an expected score of at most that of `others` plus `margin`.

    Were the others' expected score m, then the capital of a bet that theirs is below m times that of a bet that ours is
    above m + margin would be a fair game's. What m is nobody knows, so the least of these products counts. Of the
    others' capital half is not bet, so that a low m costs no more than that, and the least is at their mean or above.
    Between two points of the grid the first factor is taken at the lower, where it is less, the second at the upper.
    """
    grid = np.linspace(0.0, 1.0, _CELLS + 1) ** 2
    means = others.mean + (1 - others.mean) * grid
    opposite = Scores(1 - others.values, others.counts)
    below = np.logaddexp(0.0, _log_e_values(opposite, 1 - means[:-1])) - np.log(2)
    above = _log_e_values(scores, means[1:] + margin)
    return float((below + above).min())


def _log_e_values(scores: Scores, means: Floats) -> Floats:
    """For each mean; nothing is known against a mean of 1."""
    wins = scores.values / np.clip(means, _LEAST_MEAN, 1.0)[:, None] - 1
    growth = np.log1p(_BETS[:, None] * wins[:, None, :]) @ scores.counts
    best = growth.max(axis=1)
    logs = best + np.log(np.exp(growth - best[:, None]).mean(axis=1))
    return np.where(means >= 1, np.minimum(logs, 0.0), logs)
