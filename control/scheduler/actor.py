"""The scheduler: which workload holds which devices.

Stored: workloads with their leases, nodes. Observed: Ray's nodes with what their agents report, the placement groups,
steps and applications. A crash at any line leaves either the old leases or the new ones, never half a plan. Placement
groups that were asked for without their lease being kept, or whose lease went, are found by their names and removed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from control.kernel.home import Home, Settings
from control.kernel.plan import Effect, Plan
from control.kernel.present import Drive
from control.kernel.store import Store
from control.scheduler.decide import decide
from control.scheduler.recorder import Recorder
from control.scheduler.state import Snapshot
from control.scheduler.view import Memory, observe


@dataclass(frozen=True)
class Scheduler:
    """`devices` is the directory in which simulated nodes keep their devices."""

    drive: Drive
    devices: str = ""
    recorder: Recorder | None = None
    memory: Memory = field(default_factory=Memory)
    name: str = "scheduler"
    period: float = 2.0

    def observe(self, store: Store, now: float) -> Snapshot:
        return observe(store, self.drive, now, self.devices, self.memory)

    def decide(self, snapshot: Snapshot) -> Plan:
        plan = decide(snapshot)
        if plan and self.recorder is not None:
            self.recorder.note(snapshot, plan)
        return plan


def wire(home: Home, settings: Settings, drive: Drive) -> tuple[Scheduler, Callable[[Effect], None]]:
    return Scheduler(drive, str(home.devices), Recorder(home.decisions)), drive.act
