"""Ways to schedule that a trace can be simulated under: ours, and what it is compared with. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import Enum

from control.scheduler.state import Rules
from control.scheduler.trace import Job


class Discipline(Enum):
    """`PLAIN` is ours without preemption and backfill. `FIFO` knows neither classes nor tenants nor quotas."""

    BIPLANE = "biplane"
    PLAIN = "biplane-without-preemption-and-backfill"
    FIFO = "fifo"

    def rules(self, rules: Rules) -> Rules:
        match self:
            case Discipline.BIPLANE:
                return rules
            case Discipline.PLAIN:
                return replace(rules, preemption=False, backfill=False)
            case Discipline.FIFO:
                alike = dict.fromkeys(rules.priorities, 0)
                return replace(rules, priorities=alike, preemption=False, backfill=False, queues=())

    def jobs(self, jobs: Iterable[Job]) -> tuple[Job, ...]:
        """First come, first served is what the queue does with jobs of one tenant that do not say how long they run."""
        if self is not Discipline.FIFO:
            return tuple(jobs)
        return tuple(replace(job, workload=replace(job.workload, queue="", duration=0.0)) for job in jobs)
