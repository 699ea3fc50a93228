"""What a person may ask of the devices: who is where, and why a workload waits. Read from the store alone."""

from __future__ import annotations

from collections.abc import Iterable

from control.kernel.store import Object
from control.scheduler.occupancy import Occupancy, occupancy
from control.scheduler.view import Memory, stored_snapshot
from control.scheduler.why import Why, why


def occupancy_of(stored: Iterable[Object], now: float) -> Occupancy:
    snapshot = stored_snapshot(tuple(stored), now, Memory())
    return occupancy(snapshot.nodes, snapshot.workloads)


def why_of(workload: str, stored: Iterable[Object], now: float) -> Why:
    """As the scheduler would answer now. A workload that can no longer be read is told apart."""
    snapshot = stored_snapshot(tuple(stored), now, Memory())
    broken = [one.reason for one in snapshot.broken if (one.kind, one.name) == ("Workload", workload)]
    if broken:
        return Why((f"the scheduler leaves it out: {broken[0]}",))
    return why(workload, snapshot)
