"""The router: which version of a deployment takes traffic.

Stored: deployments with their arms. Observed: Serve's applications. A crash between asking for an application and
seeing it leaves an application that the next pass finds by its name. Traffic never waits for this actor: the gateway
holds the last table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from control.kernel.home import Home, Settings
from control.kernel.plan import Effect, Plan
from control.kernel.present import Drive
from control.kernel.store import Store
from control.router.decide import decide
from control.router.recent import Recent
from control.router.state import Snapshot, Surroundings
from control.router.view import observe


@dataclass(frozen=True)
class Router:
    drive: Drive
    surroundings: Surroundings
    recent: Recent = field(default_factory=Recent)
    name: str = "router"
    period: float = 1.0

    def observe(self, store: Store, now: float) -> Snapshot:
        return observe(store, self.drive, self.surroundings, self.recent, now)

    def decide(self, snapshot: Snapshot) -> Plan:
        return decide(snapshot)


def wire(home: Home, settings: Settings, drive: Drive) -> tuple[Router, Callable[[Effect], None]]:
    surroundings = Surroundings(
        serve_url=settings.serve_url,
        mlflow_url=settings.mlflow_url,
        internal_key_file=str(home.internal_key_file),
        models_directory=str(home.models),
        claims_directory=str(home.claims),
    )
    return Router(drive, surroundings), drive.act
