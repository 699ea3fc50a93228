"""The registry: which models and versions exist, and where each one is.

Stored: versions with their lineage, their stages, and the deployment record (the events of each version); what people
decided about them (kinds Retirement and GateOverride). Observed: MLflow. A crash leaves an alias or a tag behind the
record at worst; the next pass sets it. While MLflow is away nothing changes here, and what serves goes on serving.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from control.kernel.home import Home, Settings
from control.kernel.plan import Effect, Plan
from control.kernel.present import Drive
from control.kernel.store import Store
from control.registry.catalogue import Catalogue
from control.registry.decide import decide
from control.registry.state import Snapshot
from control.registry.view import observe


@dataclass(frozen=True)
class Registry:
    catalogue: Catalogue
    name: str = "registry"
    period: float = 5.0

    def observe(self, store: Store, now: float) -> Snapshot:
        return observe(store, self.catalogue, now)

    def decide(self, snapshot: Snapshot) -> Plan:
        return decide(snapshot)


def wire(home: Home, settings: Settings, drive: Drive) -> tuple[Registry, Callable[[Effect], None]]:
    from control.registry.mlflow_door import MlflowDoor  # 150 MB that only the live actor needs

    registry = Registry(Catalogue(MlflowDoor(settings.mlflow_url)))
    return registry, registry.catalogue.act
