"""Versions as a person reads them: one row each, their lineage, and what makes two of them differ. Pure on objects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from control.kernel.store import Object
from control.registry.guard import refusals
from control.registry.lineage import BYTES_TAG
from control.registry.state import KnownVersion, Use
from control.registry.view import OVERRIDE, RETIREMENT, known_version, rulings, uses_of


@dataclass(frozen=True)
class Place:
    """A deployment that works with a version. `weight`: its share of traffic, 0 to 1; None where it answers nobody."""

    deployment: str
    role: str
    weight: float | None


@dataclass(frozen=True)
class Row:
    """One version. `accuracy` is None where nobody evaluated it; times in seconds since the epoch."""

    model: str
    version: int
    stage: str
    reason: str
    serves: tuple[Place, ...]
    accuracy: float | None
    gate: str
    refused: str
    base_model: str
    dataset_digest: str
    bytes: int
    registered_at: float
    registered_by: str


@dataclass(frozen=True)
class Difference:
    """One thing that two versions do not have in common; None where a version does not have it."""

    what: str
    name: str
    before: str | None
    after: str | None


def rows(stored: Iterable[Object]) -> tuple[Row, ...]:
    """A row for each version among the objects, by model and version."""
    stored = tuple(stored)
    deployments = {o.name: o for o in stored if o.kind == "Deployment"}
    uses: dict[tuple[str, int], list[Use]] = {}
    for use in uses_of(stored):
        uses.setdefault((use.model, use.version), []).append(use)
    retired, overridden = rulings(stored, RETIREMENT), rulings(stored, OVERRIDE)
    found = []
    for one in stored:
        if one.kind == "ModelVersion":
            version = known_version(one)
            refused = refusals(version.name, version.gate, retired.get(one.name), overridden.get(one.name))
            places = [
                _place(use, deployments[use.deployment]) for use in uses.get((version.model, version.version), ())
            ]
            found.append(_row(one, version, tuple(places), next(iter(refused.values()), "")))
    return tuple(sorted(found, key=lambda row: (row.model, row.version)))


def differences(before: Object, after: Object) -> Iterator[Difference]:
    """What makes two versions differ: lineage, parameters, figures, size, files, tags."""
    for what in ("lineage", "parameters", "metrics"):
        yield from _between(what, before.spec.get(what, {}), after.spec.get(what, {}))
    yield from _between("size", _size(before), _size(after))
    yield from _between("file", files_of(before), files_of(after))
    sizes = {BYTES_TAG}
    tags = [{k: v for k, v in o.spec.get("tags", {}).items() if k not in sizes} for o in (before, after)]
    yield from _between("tag", tags[0], tags[1])


def files_of(version: Object) -> Mapping[str, str]:
    """For each file of the version `bytes SHA-256`; empty where nobody recorded them."""
    try:
        listed = json.loads(version.spec.get("size", {}).get("files") or "{}")
        return {name: f"{size} bytes, {digest[:12]}" for name, (size, digest) in listed.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _size(version: Object) -> Mapping[str, Any]:
    size = version.spec.get("size", {}).get("bytes", 0)
    return {"bytes": size} if size else {}


def _between(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    for name in sorted({*before, *after}):
        old, new = _text(before.get(name)), _text(after.get(name))
        if old != new:
            yield Difference(what, name, old, new)


def _text(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


def _place(use: Use, deployment: Object) -> Place:
    if use.stage.answers:
        own = use.model == deployment.spec["spec"]["model"]
        arms = [arm for arm in deployment.status.get("arms", ()) if not own or arm["version"] == use.version]
        return Place(use.deployment, use.role, round(sum(arm.get("weight", 1.0) for arm in arms), 4))
    return Place(use.deployment, use.role, None)


def _row(stored: Object, version: KnownVersion, serves: tuple[Place, ...], refused: str) -> Row:
    spec = stored.spec
    lineage, accuracy = spec.get("lineage", {}), spec.get("metrics", {}).get("accuracy")
    verdict, why = version.gate
    return Row(
        model=version.model,
        version=version.version,
        stage=version.stage.value,
        reason=stored.status.get("reason", ""),
        serves=serves,
        accuracy=accuracy if isinstance(accuracy, float | int) else None,
        gate=f"{verdict.value}: {why}" if why else verdict.value,
        refused=refused,
        base_model=lineage.get("base_model", ""),
        dataset_digest=lineage.get("dataset_digest", ""),
        bytes=spec.get("size", {}).get("bytes", 0),
        registered_at=spec.get("registered_at") or stored.created_at,
        registered_by=spec.get("registered_by", ""),
    )
