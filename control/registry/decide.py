"""Which versions exist and where each one is. Pure."""

from __future__ import annotations

from control.kernel.plan import Create, Effect, EnsureAlias, Plan, PutStatus, Record
from control.registry.state import SeenVersion, Snapshot, Stage, version_name

PRODUCTION_ALIAS = "production"


def decide(snapshot: Snapshot) -> Plan:
    """Take over what MLflow has, record each change of stage (the deployment record), mirror it as an alias."""
    return Plan(_adopt(snapshot) + _stages(snapshot), _aliases(snapshot))


def _adopt(snapshot: Snapshot) -> tuple[Record, ...]:
    known = {version.name for version in snapshot.known}
    return tuple(_create(version) for version in snapshot.seen if version.name not in known)


def _create(version: SeenVersion) -> Record:
    return Create(
        kind="ModelVersion",
        name=version.name,
        event="Registered",
        reason=f"MLflow run {version.run_id or 'unknown'}",
        spec={
            "model": version.model,
            "version": version.version,
            "run_id": version.run_id,
            "source": version.source,
            "tags": dict(version.tags),
        },
    )


def _stages(snapshot: Snapshot) -> tuple[Record, ...]:
    serving = {version_name(s.model, s.version): s.deployment for s in snapshot.serving}
    records = []
    for version in snapshot.known:
        deployment = serving.get(version.name)
        stage = Stage.REGISTERED if deployment is None else Stage.PRODUCTION
        if stage is version.stage:
            continue
        reason = "no deployment serves it any more" if deployment is None else f"deployment {deployment} serves it"
        records.append(
            PutStatus(
                kind="ModelVersion",
                name=version.name,
                event="Production" if stage is Stage.PRODUCTION else "Withdrawn",
                reason=reason,
                revision=version.revision,
                status={"phase": stage.value, "reason": reason},
            )
        )
    return tuple(records)


def _aliases(snapshot: Snapshot) -> tuple[Effect, ...]:
    """The alias follows the newest version of a model that serves; a model that serves nothing has none."""
    wanted: dict[str, int] = {}
    for serving in snapshot.serving:
        wanted[serving.model] = max(serving.version, wanted.get(serving.model, 0))
    return tuple(
        EnsureAlias(
            kind="ModelVersion",
            name=version_name(model, wanted.get(model, snapshot.aliases.get(model, 0))),
            reason="MLflow mirrors the deployment record",
            model=model,
            alias=PRODUCTION_ALIAS,
            version=wanted.get(model),
        )
        for model in sorted({*wanted, *snapshot.aliases})
        if wanted.get(model) != snapshot.aliases.get(model)
    )
