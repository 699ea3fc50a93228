"""Whether a deployment's roll-out goes on, as its stored status tells it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from control.specs.workload import IN_PLACE

_BEGUN = frozenset({"Shadowing", "Stepping", "Keeping"})
"""The stages in which users, or copies of what they ask, meet the version that is coming."""


@dataclass(frozen=True)
class Rolling:
    """A roll-out from version `stable` to version `target`, which takes `percent` of the traffic.

    `back` is what the stable applications were made with, as far as it is stored: model, engine, workload.
    """

    stable: int | None
    target: int
    percent: float
    back: Mapping[str, Any]

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> Rolling | None:
        """The roll-out of a deployment with this status; None where none has begun to move traffic."""
        told = status.get("rollout", {})
        stable, target = told.get("stable") or {}, told.get("target")
        if target is None or told.get("stage") not in _BEGUN:
            return None
        builds = (_made(one) for one in status.get("builds", ()) if stable and _is_of(one, stable))
        return cls(stable.get("version"), target["version"], told.get("percent", 0.0), next(builds, {}))

    def __str__(self) -> str:
        before = "" if self.stable is None else f" from version {self.stable}"
        return f"a roll-out{before} to version {self.target} goes on ({self.percent:g} % of the traffic so far)"


def _is_of(build: Mapping[str, Any], release: Mapping[str, Any]) -> bool:
    return all(build.get(name) == release.get(name) for name in ("version", "settings"))


def _made(build: Mapping[str, Any]) -> Mapping[str, Any]:
    made = {name: build[name] for name in ("model", "engine", "workload") if name in build}
    if "workload" in made:
        made["workload"] = {name: value for name, value in made["workload"].items() if name not in IN_PLACE}
    return made
