"""The registry: which models and versions exist, and where each one is.

Stored: versions, their stages, and the deployment record (the events of each version). Observed: MLflow. A crash
leaves an alias behind the record at worst; the next pass sets it. While MLflow is away nothing changes here, and what
serves goes on serving.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from control.kernel.home import Home, Settings
from control.kernel.plan import Effect, Plan
from control.kernel.present import Drive
from control.kernel.store import Store
from control.registry.decide import decide
from control.registry.state import Snapshot
from control.registry.view import Mlflow, observe


@dataclass(frozen=True)
class Registry:
    mlflow: Mlflow
    name: str = "registry"
    period: float = 5.0

    def observe(self, store: Store, now: float) -> Snapshot:
        return observe(store, self.mlflow)

    def decide(self, snapshot: Snapshot) -> Plan:
        return decide(snapshot)


def wire(home: Home, settings: Settings, drive: Drive) -> tuple[Registry, Callable[[Effect], None]]:
    from control.registry.mlflow_door import MlflowDoor  # 150 MB that only the live actor needs

    door = MlflowDoor(settings.mlflow_url)
    return Registry(door), door.act
