"""What the registry knows: which versions exist, where each one is in its life, and what may become of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any


class Stage(Enum):
    """Where a version is in its life."""

    REGISTERED = "registered"
    SHADOW = "shadow"  # gets copies of requests; nobody sees its answers
    CANARY = "canary"  # takes a part of the traffic beside the version that it may replace
    PRODUCTION = "production"
    RETIRED = "retired"  # a person took it out of use

    @property
    def in_use(self) -> bool:
        """Whether a deployment works with it: such a version is neither retired nor forgotten."""
        match self:
            case Stage.SHADOW | Stage.CANARY | Stage.PRODUCTION:
                return True
            case Stage.REGISTERED | Stage.RETIRED:
                return False

    @property
    def answers(self) -> bool:
        """Whether users get its answers: this is what the evaluation gate guards."""
        match self:
            case Stage.CANARY | Stage.PRODUCTION:
                return True
            case Stage.REGISTERED | Stage.SHADOW | Stage.RETIRED:
                return False


class Happening(Enum):
    """What one pass found out about a version."""

    IDLE = "no deployment sends it requests"
    SHADOWED = "a deployment copies requests to it"
    TRIED = "a roll-out gives it a part of the traffic"
    SERVED = "a deployment serves it"
    BARRED = "a deployment gives it traffic though its gate failed"
    TAKEN_OUT = "a person retired it"
    RESTORED = "a person restored it"


TRANSITIONS: Mapping[tuple[Stage, Happening], Stage] = {
    (Stage.REGISTERED, Happening.IDLE): Stage.REGISTERED,
    (Stage.REGISTERED, Happening.SHADOWED): Stage.SHADOW,
    (Stage.REGISTERED, Happening.TRIED): Stage.CANARY,
    (Stage.REGISTERED, Happening.SERVED): Stage.PRODUCTION,
    (Stage.REGISTERED, Happening.TAKEN_OUT): Stage.RETIRED,
    (Stage.SHADOW, Happening.IDLE): Stage.REGISTERED,
    (Stage.SHADOW, Happening.SHADOWED): Stage.SHADOW,
    (Stage.SHADOW, Happening.TRIED): Stage.CANARY,
    (Stage.SHADOW, Happening.SERVED): Stage.PRODUCTION,
    (Stage.CANARY, Happening.IDLE): Stage.REGISTERED,
    (Stage.CANARY, Happening.SHADOWED): Stage.SHADOW,
    (Stage.CANARY, Happening.TRIED): Stage.CANARY,
    (Stage.CANARY, Happening.SERVED): Stage.PRODUCTION,
    (Stage.PRODUCTION, Happening.IDLE): Stage.REGISTERED,
    (Stage.PRODUCTION, Happening.SHADOWED): Stage.SHADOW,
    (Stage.PRODUCTION, Happening.TRIED): Stage.CANARY,
    (Stage.PRODUCTION, Happening.SERVED): Stage.PRODUCTION,
    (Stage.RETIRED, Happening.TAKEN_OUT): Stage.RETIRED,
    (Stage.RETIRED, Happening.RESTORED): Stage.REGISTERED,
}
"""Pairs that are missing are refused, and the version stays where it is: one that is in use is retired only when no
deployment works with it, a retired one takes nothing before somebody restores it, and one whose gate failed gets
no users. What is in use already when its gate fails goes on: the gate is at the door."""


class Gate(Enum):
    """What the evaluation said of a version: the tag `biplane.gate`."""

    NONE = "none"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True)
class Registration:
    """A version as MLflow has it. Times in milliseconds since the epoch, as MLflow writes them."""

    model: str
    version: int
    run_id: str
    source: str
    tags: Mapping[str, str]
    created_ms: int = 0
    updated_ms: int = 0
    by: str = ""

    @property
    def name(self) -> str:
        return version_name(self.model, self.version)


@dataclass(frozen=True)
class Run:
    """The MLflow run that made a version. While it is `open` its figures may still change."""

    open: bool
    by: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class SeenVersion:
    """A version as it was last seen in MLflow: what the store should say of it, and the tags that mirror our record."""

    model: str
    version: int
    spec: Mapping[str, Any]
    mirrored: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def name(self) -> str:
        return version_name(self.model, self.version)


@dataclass(frozen=True)
class KnownVersion:
    """A version as the store has it."""

    name: str
    revision: int
    model: str
    version: int
    stage: Stage
    spec: Mapping[str, Any] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)

    @property
    def gate(self) -> tuple[Gate, str]:
        """What the evaluation said, and why."""
        said = self.spec.get("gate", {})
        return Gate(said.get("state", Gate.NONE.value)), said.get("reason", "")


@dataclass(frozen=True)
class Use:
    """A deployment that works with a version, and the stage that it gives it: shadow, canary or production; registered
    where the version only stands by, to be rolled out or switched back to."""

    deployment: str
    model: str
    version: int
    stage: Stage = Stage.PRODUCTION

    @property
    def role(self) -> str:
        return "standby" if self.stage is Stage.REGISTERED else self.stage.value


@dataclass(frozen=True)
class Ruling:
    """What a person decided about a version, and why."""

    by: str
    reason: str


@dataclass(frozen=True)
class Snapshot:
    """One look. `aliases` maps (model, alias) to a version; `retired` and `overridden` go by the versions' names."""

    seen: tuple[SeenVersion, ...]
    known: tuple[KnownVersion, ...]
    uses: tuple[Use, ...]
    aliases: Mapping[tuple[str, str], int] = field(default_factory=dict)
    retired: Mapping[str, Ruling] = field(default_factory=dict)
    overridden: Mapping[str, Ruling] = field(default_factory=dict)


def version_name(model: str, version: int) -> str:
    """The stored name of a version: `model@3`."""
    return f"{model}@{version}"
