"""What a pipeline step is given and what it gives back: the contract between the runner and `train_jobs`.

A step is a function `main(request: StepRequest) -> dict[str, str]`, named by import path (`train_jobs.train:main`).
It may be started again at any time with the same request: what it left in `request.directory` is its own, and
a step that finds its work done there returns the same outputs without doing it twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

OUTCOME_FILE = "outcome.json"
"""Written last in a step's directory: {"ok", "actor", and "outputs" or "error"}."""

PROGRESS_FILE = "progress.txt"
"""One line that a step may write while it runs: how far it is, for a person."""


def begun_file(actor: str) -> str:
    """Written first by the attempt whose runner has this name: without it the attempt never began."""
    return f"begun.{actor.rpartition(':')[2]}"


@dataclass(frozen=True)
class DeviceGrant:
    """The devices that a lease gives to a step.

    `resource` is the Ray resource name (`GPU`, or `sim-gpu` for simulated devices), `node_id` Ray's hex node id
    (label `ray.io/node-id`), `devices` one UUID per device.
    """

    resource: str = "GPU"
    node_id: str = ""
    devices: tuple[str, ...] = ()

    @property
    def simulated(self) -> bool:
        """True when the devices are declared, not real: the step then computes on the CPU."""
        return self.resource == "sim-gpu"


@dataclass(frozen=True)
class StepRequest:
    """One step of one run.

    `parameters` holds every declared parameter, defaults filled in and upstream outputs resolved, as text.
    `directory` exists, is only this step's, and survives restarts. `key` is the same for every restart of this
    step: effects that must happen once (registering a version) carry it.
    """

    run: str
    task: str
    template: str
    key: str
    directory: str
    mlflow_uri: str
    experiment: str
    parameters: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    grant: DeviceGrant | None = None
