"""Vectors control: where the replicas of collections lie, and who leads each shard.

Stored: the shards, with epoch, leader and members, written with compare-and-set; the table that clients read.
Observed: the replicas' actors. A crash between a record and what follows from it leaves a shard whose replicas have not
been told: the next pass tells them. While this actor is dead leaders lead on, and Ray restarts a replica where it died,
with the directory and the role that it had; only a leader that stays away is not replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from control.kernel.home import Home, Settings
from control.kernel.plan import Effect, Plan
from control.kernel.present import Drive
from control.kernel.store import Store
from control.vectors.decide import decide
from control.vectors.state import Phase, Snapshot, Surroundings
from control.vectors.view import Memory, observe


@dataclass(frozen=True)
class Vectors:
    drive: Drive
    surroundings: Surroundings
    memory: Memory = field(default_factory=Memory)
    name: str = "vectors"

    @property
    def period(self) -> float:
        """Shorter while writes wait for what is decided next."""
        return 0.1 if self.memory.closed else 1.0

    def observe(self, store: Store, now: float) -> Snapshot:
        snapshot = observe(store, self.drive, self.surroundings, self.memory, now)
        self.memory.closed = any(one.closed and one.phase is not Phase.ENDING for one in snapshot.shards)
        return snapshot

    def decide(self, snapshot: Snapshot) -> Plan:
        return decide(snapshot)


def wire(home: Home, settings: Settings, drive: Drive) -> tuple[Vectors, Callable[[Effect], None]]:
    return Vectors(drive, Surroundings(str(home.vectors), str(home.claims), str(home.internal_key_file))), drive.act
