"""Which replica of a shard is asked: one that answers, with the fewest calls on their way. Pure: moments are given."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

SHUN_SECONDS, MOST_SHUN_SECONDS = 1.0, 8.0
"""For how long a replica that did not answer is asked last: twice as long each time, until it answers again; longer
where it was waited for longer.
"""


class _Shunned(NamedTuple):
    until: float
    seconds: float


_WELL = _Shunned(0.0, 0.0)


class ReplicaChoice:
    """`flying` are the calls on their way, by actor."""

    def __init__(self) -> None:
        self.flying: Counter[str] = Counter()
        self._shunned: dict[str, _Shunned] = {}
        self._turn = itertools.count()

    def pick(self, members: Sequence[str], tried: Collection[str], now: float) -> tuple[str, bool]:
        """One of those not tried yet, "" where there is none; and whether there are others."""
        untried = [one for one in members if one not in tried]
        if not untried:
            return "", False
        at = next(self._turn) % len(untried)
        turned = untried[at:] + untried[:at]
        best = min(turned, key=lambda one: (self._shunned.get(one, _WELL).until > now, self.flying[one]))
        return best, len(untried) > 1

    def answered(self, actor: str) -> None:
        self._shunned.pop(actor, None)

    def silent(self, actor: str, waited: float, now: float) -> None:
        """It was asked `waited` seconds ago, and did not answer."""
        before = self._shunned.get(actor, _WELL)
        seconds = max(min(2 * before.seconds, MOST_SHUN_SECONDS), SHUN_SECONDS, waited)
        self._shunned[actor] = _Shunned(now + seconds, seconds)
