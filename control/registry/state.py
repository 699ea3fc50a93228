"""What the registry knows: which versions exist, and which of them serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Stage(Enum):
    """Where a version is in its life."""

    REGISTERED = "registered"
    PRODUCTION = "production"


@dataclass(frozen=True)
class SeenVersion:
    """A version as MLflow reports it."""

    model: str
    version: int
    run_id: str
    source: str
    tags: Mapping[str, str]

    @property
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


@dataclass(frozen=True)
class Serving:
    """A deployment that is ready, and what it serves."""

    deployment: str
    model: str
    version: int


@dataclass(frozen=True)
class Snapshot:
    """One look. `aliases` maps a model to the version that MLflow calls production."""

    seen: tuple[SeenVersion, ...]
    known: tuple[KnownVersion, ...]
    serving: tuple[Serving, ...]
    aliases: Mapping[str, int] = field(default_factory=dict)


def version_name(model: str, version: int) -> str:
    """The stored name of a version: `model@3`."""
    return f"{model}@{version}"
