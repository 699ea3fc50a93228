"""What autoscaling sees of a deployment and what it remembers of it between two looks. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from control.engine_report import EngineReport
from control.specs.autoscaling import AutoscalingSpec
from control.specs.sla import Sla
from control.traffic import Traffic


@dataclass(frozen=True)
class ScaleLook:
    """What is wanted and seen now, in seconds since the epoch.

    `serving` counts the replicas that take requests; `reports` are the fresh ones of those (one that accepts nothing
    is left out here). `recent` is what ended in the last half minute or so, on all gateways. `wake_asked` is when a
    gateway last asked for a model that sleeps. `refusal` is why the scheduler cannot place what was asked for.
    """

    now: float
    spec: AutoscalingSpec
    sla: Sla
    serving: int
    reports: tuple[EngineReport, ...] = ()
    recent: Traffic = field(default_factory=Traffic)
    wake_asked: float | None = None
    refusal: str = ""


@dataclass(frozen=True)
class Mark:
    """The counts of the replicas, by URL and process, from which a flow is measured."""

    at: float
    finished: Mapping[str, int]
    busy: int


@dataclass(frozen=True)
class Scale:
    """How many replicas are wanted: `needed` by the load and `spares` beyond; and since when, and why.

    A deployment that was never scaled begins with as many as it had: `Scale(needed=3)`. All else is memory: since
    when the load has been `pressed` above and `quiet` below what it needs, with the most that it needed since
    (`peak`), since when nothing has come (`idle`) and since when every replica that is wanted serves (`full`). `flow`
    is how many replicas the requests that came at `flow_at` need, measured where some wait, from `mark` on.
    """

    needed: int = 1
    spares: int = 0
    since: float | None = None
    why: str = ""
    refusal: str = ""
    pressed: float | None = None
    quiet: float | None = None
    peak: int = 0
    idle: float | None = None
    full: float | None = None
    mark: Mark | None = None
    flow: float | None = None
    flow_at: float = 0.0

    @property
    def replicas(self) -> int:
        return self.needed + self.spares

    @property
    def reason(self) -> str:
        """For people; it stays the same until something happens."""
        if self.refusal:
            return f"{self.why or f'{self.replicas} wanted'}; not all of them can be placed: {self.refusal}"
        return self.why


def to_json(scale: Scale) -> dict[str, Any]:
    """What `from_json` reads, and `replicas` and `reason` for who shows it; without what is as in a new one."""
    new = Scale()
    told = {name: value for name, value in asdict(scale).items() if value != getattr(new, name)}
    return {"replicas": scale.replicas, "reason": scale.reason, **told}


def from_json(told: Mapping[str, Any]) -> Scale:
    """Raises TypeError for what `to_json` did not write; names that a newer Biplane wrote are left out."""
    known = {one.name: told[one.name] for one in fields(Scale) if one.name in told}
    return Scale(**known | {"mark": Mark(**known["mark"]) if known.get("mark") else None})
