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

EVICT_FILE = "evict.txt"
"""While it lies in a step's directory (why, for a person), the step has to save what it has and raise Evicted."""


class Evicted(Exception):
    """Raised by a step that stopped because it was told to: it is no failure, it goes on where it gets devices."""


def begun_file(actor: str) -> str:
    """Written first by the attempt whose runner has this name: without it the attempt never began."""
    return f"begun.{actor.rpartition(':')[2]}"


@dataclass(frozen=True)
class GrantPiece:
    """What a lease gives on one node.

    `resource` is the Ray resource name (`GPU`, or `sim-gpu` for simulated devices), `node_id` Ray's hex node id
    (label `ray.io/node-id`), `devices` one UUID per device or MIG slice, `milli` how much of each in thousandths.
    `cpu` is in thousandths of a core.
    """

    resource: str = "GPU"
    node_id: str = ""
    devices: tuple[str, ...] = ()
    milli: int = 1000
    cpu: int = 0

    @property
    def amount(self) -> float:
        """How much of the Ray resource the piece counts as."""
        return len(self.devices) * self.milli / 1000


@dataclass(frozen=True)
class DeviceGrant:
    """The devices that a lease gives to a step, node by node."""

    pieces: tuple[GrantPiece, ...] = ()

    @property
    def simulated(self) -> bool:
        """True when the devices are declared, not real: the step then computes on the CPU."""
        return any(piece.resource == "sim-gpu" for piece in self.pieces)

    @property
    def devices(self) -> tuple[str, ...]:
        return tuple(uuid for piece in self.pieces for uuid in piece.devices)

    @property
    def cpu(self) -> int:
        """In thousandths of a core, in all."""
        return sum(piece.cpu for piece in self.pieces)

    @property
    def node_ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(piece.node_id for piece in self.pieces))


@dataclass(frozen=True)
class StepRequest:
    """One step of one run.

    `parameters` holds every declared parameter, defaults filled in and upstream outputs resolved, as text.
    `directory` exists, is only this step's, and survives restarts. `key` is the same for every restart of this
    step: effects that must happen once (registering a version) carry it. Whoever computes on devices of the `grant`
    claims them first, for `workload`, in the directory `claims` of its node.
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
    workload: str = ""
    claims: str = ""
