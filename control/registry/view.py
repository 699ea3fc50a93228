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
    for one in stored:
        if one.kind == "Deployment":
            yield from _uses(one)


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
