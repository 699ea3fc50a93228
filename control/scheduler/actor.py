"""The scheduler: which workload holds which devices.

Stored: workloads with their leases, nodes. Observed: Ray's nodes. A crash at any line leaves either the old leases or
the new ones, never half a plan; it runs no process of its own, so there is nothing to clean up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from control.kernel.home import Home, Settings
from control.kernel.plan import Effect, Plan
from control.kernel.present import Drive
from control.kernel.store import Store
from control.scheduler.decide import decide
from control.scheduler.state import Snapshot
from control.scheduler.view import observe


@dataclass(frozen=True)
class Scheduler:
    drive: Drive
    name: str = "scheduler"
    period: float = 2.0

    def observe(self, store: Store, now: float) -> Snapshot:
        return observe(store, self.drive)

    def decide(self, snapshot: Snapshot) -> Plan:
        return decide(snapshot)


def wire(home: Home, settings: Settings, drive: Drive) -> tuple[Scheduler, Callable[[Effect], None]]:
    return Scheduler(drive), drive.act
