"""Whose devices a workload may take: a lower class's, and what its queue may claim back. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from control.scheduler.admission import admitted
from control.scheduler.queue import Quotas
from control.scheduler.state import Phase, Rules, Workload


@dataclass(frozen=True)
class Claim:
    """What a workload may take from others. `quotas` are as they will be once those have stopped who were told to."""

    workload: Workload
    quotas: Quotas
    rules: Rules

    def may_take(self, holder: Workload, gone: Sequence[Workload] = ()) -> bool:
        """Whether the holder has to give way when `gone` have: a lower class of the same tenant, of nobody's quota or
        on borrowed quota, or a tenant that borrows what is claimed back.
        """
        if holder.phase is not Phase.LEASED or not holder.preemptible or holder.evictions >= self.rules.max_evictions:
            return False
        lower = self.priority(holder) < self.priority(self.workload)
        if holder.queue == self.workload.queue or not self.quotas.has(holder.queue):
            return lower
        left = self._without(gone)
        return (lower and left.borrows(holder.queue)) or left.may_reclaim(self.workload, holder)

    def admitted(self, gone: Sequence[Workload]) -> Workload | None:
        """The workload with what the quotas let it have once these are gone."""
        return admitted(self._without(gone), self.workload)[0]

    def admits(self, milli: int, gone: Sequence[Workload]) -> bool:
        """Whether the quotas let it have so many thousandths of a device once these are gone."""
        return not self._without(gone).refusal(self.workload, milli)

    def priority(self, workload: Workload) -> int:
        return self.rules.priorities.get(workload.priority_class, 0)

    def _without(self, gone: Sequence[Workload]) -> Quotas:
        if not gone or not self.rules.queues:
            return self.quotas
        trial = self.quotas.copy()
        for victim in gone:
            trial.remove(victim, victim.milli_devices)
        return trial
