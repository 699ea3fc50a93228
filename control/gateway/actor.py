"""Gateway control: models and routes, published as one table.

Stored: the table. Observed: whether the gateway application is deployed. A crash leaves the last
table in place, and the gateway's replicas go on with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from control.gateway.decide import decide
from control.gateway.state import Snapshot
from control.gateway.view import observe
from control.kernel.home import LOOPBACK, Home, Settings
from control.kernel.plan import Effect, Plan
from control.kernel.present import Drive
from control.kernel.store import Store


@dataclass(frozen=True)
class Gateway:
    drive: Drive
    arguments: Mapping[str, Any]
    name: str = "gateway"
    period: float = 5.0

    def observe(self, store: Store, now: float) -> Snapshot:
        return observe(store, self.drive, self.arguments)

    def decide(self, snapshot: Snapshot) -> Plan:
        return decide(snapshot)


def wire(home: Home, settings: Settings, drive: Drive) -> tuple[Gateway, Callable[[Effect], None]]:
    arguments = {
        "host": LOOPBACK,
        "port": settings.gateway_port,
        "internal_key_file": str(home.internal_key_file),
        "logs": str(home.logs),
    }
    return Gateway(drive, arguments), drive.act
