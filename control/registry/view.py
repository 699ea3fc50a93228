"""What the registry observes: MLflow, the stored versions, what deployments do with them, what people decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from control.kernel.store import Object, Store
from control.registry.catalogue import Catalogue
from control.registry.state import KnownVersion, Ruling, Snapshot, Stage, Use

RETIREMENT, OVERRIDE = "Retirement", "GateOverride"
"""The kinds of what people decide about a version; the objects have the version's name."""
KINDS = ("ModelVersion", "Deployment", RETIREMENT, OVERRIDE)


def observe(store: Store, catalogue: Catalogue, now: float) -> Snapshot:
    stored = store.list(*KINDS)
    return Snapshot(
        seen=catalogue.look(now),
        known=tuple(known_version(o) for o in stored if o.kind == "ModelVersion"),
        uses=tuple(uses_of(stored)),
        aliases=catalogue.pointers,
        retired=rulings(stored, RETIREMENT),
        overridden=rulings(stored, OVERRIDE),
    )


def uses_of(stored: Iterable[Object]) -> Iterator[Use]:
    """What the deployments among the objects do with versions now, and what a roll-out is about to do."""
    stored = tuple(stored)
    for one in stored:
        if one.kind == "Deployment":
            yield from _uses(one)
            yield from _adapter_uses(one, stored)


def deployable(model: str, version: int | None, stored: Iterable[Object]) -> Object | None:
    """The version that a deployment gets: the one it names, or (None) the newest that may answer users."""
    found = [
        o
        for o in stored
        if o.kind == "ModelVersion"
        and o.spec["model"] == model
        and (o.spec["version"] == version if version is not None else not _barred(o))
    ]
    return max(found, key=lambda o: int(o.spec["version"]), default=None)


def rulings(stored: Iterable[Object], kind: str) -> Mapping[str, Ruling]:
    """What people decided, by the names of the versions."""
    return {o.name: Ruling(o.spec.get("by", ""), o.spec.get("reason", "")) for o in stored if o.kind == kind}


def known_version(stored: Object) -> KnownVersion:
    return KnownVersion(
        name=stored.name,
        revision=stored.revision,
        model=stored.spec["model"],
        version=stored.spec["version"],
        stage=Stage(stored.status.get("phase", Stage.REGISTERED.value)),
        spec=stored.spec,
        status=stored.status,
    )


def _uses(deployment: Object) -> Iterator[Use]:
    """A version is a canary beside another that takes traffic; what a roll-out comes from or goes to stands by."""
    model = deployment.spec["spec"]["model"]
    status = deployment.status
    taking = list(dict.fromkeys(arm["version"] for arm in status.get("arms", ()) if arm.get("weight", 1) > 0))
    shadows = list(dict.fromkeys(shadow["version"] for shadow in status.get("shadows", ())))
    rollout = status.get("rollout", {})
    coming, kept = ((rollout.get(name) or {}).get("version") for name in ("target", "stable"))
    for version in taking:
        canary = version == coming and len(taking) > 1
        yield Use(deployment.name, model, version, Stage.CANARY if canary else Stage.PRODUCTION)
    for version in shadows:
        yield Use(deployment.name, model, version, Stage.SHADOW)
    for version in dict.fromkeys((coming, kept)):
        if version is None or version in (*taking, *shadows):
            continue
        yield Use(deployment.name, model, version, Stage.REGISTERED)


def _barred(version: Object) -> bool:
    return Stage.PRODUCTION.value in version.status.get("refuses", {})


def _adapter_uses(deployment: Object, stored: Iterable[Object]) -> Iterator[Use]:
    """Adapters answer while the deployment that serves them does."""
    answers = any(arm.get("weight", 1) > 0 for arm in deployment.status.get("arms", ()))
    for adapter in deployment.spec["spec"].get("adapters", ()):
        number = None if adapter["version"] == "latest" else adapter["version"]
        found = deployable(adapter["model"], number, stored)
        if found is not None:
            stage = Stage.PRODUCTION if answers else Stage.REGISTERED
            yield Use(deployment.name, adapter["model"], found.spec["version"], stage)
