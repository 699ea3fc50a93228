"""What ended lately, of the counts that gateways keep since they began. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from control.router.rollout_state import Reading
from control.traffic import Traffic

SECONDS = 30.0


@dataclass(frozen=True)
class Recent:
    """Readings of one deployment with their times, oldest first, over the last half minute and no longer."""

    readings: tuple[tuple[float, Reading], ...] = ()

    def then(self, now: float, reading: Reading) -> Recent:
        """With what is read now. The last one that is older than half a minute stays, for all others to begin at."""
        earlier = tuple(one for one in self.readings if one[0] < now)
        old = sum(at <= now - SECONDS for at, _ in earlier)
        return Recent((*earlier[max(0, old - 1) :], (now, reading)))

    @property
    def traffic(self) -> Traffic:
        """What ended since; nothing where there was one reading only."""
        return self.readings[-1][1].since(self.readings[0][1]).traffic if self.readings else Traffic()
