"""The pipeline runner: runs of a DAG of steps.

Stored: workflows, runs, the state of every task. Observed: step actors and the receipts in their directories. A crash
between recording that a task runs and starting its step leaves a step that the next pass starts; a crash of the step
leaves a directory in which the next attempt goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from control.kernel.home import Home, Settings
from control.kernel.plan import Effect, Plan
from control.kernel.present import Drive
from control.kernel.store import Store
from control.pipeline.decide import decide
from control.pipeline.state import Snapshot, Surroundings
from control.pipeline.view import observe


@dataclass(frozen=True)
class Pipeline:
    drive: Drive
    surroundings: Surroundings
    name: str = "pipeline"
    period: float = 1.0

    def observe(self, store: Store, now: float) -> Snapshot:
        return observe(store, self.drive, self.surroundings, now)

    def decide(self, snapshot: Snapshot) -> Plan:
        return decide(snapshot)


def wire(home: Home, settings: Settings, drive: Drive) -> tuple[Pipeline, Callable[[Effect], None]]:
    surroundings = Surroundings(str(home.runs), settings.mlflow_url, str(home.claims))
    return Pipeline(drive, surroundings), drive.act
