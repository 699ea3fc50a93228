"""How MLflow shows our record: an alias for each stage that is in use, and three tags on a version. Pure.

The effects say what should be there, not what to change: done twice is done once, and what a crash left undone is
seen as missing by the next pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from control.kernel.plan import Effect, EnsureAlias
from control.registry.lineage import DEPLOYMENT_TAG, REASON_TAG, STAGE_TAG
from control.registry.state import SeenVersion, Snapshot, Stage, version_name

ALIASES: Mapping[str, Stage] = {stage.value: stage for stage in Stage if stage.in_use}
AT_ONCE = 100
"""Effects of one pass: each is a call, and a pass should not last minutes because a thousand versions moved."""
NOBODY = "none"
"""What a tag says where there is nothing to say: not every store of MLflow tells an empty tag from none."""
WHY = "MLflow mirrors the deployment record"


_Told = tuple[SeenVersion, Mapping[str, Any]]
"""A version that MLflow has, and what is recorded of it."""


@dataclass(frozen=True, kw_only=True)
class EnsureTags(Effect):
    """The version `version` of `model` has these tags in MLflow, whatever others it has."""

    model: str
    version: int
    tags: Mapping[str, str]


def mirror(snapshot: Snapshot, statuses: Mapping[str, Mapping[str, Any]]) -> tuple[Effect, ...]:
    """What MLflow shows otherwise than `statuses` (by the versions' names, as they are after this pass) say it.

    AT_ONCE effects at most; what is over follows in the next passes.
    """
    told = [(version, status) for version in snapshot.seen if (status := statuses.get(version.name))]
    return tuple(islice((*_aliases(snapshot.aliases, told), *_tags(told)), AT_ONCE))


def _aliases(aliases: Mapping[tuple[str, str], int], told: Sequence[_Told]) -> Iterator[Effect]:
    """An alias is at the newest version of a model in that stage; where there is none, there is no alias."""
    wanted: dict[tuple[str, str], int] = {}
    for version, status in told:
        stage = status["phase"]
        if stage in ALIASES:
            wanted[version.model, stage] = max(version.version, wanted.get((version.model, stage), 0))
    present = {key: version for key, version in aliases.items() if key[1] in ALIASES}
    for model, alias in sorted({*wanted, *present}):
        target, now = wanted.get((model, alias)), present.get((model, alias))
        if target != now:
            yield EnsureAlias(
                kind="ModelVersion",
                name=version_name(model, target or now or 0),
                reason=WHY,
                model=model,
                alias=alias,
                version=target,
            )


def _tags(told: Sequence[_Told]) -> Iterator[Effect]:
    """A version of which nothing was ever recorded has no tags: ten thousand of them need no call."""
    for version, status in told:
        if status["phase"] == Stage.REGISTERED.value and not status["reason"] and not version.mirrored:
            continue
        wanted = {
            STAGE_TAG: status["phase"],
            DEPLOYMENT_TAG: ", ".join(status.get("deployments", ())) or NOBODY,
            REASON_TAG: status["reason"] or NOBODY,
        }
        if wanted != version.mirrored:
            yield EnsureTags(
                kind="ModelVersion",
                name=version.name,
                reason=WHY,
                model=version.model,
                version=version.version,
                tags=wanted,
            )
