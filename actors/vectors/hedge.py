"""When a read that has no answer yet goes to another replica as well. Pure.

It waits for twice as long as nearly all such reads take, and only then is asked of another one too (Dean and Barroso,
"The Tail at Scale", 2013). How many are is bounded: a shard that is slow for all it has to do must not get more of it.
"""

from __future__ import annotations

LEAST_SECONDS, MOST_SECONDS = 0.05, 1.0
"""Nobody waits shorter, or longer, before another one is asked."""
SHARE = 0.1
"""Of the reads at most are asked of another one; so many at once as well, where there were none for long:"""
BURST = 5.0
_QUANTILE, _STEP = 0.99, 0.5


class Hedge:
    """Of reads of one kind, of one shard."""

    def __init__(self) -> None:
        self._usual = LEAST_SECONDS / 2
        self._saved = BURST

    def begin(self) -> None:
        """One more read."""
        self._saved = min(BURST, self._saved + SHARE)

    def patience(self, left: float) -> float:
        """Seconds until another one is to be asked: at most half of those that are `left`."""
        return min(2 * self._usual, left / 2)

    def spend(self) -> bool:
        """Whether another one may be asked now. If not, the read waits for half of its time."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True

    def answered(self, seconds: float) -> None:
        """So long it took the one that answered: a step of the running quantile, which so many stay below.

        Steps up and down are in the inverse ratio of how often they are to be (Ma, Muthukrishnan and Sandler, "Frugal
        streaming for estimating quantiles", 2013), here as factors: times differ by orders of magnitude.
        """
        factor = 1 + _STEP * _QUANTILE if seconds > self._usual else 1 - _STEP * (1 - _QUANTILE)
        self._usual = min(max(self._usual * factor, LEAST_SECONDS / 2), MOST_SECONDS / 2)
